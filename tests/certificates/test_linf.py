"""Constants and certificates in l-infinity: Jacobians, corners of balls and sign attacks."""

import itertools

import keras
import numpy as np
import pytest
from keras import layers, ops

import lipot
from lipot import backend
from lipot.certificates.head import find_head
from lipot.certificates.node import computed_input_node
from lipot.layers.layer_bounds import layer_bound
from tests.certificates.jacobians import ERROR, STEP
from tests.certificates.test_layer_bounds import LIPOT, STOCK, built_model, double_precision
from tests.certificates.test_rounding import (
    branched,
    in_float64,
    lipot_cnn,
    separable_cnn,
    stock_cnn,
)
from tests.helpers import to_numpy
from tests.lipschitz import jacobians, nasty_points
from tests.public_classes import make, public_classes

assert double_precision
SHAPES = ((6, 6, 4), (6, 4), (8,))


def largest_row_sum(function, shape, *, samples=5):
    """Largest sum of absolute values of a row of the Jacobian over random points."""
    points = np.random.default_rng(0).normal(size=(samples, 1, *shape))
    return max(_row_sum(function, point) for point in points)


def _row_sum(function, x):
    basis = np.eye(x.size).reshape(x.size, *x.shape[1:]) * STEP
    ahead, behind = (to_numpy(function(x + sign * basis)) for sign in (1.0, -1.0))
    columns = (ahead.astype("float64") - behind).reshape(x.size, -1) / (2 * STEP)
    return np.abs(columns).sum(axis=0).max()


@pytest.mark.parametrize("make_layer, shape, slack", STOCK + LIPOT)
def test_bound_is_above_every_row_sum_and_close(double_precision, make_layer, shape, slack):
    model = built_model(make_layer(), shape)
    observed = largest_row_sum(lambda x: model(x, training=False), shape)
    bound = lipot.lipschitz_constant(model, norm="inf")
    assert observed <= bound * (1 + ERROR)
    # Most are attained; smooth ones nearly, at the points that are tried.
    assert bound <= 1.15 * observed * (1 + ERROR), (bound, observed)


def built(name):
    """A public layer of lipot in float64, built on the first shape that it takes, and the shape."""
    layer = make("layers", name)
    for shape in SHAPES:
        copy = type(layer).from_config({**layer.get_config(), "dtype": "float64"})
        try:
            copy(np.zeros((1, *shape)))
        except (ValueError, TypeError, IndexError):
            continue
        return copy, shape
    pytest.skip(f"{name} is no layer of one tensor")


@pytest.mark.parametrize("name", sorted(public_classes("layers", keras.layers.Layer)))
def test_every_public_layer_has_a_bound_in_linf_that_nasty_points_keep(name):
    keras.utils.set_random_seed(0)
    layer, shape = built(name)
    rng = np.random.default_rng(0)
    for weight in layer.trainable_variables:
        weight.assign(to_numpy(weight) + 0.3 * rng.normal(size=weight.shape))
    try:
        layer_bound(layer, (None, *shape))
    except ValueError as error:
        # What has no bound in l2 has a reason, and the same one here.
        with pytest.raises(ValueError) as again:
            layer_bound(layer, (None, *shape), "inf")
        assert str(again.value) == str(error)
        return
    bound = layer_bound(layer, (None, *shape), "inf").lipschitz
    found = np.abs(jacobians(layer, nasty_points(shape)[::3])).sum(axis=2).max()
    assert found <= bound * (1 + 1e-5)


def test_householder_is_steeper_than_in_l2_and_attained(double_precision):
    layer = lipot.layers.Householder(
        theta_initializer=keras.initializers.Constant(np.pi / 4), k_coef_lip=2.0
    )
    model = built_model(layer, (6,))
    observed = largest_row_sum(lambda x: model(x, training=False), (6,))
    assert observed == pytest.approx(2.0 * np.sqrt(2.0), rel=1e-5)
    constant = lipot.lipschitz_constant(model, norm="inf")
    assert observed <= constant * (1 + ERROR) and constant < 2.82849


