"""Every radius OTAD certifies is attacked."""

import keras
import numpy as np
import pytest
from keras import ops

import lipot
from lipot import backend
from lipot.backend.keras_graph import forget_programs
from lipot.math.precision import widest_float
from lipot.models import OTAD

# The interpolation itself runs in float32 on JAX and PyTorch, and its rounding is counted.
TIGHT = 1e-4 if widest_float() == "float64" else 0.5


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


def ascent(model, labels):
    """The true gradient of the margin at a batch, compiled once for all climbs."""

    def gap(inputs):
        logits = model(inputs)
        own = ops.one_hot(labels, logits.shape[1])
        best_other = ops.max(ops.where(own > 0, -1e9, logits), axis=1)
        return ops.sum(best_other - ops.sum(own * logits, axis=1))

    return backend.compile(lambda inputs: backend.value_and_input_gradient(gap, inputs)[1])


def climb(ascend, x, radius, steps=30, seed=0):
    """PGD on the true gradient of the margin, from a random point of the sphere."""
    rng = np.random.default_rng(seed)
    shift = rng.normal(size=x.shape)
    shift *= radius[:, None] / np.linalg.norm(shift, axis=1, keepdims=True)
    for _ in range(steps):
        gradient = np.asarray(ascend((x + shift).astype("float32")), "float64")
        shift = shift + 0.3 * radius[:, None] * gradient / (
            np.linalg.norm(gradient, axis=1, keepdims=True) + 1e-12
        )
        shift *= np.minimum(1.0, radius / (np.linalg.norm(shift, axis=1) + 1e-30))[:, None]
    return x + shift


def test_no_attack_inside_the_radius_succeeds(model):
    x, y = blobs(150, seed=1)
    certificate = lipot.certify(model, x, y)
    np.testing.assert_array_equal(
        certificate.predictions, np.argmax(model.predict(x, verbose=0), axis=1)
    )
    # An attack on radii of zero would prove nothing.
    assert np.mean(certificate.radius > 0.02) > 0.4
    ascend = ascent(model, certificate.predictions)
    for seed in range(3):
        attacked = climb(ascend, x, 0.99 * certificate.radius, seed=seed)
        moved = np.argmax(model.predict(attacked.astype("float32"), verbose=0), axis=1)
        np.testing.assert_array_equal(moved, certificate.predictions)
    outside = climb(ascend, x, 40.0 * certificate.radius)
    moved = np.argmax(model.predict(outside.astype("float32"), verbose=0), axis=1)
    assert np.mean(moved != certificate.predictions) > 0.2


def test_the_neighbor_set_is_constant_up_to_the_radius_and_not_beyond(model):
    x, _ = blobs(40, seed=2)
    radius = lipot.certify(model, x).neighbors.set_radius
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
    certificate = lipot.certify(model, np.array([[0.75], [-0.2]]), np.array([0, 0]))
    behind = certificate.neighbors
    np.testing.assert_allclose(behind.set_radius, [0.75, 0.2], rtol=1e-5)
    # The margin is 2 at feature 1; |w_0 - w_1| = 2 and L = 0.5 give a radius of 2.
    np.testing.assert_allclose(behind.margin_radius, [2.0, 2.0], rtol=TIGHT)
    np.testing.assert_allclose(certificate.radius, [0.75, 0.2], rtol=1e-5)
    assert np.all(certificate.radius < [0.75, 0.2])
    np.testing.assert_array_equal(certificate.predictions, [0, 1])
    assert certificate.accuracy(0.1) == 0.5


def test_one_unit_is_certified_by_its_sign(model):
    head = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    one = OTAD(model.backbone, head, neighbors=4, smoothness=1.0).adapt(blobs(80, seed=0)[0])
    x, _ = blobs(20, seed=3)
    certificate = lipot.certify(one, x)
    output = one.predict(x, verbose=0)[:, 0]
    behind = certificate.neighbors
    expected = np.abs(output) / behind.slope[0]
    assert np.all(behind.margin_radius <= expected)
    np.testing.assert_allclose(behind.margin_radius, expected, rtol=TIGHT, atol=TIGHT)


