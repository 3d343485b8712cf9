"""Every radius OTAD certifies is attacked."""

import keras
import numpy as np
import pytest
from keras import ops

from lipot import backend
from lipot.models import OTAD


def blobs(count, seed, dimension=3):
    """Three noisy classes in a few dimensions, where neighbor sets stay the same for a while."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    x = 2.0 * np.eye(3, dimension)[labels] + 0.8 * rng.normal(size=(count, dimension))
    return x.astype("float32"), labels


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    x, y = blobs(80, seed=0)
    backbone = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3, "tanh")])
    head = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
    network = keras.Sequential([backbone, head])
    network.compile(
        keras.optimizers.Adam(0.05), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    network.fit(x, y, epochs=30, verbose=0)
    return OTAD(backbone, head, neighbors=4, smoothness=1.0).adapt(x)


def climb(model, x, labels, radius, steps=30, seed=0):
    """PGD on the true gradient of the margin, from a random point of the sphere."""
    rng = np.random.default_rng(seed)
    shift = rng.normal(size=x.shape)
    shift *= radius[:, None] / np.linalg.norm(shift, axis=1, keepdims=True)

    def gap(inputs):
        logits = model(inputs)
        own = ops.one_hot(labels, logits.shape[1])
        best_other = ops.max(ops.where(own > 0, -1e9, logits), axis=1)
        return ops.sum(best_other - ops.sum(own * logits, axis=1))

    ascend = backend.compile(lambda inputs: backend.value_and_input_gradient(gap, inputs)[1])
    for _ in range(steps):
        gradient = np.asarray(ascend((x + shift).astype("float32")), "float64")
        shift = shift + 0.3 * radius[:, None] * gradient / (
            np.linalg.norm(gradient, axis=1, keepdims=True) + 1e-12
        )
        shift *= np.minimum(1.0, radius / np.linalg.norm(shift, axis=1))[:, None]
    return x + shift


def test_no_attack_inside_the_radius_succeeds(model):
    x, y = blobs(150, seed=1)
    certificate = model.certify(x, y)
    np.testing.assert_array_equal(
        certificate.predictions, np.argmax(model.predict(x, verbose=0), axis=1)
    )
    # An attack on radii of zero would prove nothing.
    assert np.mean(certificate.radius > 0.02) > 0.4
    for seed in range(3):
        attacked = climb(model, x, certificate.predictions, 0.99 * certificate.radius, seed=seed)
        moved = np.argmax(model.predict(attacked.astype("float32"), verbose=0), axis=1)
        np.testing.assert_array_equal(moved, certificate.predictions)
    outside = climb(model, x, certificate.predictions, 40.0 * certificate.radius)
    moved = np.argmax(model.predict(outside.astype("float32"), verbose=0), axis=1)
    assert np.mean(moved != certificate.predictions) > 0.2


def test_the_neighbor_set_is_constant_up_to_the_radius_and_not_beyond(model):
    x, _ = blobs(40, seed=2)
    radius = model.certify(x).set_radius
    stored = np.array(model.memory.points, "float64")

    def sets(points):
        distances = np.linalg.norm(points[:, None] - stored[None], axis=2)
        return np.sort(np.argsort(distances, axis=1)[:, :4], axis=1)

    before = sets(x)
    rng = np.random.default_rng(0)
    changed = np.zeros(len(x), bool)
    for _ in range(400):
        direction = rng.normal(size=x.shape)
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        inside = sets(x + 0.999 * radius[:, None] * direction)
        np.testing.assert_array_equal(inside, before)
        beyond = sets(x + 1.2 * radius[:, None] * direction)
        changed |= np.any(beyond != before, axis=1)
    # The radius is exact, not only a bound: a little beyond it some direction leaves the set.
    assert np.mean(changed) > 0.9


def test_radius_by_hand():
    # Two stored points at +-1 on a line, one neighbor: the set changes at 0. The map is constant
    # while the neighbor stays (K = 1, l = 0), so no margin ends the radius before.
    identity = keras.Sequential([keras.Input((1,)), keras.layers.Identity()])
    head = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2, use_bias=False)])
    head.layers[0].set_weights([np.array([[1.0, -1.0]], "float32")])
    model = OTAD(identity, head, neighbors=1, smoothness=0.5)
    model.adapt(np.array([[-1.0], [1.0]], "float32"))
    certificate = model.certify(np.array([[0.75], [-0.2]]), np.array([0, 0]))
    np.testing.assert_allclose(certificate.set_radius, [0.75, 0.2], rtol=1e-6)
    # The margin is 2 at feature 1; |w_0 - w_1| = 2 and L = 0.5 give a radius of 2.
    np.testing.assert_allclose(certificate.margin_radius, [2.0, 2.0], rtol=1e-6)
    np.testing.assert_allclose(certificate.radius, [0.75, 0.2], rtol=1e-6)
    np.testing.assert_array_equal(certificate.predictions, [0, 1])
    assert certificate.accuracy(0.1) == 0.5


def test_one_unit_is_certified_by_its_sign(model):
    head = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    one = OTAD(model.backbone, head, neighbors=4, smoothness=1.0).adapt(blobs(80, seed=0)[0])
    x, _ = blobs(20, seed=3)
    certificate = one.certify(x)
    output = one.predict(x, verbose=0)[:, 0]
    np.testing.assert_allclose(
        certificate.margin_radius, np.abs(output) / certificate.slope[0], rtol=1e-4
    )


def test_regression_moves_no_faster_than_the_slope(model):
    x, _ = blobs(60, seed=4)
    certificate = model.certify(x)
    direction = np.random.default_rng(0).normal(size=x.shape)
    direction *= 0.99 * certificate.set_radius[:, None] / np.linalg.norm(direction, axis=1)[:, None]
    moved = model.predict((x + direction).astype("float32"), verbose=0)
    change = np.abs(moved - model.predict(x, verbose=0))
    limit = certificate.slope * certificate.set_radius[:, None]
    assert np.all(change <= limit + 1e-4)


class Squared(keras.layers.Dense):
    def call(self, inputs):
        return super().call(inputs) ** 2


def heads_that_only_look_affine():
    inputs = keras.Input((3,))
    return [
        keras.Model(inputs, keras.layers.Dense(3)(keras.ops.relu(inputs))),
        keras.Sequential([keras.Input((3,)), Squared(3)]),
    ]


def test_a_head_that_only_looks_affine_needs_its_constant(model):
    x, _ = blobs(10, seed=5)
    for head in heads_that_only_look_affine():
        curved = OTAD(model.backbone, head, 4, 1.0).adapt(blobs(80, seed=0)[0])
        with pytest.raises(ValueError, match="argument `head_lipschitz`"):
            curved.certify(x)


def test_a_metric_and_a_nonlinear_head_need_their_constants(model):
    metric = keras.Sequential([keras.Input((3,)), keras.layers.Rescaling(2.0)])
    head = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3, "tanh")])
    x, _ = blobs(10, seed=5)
    twice = OTAD(model.backbone, model.head, 4, 1.0, metric=metric).adapt(blobs(80, seed=0)[0])
    with pytest.raises(ValueError, match="argument `metric_lipschitz`"):
        twice.certify(x)
    np.testing.assert_allclose(
        twice.certify(x, metric_lipschitz=2.0).set_radius, model.certify(x).set_radius, rtol=1e-5
    )
    curved = OTAD(model.backbone, head, 4, 1.0).adapt(blobs(80, seed=0)[0])
    with pytest.raises(ValueError, match="argument `head_lipschitz`"):
        curved.certify(x)
    norm = np.linalg.norm(np.array(head.layers[0].kernel), 2)
    certificate = curved.certify(x, head_lipschitz=norm)
    attacked = climb(curved, x, certificate.predictions, 0.99 * certificate.radius)
    moved = np.argmax(curved.predict(attacked.astype("float32"), verbose=0), axis=1)
    np.testing.assert_array_equal(moved, certificate.predictions)
    with pytest.raises(ValueError, match="argument `y`"):
        certificate.accuracy(0.1)