@pytest.mark.parametrize("strides, padding", [(2, "same"), (3, "valid"), ((3, 2), "valid")])
def test_transposed_convolutions_sum_the_taps_of_one_remainder(double_precision, strides, padding):
    model = built_model(layers.Conv2DTranspose(3, (4, 3), strides, padding=padding), (6, 6, 2))
    observed = largest_row_sum(lambda x: model(x, training=False), (6, 6, 2), samples=1)
    bound = lipot.lipschitz_constant(model, norm="inf")
    assert observed <= bound * (1 + ERROR) and bound <= observed * 1.001


def test_graphs_add_join_and_choose_as_l_infinity_does():
    inputs = keras.Input((3,))
    double, triple = layers.Rescaling(2.0)(inputs), layers.Rescaling(-3.0)(inputs)
    for output, expected in (
        (layers.Add()([double, triple]), 5.0),
        (layers.Average()([double, triple]), 2.5),
        (layers.Concatenate()([double, triple]), 3.0),
        (layers.Maximum()([double, triple]), 3.0),
        (ops.concatenate([double, triple], axis=1), 3.0),
        (double - 2.0 * triple, 8.0),
        (triple[:, :1] + double, 5.0),
    ):
        found = lipot.lipschitz_constant(keras.Model(inputs, output), norm="linf")
        assert found == pytest.approx(expected, rel=1e-9) and found >= expected
    both = keras.Model(inputs, [double, triple])
    assert lipot.lipschitz_constant(both, norm=np.inf) == pytest.approx(3.0)
    with pytest.raises(ValueError, match="argument `norm`"):
        lipot.lipschitz_constant(both, norm=1)


def test_a_bound_in_l2_alone_is_no_bound_in_linf():
    class Turned(layers.Layer):
        def call(self, inputs):
            return inputs

    class Promised(lipot.layers.MaxMin):
        def call(self, inputs):
            return super().call(inputs)

        @property
        def lipschitz_bound(self):
            return 1.0

    lipot.certificates.register_bound(Turned)(lambda layer, input_shape: 1.0)
    for layer in (Turned(), Promised()):
        model = keras.Sequential([keras.Input((4,)), layer, layers.Dense(3)])
        assert lipot.lipschitz_constant(model) > 0.0
        with pytest.raises(ValueError, match=f"(?s)l-infinity.*{type(layer).__name__}.*norm"):
            lipot.lipschitz_constant(model, norm="inf")
        # What is proven in l2 is still proven, within a smaller ball.
        x = np.random.default_rng(0).normal(size=(20, 4))
        found, l2 = lipot.certify(model, x, norm="inf"), lipot.certify(model, x)
        np.testing.assert_allclose(found.radius, l2.radius / 2.0, rtol=1e-12)
        assert np.all(found.radius <= l2.radius / 2.0) and "sqrt(4)" in found.proof
    lipot.certificates.register_bound(Turned)(lambda layer, input_shape, norm: 1.0)
    model = keras.Sequential([keras.Input((4,)), Turned()])
    assert lipot.lipschitz_constant(model, norm="inf") == pytest.approx(1.0)

    class Unknown(layers.Layer):
        def call(self, inputs):
            return inputs

    model = keras.Sequential([keras.Input((4,)), Unknown(), layers.Dense(3)])
    with pytest.raises(ValueError, match="No Lipschitz bound is known"):
        lipot.certify(model, x, norm="inf")