def test_regression_moves_no_faster_than_the_slope(model):
    x, _ = blobs(60, seed=4)
    certificate = lipot.certify(model, x)
    direction = np.random.default_rng(0).normal(size=x.shape)
    behind = certificate.neighbors
    direction *= 0.99 * behind.set_radius[:, None] / np.linalg.norm(direction, axis=1)[:, None]
    moved = model.predict((x + direction).astype("float32"), verbose=0)
    change = np.abs(moved - model.predict(x, verbose=0))
    limit = behind.slope * behind.set_radius[:, None]
    assert np.all(change <= limit + 1e-4)


class Squared(keras.layers.Dense):
    def call(self, inputs):
        return super().call(inputs) ** 2


def with_head(model, head, **parts):
    return OTAD(model.backbone, head, 4, 1.0, **parts).adapt(blobs(80, seed=0)[0])


def assert_unbroken(model, x, certificate):
    np.testing.assert_array_equal(
        certificate.predictions, np.argmax(model.predict(x, verbose=0), axis=1)
    )
    ascend = ascent(model, certificate.predictions)
    attacked = climb(ascend, x, 0.99 * certificate.radius)
    moved = np.argmax(model.predict(attacked.astype("float32"), verbose=0), axis=1)
    held = certificate.radius > 0.0
    np.testing.assert_array_equal(moved[held], certificate.predictions[held])


def proven_heads():
    inputs = keras.Input((3,))
    return {
        "relu": keras.Model(inputs, keras.layers.Dense(3)(keras.ops.relu(inputs))),
        "softmax": keras.Sequential([keras.Input((3,)), keras.layers.Dense(3, "softmax")]),
        "tanh": keras.Sequential([keras.Input((3,)), keras.layers.Dense(3, "tanh")]),
        "deep": keras.Sequential(
            [keras.Input((3,)), keras.layers.Dense(5, "relu"), keras.layers.Dense(3)]
        ),
        "layer": keras.layers.Dense(3),
    }


@pytest.mark.parametrize("kind", list(proven_heads()))
def test_a_head_with_a_graph_needs_no_constant(model, kind):
    x, _ = blobs(40, seed=5)
    curved = with_head(model, proven_heads()[kind])
    certificate = lipot.certify(curved, x)
    assert np.mean(certificate.radius > 0.005) > 0.15
    assert_unbroken(curved, x, certificate)


def test_a_head_that_only_looks_affine_needs_its_constant(model):
    x, _ = blobs(10, seed=5)
    curved = with_head(model, keras.Sequential([keras.Input((3,)), Squared(3)]))
    with pytest.raises(ValueError, match="argument `head_lipschitz`.*Squared"):
        lipot.certify(curved, x)
    certificate = lipot.certify(curved, x, head_lipschitz=50.0)
    assert certificate.proof.endswith("with head_lipschitz as given")
    assert_unbroken(curved, x, certificate)


def test_a_given_constant_takes_the_place_of_the_proven_one(model):
    x, _ = blobs(10, seed=5)
    curved = with_head(model, proven_heads()["tanh"])
    norm = np.linalg.norm(np.array(curved.head.layers[0].kernel), 2)
    proven, given, double = (
        lipot.certify(curved, x, head_lipschitz=constant).neighbors.margin_radius
        for constant in (None, norm, 2.0 * norm)
    )
    np.testing.assert_allclose(given, proven, rtol=TIGHT, atol=TIGHT)
    np.testing.assert_allclose(double, proven / 2.0, rtol=2.0 * TIGHT, atol=TIGHT)


def test_one_sigmoid_begins_at_one_half(model):
    x, _ = blobs(10, seed=5)
    head = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, "sigmoid")])
    one = with_head(model, head)
    inside = one.predict(x, verbose=0)[:, 0] > 0.5
    for constant in (None, 1.0):
        certificate = lipot.certify(one, x, head_lipschitz=constant)
        np.testing.assert_array_equal(certificate.predictions, inside)


def test_a_metric_is_proven_or_given(model):
    x, _ = blobs(10, seed=5)
    metric = keras.Sequential([keras.Input((3,)), keras.layers.Rescaling(2.0)])
    twice = with_head(model, model.head, metric=metric)
    expected = lipot.certify(model, x).neighbors.set_radius
    for given in (None, 2.0):
        found = lipot.certify(twice, x, metric_lipschitz=given).neighbors.set_radius
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)
    unknown = with_head(model, model.head, metric=keras.layers.UnitNormalization())
    with pytest.raises(ValueError, match="argument `metric_lipschitz`"):
        lipot.certify(unknown, x)
    assert np.all(lipot.certify(unknown, x, metric_lipschitz=9.0).radius >= 0.0)


def test_an_embedding_is_proven(model):
    x, _ = blobs(60, seed=5)
    embedding = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
    embedded = with_head(model, model.head, embedding=embedding)
    certificate = lipot.certify(embedded, x)
    assert np.mean(certificate.radius > 0.005) > 0.15
    assert_unbroken(embedded, x, certificate)


def test_labels_summary_and_plot(model):
    x, y = blobs(30, seed=6)
    certificate = lipot.certify(model, x, np.eye(3)[y])
    assert len(certificate) == 30 and repr(certificate).startswith("<Certificate of 30 points,")
    assert "median radius of the neighbors" in certificate.summary()
    assert "Lipschitz" not in certificate.summary()
    assert certificate.plot().get_ylim() == (0.0, 100.0)
    np.testing.assert_allclose(
        certificate.accuracy([0.0, 0.1]), [certificate.accuracy(0.0), certificate.accuracy(0.1)]
    )
    with pytest.raises(ValueError, match="needs labels"):
        lipot.certify(model, x).accuracy(0.1)


class Louder(OTAD):
    def combine(self, query, neighbors, features):
        return 2.0 * super().combine(query, neighbors, features)


class Named(OTAD):
    """The same model."""


def test_errors(model):
    x, _ = blobs(3, seed=5)
    with pytest.raises(ValueError, match="argument `heads` received.*'head_lipschitz'"):
        lipot.certify(model, x, heads=2.0)
    with pytest.raises(ValueError, match="argument `head_lipschitz`.*head_lipschitz=-1"):
        lipot.certify(with_head(model, proven_heads()["tanh"]), x, head_lipschitz=-1)
    with pytest.raises(ValueError, match="argument `x`"):
        lipot.certify(model, np.full((2, 3), np.nan))
    with pytest.raises(ValueError, match="argument `batch_size`"):
        lipot.certify(model, x, batch_size=0)
    with pytest.raises(ValueError, match="call adapt"):
        lipot.certify(OTAD(model.backbone, model.head), x)
    louder = Louder(model.backbone, model.head, 4, 1.0).adapt(blobs(80, seed=0)[0])
    with pytest.raises(ValueError, match="Louder.*'combine'"):
        lipot.certify(louder, x)
    same = Named(model.backbone, model.head, 4, 1.0).adapt(blobs(80, seed=0)[0])
    np.testing.assert_array_equal(lipot.certify(same, x).radius, lipot.certify(model, x).radius)


def test_norms_that_are_not_those_of_the_codes_are_refused(model):
    stale = with_head(model, model.head)
    stale.memory.codes.assign(2.0 * np.array(stale.memory.codes))
    with pytest.raises(ValueError, match="adapt"):
        lipot.certify(stale, blobs(3, seed=5)[0])


def around(shift, search="exact"):
    """Data far from the origin, and a backbone that takes it back."""
    keras.utils.set_random_seed(0)
    # Few enough that a certificate looks at each of them.
    x, _ = blobs(60, seed=0)
    x = (x.astype("float64") + shift).astype("float32")
    centered = keras.layers.Rescaling(1.0, -float(shift))
    backbone = keras.Sequential([keras.Input((3,)), centered, keras.layers.Dense(3, "tanh")])
    backbone.layers[1].set_weights([np.eye(3), -np.full(3, 0.7)])
    head = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
    head.layers[0].set_weights([4.0 * np.eye(3), np.zeros(3)])
    return OTAD(backbone, head, neighbors=4, smoothness=1.0, search=search).adapt(x)


def to_the_edge(model, x, radius):
    """Steps towards the nearest points outside the set, where the neighbors first change."""
    points = np.array(model.memory.points, "float64")
    x = x.astype("float64")
    order = np.argsort(np.linalg.norm(points - x[:, None], axis=2), axis=1)
    for near in range(4):
        for far in range(4, 9):
            direction = points[order[:, far]] - points[order[:, near]]
            direction /= np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-12)
            yield (x + radius[:, None] * direction).astype("float32")