def test_the_radius_of_an_affine_classifier_is_exact_in_the_worst_direction():
    rng = np.random.default_rng(0)
    for features, units in ((3, 2), (40, 10), (200, 1)):
        model = keras.Sequential([keras.Input((features,)), layers.Dense(units)])
        model.set_weights([rng.normal(size=(features, units)), rng.normal(size=units)])
        kernel = np.asarray(model.layers[0].kernel, "float64")
        x = rng.normal(size=(300, features)).astype("float32")
        found, logits = lipot.certify(model, x, norm="inf"), to_numpy(model(x)).astype("float64")
        if units == 1:
            signs = -np.sign(logits) * np.sign(kernel[:, 0])
        else:
            top = found.predictions
            lead = logits.max(axis=1, keepdims=True) - logits
            between = np.abs(kernel.T[top][:, None] - kernel.T).sum(axis=2)
            lead[np.arange(300), top] = np.inf
            nearest = (lead / np.maximum(between, 1e-300)).argmin(axis=1)
            signs = np.sign(kernel.T[nearest] - kernel.T[top])
        assert np.mean(found.radius > 0.0) > 0.98
        radius, exact = found.radius[:, None], (found.radius + found.rounding)[:, None]
        inside, outside = x + radius * signs, x + (1.001 * exact + 1e-5) * signs
        for moved, same in ((inside, True), (outside, False)):
            outputs = to_numpy(model(moved.astype("float32")))
            classes = outputs[:, 0] > 0 if units == 1 else outputs.argmax(axis=1)
            agree = (classes == found.predictions)[found.radius > 0.0]
            assert np.all(agree) if same else not np.any(agree)


def relu_network(rng):
    return [layers.Dense(6, "relu"), layers.Dense(5, "leaky_relu"), layers.Dense(3)]


def sorting_network(rng):
    return [layers.Dense(6), lipot.layers.GroupSort(3), lipot.layers.MaxMin(), layers.Dense(3)]


def distance_network(rng):
    return [
        lipot.layers.LInfDistanceDense(5),
        lipot.layers.LayerCentering(),
        lipot.layers.LInfDistanceDense(3),
        layers.Rescaling(-1.0),
    ]


def householder_network(rng):
    theta = keras.initializers.RandomUniform(-3.0, 3.0, seed=int(rng.integers(1000)))
    return [
        layers.Dense(6),
        lipot.layers.Householder(theta_initializer=theta),
        lipot.layers.SDPResidualDense(4),
        layers.Dense(3, "softmax"),
    ]


@pytest.mark.parametrize(
    "network", [relu_network, sorting_network, distance_network, householder_network]
)
def test_no_corner_of_the_ball_of_a_small_network_is_another_class(network):
    rng = np.random.default_rng(0)
    keras.utils.set_random_seed(0)
    proven = 0
    for features in (2, 3, 5):
        model = keras.Sequential([keras.Input((features,)), *network(rng)])
        for weight in model.trainable_variables:
            weight.assign(rng.normal(size=weight.shape))
        x = (rng.normal(size=(40, features)) * rng.choice([0.1, 1.0, 30.0], (40, 1))).astype(
            "float32"
        )
        found = lipot.certify(model, x, norm="inf")
        assert found.norm == "inf"
        corners = np.array(list(itertools.product([-1.0, 1.0], repeat=features)))
        corners = np.concatenate([corners, rng.uniform(-1.0, 1.0, size=(100, features))])
        moved = x[:, None] + found.radius[:, None, None] * corners
        classes = to_numpy(model(moved.reshape(-1, features).astype("float32"))).argmax(axis=1)
        kept = classes.reshape(40, -1) == found.predictions[:, None]
        assert np.all(kept[found.radius > 0.0])
        # The ball is no speck: a few radii further some corner is another class.
        far = x[:, None] + 40.0 * found.radius[:, None, None] * corners
        changed = to_numpy(model(far.reshape(-1, features).astype("float32"))).argmax(axis=1)
        proven += np.sum(changed.reshape(40, -1) != found.predictions[:, None])
    assert proven > 100


def sign_attack(model, x, predictions, radius, *, steps=30):
    """Predictions after PGD in l-infinity on the margin, each point within its own radius."""
    units = model.output_shape[-1]
    top = np.eye(units, dtype="float32")[predictions]

    def ascend(forward, x, top):
        def margin(x):
            logits = forward(x)
            return ops.sum(ops.max(logits - 1e4 * top, axis=1) - ops.sum(logits * top, axis=1))

        return backend.value_and_input_gradient(margin, x)[1]

    ascend = backend.compile_over(model, ascend)
    radius = radius.reshape(-1, *[1] * (x.ndim - 1))
    shift = radius * np.sign(np.random.default_rng(0).normal(size=x.shape))
    for step in range(steps):
        gradient = to_numpy(ascend((x + shift).astype("float32"), top))
        shift = np.clip(shift + radius * 2.0 / (1 + step) * np.sign(gradient), -radius, radius)
    return to_numpy(model((x + shift).astype("float32"))).argmax(axis=1)