@pytest.mark.parametrize("search", ["exact", "faiss"])
@pytest.mark.parametrize("shift", [0.0, 100.0, 2000.0, 5000.0, 1e6])
def test_no_certificate_far_from_the_origin_is_broken(shift, search):
    if search == "faiss":
        pytest.importorskip("faiss")
    model = around(shift, search)
    x, _ = blobs(100, seed=1)
    x = (x.astype("float64") + shift).astype("float32")
    certificate = lipot.certify(model, x)
    if shift <= 5000.0 and widest_float() == "float64":
        assert np.mean(certificate.radius > 0.003) > 0.5
    held = certificate.radius > 0.0
    for attacked in to_the_edge(model, x, 0.999 * certificate.radius):
        moved = np.argmax(model.predict(attacked, batch_size=100, verbose=0), axis=1)
        np.testing.assert_array_equal(moved[held], certificate.predictions[held])


@pytest.mark.parametrize("shift", [2000.0, 5000.0])
def test_neighbors_far_from_the_origin_are_the_nearest(shift):
    model = around(shift)
    points = np.array(model.memory.points, "float64")
    x = (blobs(100, seed=1)[0].astype("float64") + shift).astype("float32")
    distances = np.linalg.norm(points - x[:, None].astype("float64"), axis=2)
    np.testing.assert_array_equal(
        model.neighborhoods(x).indices, np.argsort(distances, axis=1, kind="stable")[:, :4]
    )


def test_a_search_that_finds_others_proves_nothing(model):
    wrong = with_head(model, model.head)
    x, _ = blobs(20, seed=5)
    # In float32, where keras.ops has no float64, the interpolation leaves two in twenty unproven.
    assert np.mean(lipot.certify(wrong, x).radius > 0.0) > 0.8
    # All codes around one point, 1e6 away: their order drowns in the scores.
    far = np.array(wrong.memory.codes) + np.float32(1e6)
    wrong.memory.codes.assign(far)
    wrong.memory.norms.assign(np.sum(far.astype("float64") ** 2, axis=1))
    wrong.memory.center.assign(np.array(wrong.memory.center) - np.float32(1e6))
    forget_programs(wrong)
    assert np.all(lipot.certify(wrong, x).radius == 0.0)


def test_potentials_do_not_depend_on_which_neighbor_is_nearest(model):
    x, _ = blobs(40, seed=7)
    certificate = lipot.certify(model, x)
    before = model.neighborhoods(x)
    step = 0.99 * certificate.neighbors.set_radius[:, None]
    direction = np.random.default_rng(0).normal(size=x.shape)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    after = model.neighborhoods((x + step * direction).astype("float32"))
    np.testing.assert_array_equal(np.sort(before.indices), np.sort(after.indices))
    assert np.any(before.indices != after.indices)
    arranged = [np.array(model.arrange(ops.convert_to_tensor(n.indices))) for n in (before, after)]
    np.testing.assert_array_equal(*arranged)
    np.testing.assert_array_equal(before.steps, after.steps)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="It has no float64 otherwise.")
def test_a_metric_in_double_precision_is_rounded_to_single():
    # 2^26 and what is added to it differ by steps of eight in single precision.
    metric = keras.Sequential(
        [keras.Input((2,)), keras.layers.Rescaling(1.0, offset=2.0**26, dtype="float64")]
    )
    backbone = keras.Sequential([keras.Input((2,)), keras.layers.Rescaling(1.0)])
    head = keras.layers.Dense(2)
    stored = np.array([[0.0, 0.0], [79.0, 0.0]], "float32")
    model = lipot.OTAD(backbone, head, neighbors=1, smoothness=1.0, metric=metric).adapt(stored)
    model.predict(stored, verbose=0)
    head.set_weights([np.array([[-1.0, 1.0], [0.0, 0.0]]), np.array([39.5, -39.5])])
    x = np.stack([np.linspace(0.0, 79.0, 200), np.zeros(200)], axis=1).astype("float32")
    found = lipot.certify(model, x)
    for sign in (-1.0, 1.0):
        shift = sign * found.radius[:, None] * np.array([1.0 - 1e-6, 0.0])
        moved = (x.astype("float64") + shift).astype("float32")
        inside = np.linalg.norm(moved.astype("float64") - x, axis=1) <= found.radius
        classes = model.predict(moved, verbose=0).argmax(axis=1)
        np.testing.assert_array_equal(classes[inside], found.predictions[inside])