@pytest.mark.parametrize("make_model", [stock_cnn, separable_cnn, lipot_cnn, branched])
def test_no_sign_attack_changes_a_prediction_within_the_radius(make_model):
    keras.utils.set_random_seed(0)
    model = make_model()
    x = np.random.default_rng(0).normal(size=(60, *model.input_shape[1:])).astype("float32")
    found = lipot.certify(model, x, norm="inf")
    assert np.mean(found.radius > 0.0) > 0.8
    attacked = sign_attack(model, x, found.predictions, found.radius)
    np.testing.assert_array_equal(
        attacked[found.radius > 0.0], found.predictions[found.radius > 0.0]
    )


def test_the_larger_of_both_radii_counts():
    keras.utils.set_random_seed(0)
    wide = [lipot.layers.SpectralDense(64), lipot.layers.GroupSort2()] * 1
    model = keras.Sequential([keras.Input((64,)), *wide, lipot.layers.SpectralDense(5)])
    x = np.random.default_rng(0).normal(size=(50, 64)).astype("float32")
    found, l2 = lipot.certify(model, x, norm="inf"), lipot.certify(model, x)
    # Orthogonal layers have row sums near the root of their width: the way through l2 is shorter.
    assert np.all(found.radius >= l2.radius / 8.0 * (1.0 - 1e-12))
    assert "divided by sqrt(64)" in found.proof
    assert found.lipschitz <= l2.lipschitz * 8.0 * (1 + 1e-9)
    plain = keras.Sequential([keras.Input((64,)), layers.Dense(5)])
    plain.layers[0].set_weights(
        [np.sign(np.random.default_rng(1).normal(size=(64, 5))), np.zeros(5)]
    )
    direct, l2 = lipot.certify(plain, x, norm="inf"), lipot.certify(plain, x)
    assert np.all(direct.radius >= l2.radius / 8.0 * (1 - 1e-12))


def test_distances_certify_half_the_margin():
    model = keras.Sequential(
        [keras.Input((6,)), lipot.layers.LInfDistanceDense(4), layers.Rescaling(-1.0)]
    )
    x = np.random.default_rng(0).normal(size=(50, 6)).astype("float32")
    found, logits = lipot.certify(model, x, norm="inf"), np.sort(to_numpy(model(x)), axis=1)
    np.testing.assert_allclose(found.radius, (logits[:, -1] - logits[:, -2]) / 2.0, atol=1e-5)
    assert np.all(found.radius <= (logits[:, -1] - logits[:, -2]) / 2.0)
    # In l2 all four outputs together may move by 2 for each unit.
    l2 = lipot.certify(model, x)
    np.testing.assert_allclose(l2.radius, (logits[:, -1] - logits[:, -2]) / 8.0**0.5, atol=1e-5)


@pytest.mark.parametrize("make_model", [stock_cnn, separable_cnn, lipot_cnn, branched])
@pytest.mark.parametrize("scale, offset", [(1e-3, 0.0), (1.0, 0.0), (1.0, 1e5)])
def test_error_bound_is_above_the_error_of_float32(make_model, scale, offset):
    model = make_model()
    exact = in_float64(model)
    x = scale * np.random.default_rng(0).normal(size=(50, *model.input_shape[1:])) + offset
    before, after = (keras.Model(m.inputs[0], m.layers[-1].input) for m in (model, exact))
    error = np.abs(to_numpy(before(x)).astype("float64") - to_numpy(after(x))).max(axis=1)
    sizes = np.abs(x.reshape(50, -1)).max(axis=1)
    inputs = [computed_input_node(t, t.shape, "inf") for t in model.inputs]
    bounds = find_head(model, inputs).node.computed
    assert np.all(error <= bounds.error(sizes))
    assert np.all(np.abs(to_numpy(before(x))).max(axis=1) <= bounds.size(sizes))
    assert np.all(bounds.error(sizes) <= 3e-3 * bounds.size(sizes))


def test_far_from_the_origin_rounding_leaves_nothing():
    model = keras.Sequential([keras.Input((2,)), lipot.layers.LInfDistanceDense(2)])
    model.layers[0].set_weights([np.array([[0.0, 1.0], [0.0, 1.0]]), np.zeros(2)])
    near, far = lipot.certify(model, [[0.1, 0.2], [1e9, 1e9]], norm="inf").radius
    assert near == pytest.approx(0.35, abs=1e-5) and far == 0.0


def test_certificates_say_their_norm():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    x = np.random.default_rng(0).normal(size=(10, 4))
    l2, linf = (lipot.certify(model, x, np.zeros(10), norm=norm) for norm in ("l2", "linf"))
    assert (l2.norm, linf.norm) == (2, "inf")
    assert "l2 radius: median" in l2.summary() and "l-infinity radius: median" in linf.summary()
    assert "l-infinity" in repr(linf) and linf.in_linf(4) is linf
    assert linf.plot().get_xlabel() == "l-infinity radius"
    shrunk = l2.in_linf(4)
    assert shrunk.norm == "inf" and np.all(shrunk.radius <= l2.radius / 2.0)
    with pytest.raises(ValueError, match="argument `norm`.*norm=1"):
        lipot.certify(model, x, norm=1)


def test_an_otad_is_certified_through_l2():
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(40, 4)).astype("float32")
    otad = lipot.OTAD(layers.Dense(4), layers.Dense(3), neighbors=3)
    otad.adapt(x)
    l2, linf = (lipot.certify(otad, x[:10], norm=norm) for norm in (2, "inf"))
    np.testing.assert_allclose(linf.radius, l2.radius / 2.0, rtol=1e-12)
    np.testing.assert_allclose(linf.neighbors.set_radius, l2.neighbors.set_radius / 2.0)
    assert linf.norm == "inf" and np.all(linf.radius <= l2.radius / 2.0)


def test_evaluate_proves_more_than_l2_does():
    rng = np.random.default_rng(0)
    model = keras.Sequential(
        [keras.Input((9,)), lipot.layers.LInfDistanceDense(3), layers.Rescaling(-1.0)]
    )
    x = rng.uniform(size=(30, 9)).astype("float32")
    y = to_numpy(model(x)).argmax(axis=1)
    report = lipot.evaluate(
        model,
        x,
        y,
        "inf",
        [0.01, 0.1],
        ["pgd"],
        clip_values=(0.0, 1.0),
        sanity=False,
        views=False,
        progress=False,
    )
    table = report.table()
    certified = lipot.certify(model, x, y, norm="inf")
    assert table["certified"].tolist() == [certified.accuracy(0.01), certified.accuracy(0.1)]
    assert 0.0 < certified.accuracy(0.1) <= table["robust"].tolist()[1]


def test_the_slope_is_that_of_the_norm():
    """All inputs move by one: in l-infinity the sum of 16 of them moves by 16."""
    x = np.random.default_rng(0).normal(size=(12, 16)).astype("float32")
    backbone = keras.Sequential([keras.Input((16,)), keras.layers.Rescaling(1.0)])
    head = keras.Sequential([keras.Input((16,)), keras.layers.Dense(1, use_bias=False)])
    head.layers[0].set_weights([np.ones((16, 1))])
    otad = lipot.OTAD(backbone, head, neighbors=12, smoothness=1.001, convexity=0.999).adapt(x)
    point, step = 0.1 * x[:1], 0.05
    behind = lipot.certify(otad, point, norm="inf").neighbors
    moved = otad.predict(point + step, verbose=0) - otad.predict(point, verbose=0)
    assert step < behind.set_radius[0]
    assert abs(moved[0, 0]) / step <= behind.slope[0] <= 16.0 * 1.01
