"""OTAD as a Keras model: answers, edges, saving, gradients."""

import keras
import numpy as np
import pytest
from keras import ops

import lipot
from lipot import backend
from lipot.math.interpolation import interpolate
from lipot.math.precision import widest_float
from lipot.models import OTAD, InterpolationData, NearestMean, StraightThrough
from tests.helpers import to_numpy


def network(dimension=4, units=3):
    backbone = keras.Sequential(
        [keras.Input((dimension,)), keras.layers.Dense(dimension, "tanh")], name="backbone"
    )
    head = keras.Sequential([keras.Input((dimension,)), keras.layers.Dense(units)], name="head")
    return backbone, head


def points(count=60, dimension=4, seed=0):
    return np.random.default_rng(seed).normal(size=(count, dimension)).astype("float32")


def adapted(**arguments):
    return OTAD(*network(), **{"neighbors": 5, **arguments}).adapt(points())


@pytest.mark.smoke
def test_answers_are_those_of_the_functions():
    model, queries = adapted(), points(7, seed=1)
    stored = points()
    order = np.argsort(np.linalg.norm(queries[:, None] - stored[None], axis=2), axis=1)[:, :5]
    z = to_numpy(model.backbone(stored))
    expected = interpolate(
        queries, stored[order], z[order], 2.0, smoothness_step=0.2, convexity_step=0.2
    )
    np.testing.assert_allclose(model.features(queries), expected.gradient, atol=1e-5)
    logits = model.predict(queries, verbose=0)
    np.testing.assert_allclose(logits, to_numpy(model.head(expected.gradient)), atol=1e-5)
    found = model.neighborhoods(queries, batch_size=3)
    np.testing.assert_array_equal(found.indices, order)
    np.testing.assert_array_equal(found.steps, expected.steps)
    own = to_numpy(model.backbone(queries))
    np.testing.assert_allclose(
        model.relative_error(queries),
        np.sum((to_numpy(expected.gradient) - own) ** 2, axis=1) / np.sum(own**2, axis=1),
        rtol=1e-3,
    )


def test_interpolates_its_training_points():
    model = OTAD(*network(), neighbors=5, smoothness=30.0, convexity=-30.0).adapt(points())
    assert model.neighborhoods(points()).steps.max() == 0
    np.testing.assert_allclose(
        model.features(points()), to_numpy(model.backbone(points())), atol=1e-4
    )


def test_more_neighbors_than_points():
    model = OTAD(*network(), neighbors=10).adapt(points(3))
    assert model.neighborhoods(points(2, seed=1)).indices.shape == (2, 3)
    assert np.all(lipot.certify(model, points(2, seed=1)).neighbors.set_radius == np.inf)
    assert np.all(np.isfinite(model.features(points(2, seed=1))))


def test_repeated_points_are_stored_once():
    repeated = np.concatenate([points(5), points(5), points(2, seed=1)])
    model = OTAD(*network(), neighbors=4).adapt(repeated)
    assert model.memory.size == 7
    assert np.all(model.neighborhoods(points(5)).feasible)


def test_one_point_with_two_features_is_reported_and_answered():
    model = adapted(neighbors=3)
    stored = np.array(model.memory.points)
    stored[1] = stored[0]
    model.memory.store(stored, np.array(model.memory.features), None, (4,))
    found = model.neighborhoods(stored[:1])
    # In float32 the contradiction drowns in the rounding of thousands of relaxations.
    assert not found.feasible[0] or widest_float() == "float32"
    assert found.steps[0] > 1000
    assert np.all(np.isfinite(model.predict(stored[:1], verbose=0)))


@pytest.mark.parametrize("search", ["exact", "faiss"])
def test_saves_whole(tmp_path, search):
    if search == "faiss":
        pytest.importorskip("faiss")
    metric = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    backbone, head = network()
    model = OTAD(backbone, head, 4, 1.5, -0.1, smoothness_step=0.5, metric=metric, search=search)
    model.adapt(points())
    queries = points(6, seed=1)
    expected = model.predict(queries, verbose=0)
    model.save(tmp_path / "otad.keras")
    loaded = keras.saving.load_model(tmp_path / "otad.keras", safe_mode=True)
    np.testing.assert_allclose(loaded.predict(queries, verbose=0), expected, atol=1e-6)
    np.testing.assert_allclose(loaded.features(queries), model.features(queries), atol=1e-6)
    assert loaded.interpolation.get_config() == model.interpolation.get_config()
    assert (loaded.neighbors, loaded.search) == (4, search)


def test_saves_before_it_is_adapted(tmp_path):
    model = OTAD(*network())
    model.build()
    model.save(tmp_path / "otad.keras")
    loaded = keras.saving.load_model(tmp_path / "otad.keras", safe_mode=True)
    with pytest.raises(RuntimeError, match="holds no training points"):
        loaded.predict(points(1), verbose=0)
    loaded.adapt(points())
    np.testing.assert_allclose(
        loaded.predict(points(2, seed=1), verbose=0),
        model.adapt(points()).predict(points(2, seed=1), verbose=0),
        atol=1e-6,
    )


def test_adapts_again_to_another_number_of_points():
    model = adapted()
    before = model.predict(points(2, seed=1), verbose=0)
    model.adapt(points(20, seed=2))
    assert model.memory.size == 20 and len(model.memory.weights) == 5
    fresh = OTAD(model.backbone, model.head, neighbors=5).adapt(points(20, seed=2))
    after = model.predict(points(2, seed=1), verbose=0)
    np.testing.assert_allclose(after, fresh.predict(points(2, seed=1), verbose=0), atol=1e-6)
    assert np.max(np.abs(after - before)) > 1e-3


@pytest.mark.smoke
def test_gradient_is_the_true_one():
    model = adapted()
    query = points(1, seed=3).astype("float64")

    def loss(x):
        return ops.sum(ops.square(model(ops.cast(x, "float32"))))

    _, gradient = backend.value_and_input_gradient(loss, query)
    direction = np.random.default_rng(0).normal(size=query.shape)
    step = 1e-3
    numeric = (float(loss(query + step * direction)) - float(loss(query - step * direction))) / (
        2 * step
    )
    np.testing.assert_allclose(np.sum(np.asarray(gradient) * direction), numeric, rtol=1e-2)


def test_straight_through_has_the_value_of_one_and_the_slope_of_the_other(tmp_path):
    model = adapted()
    surrogate = StraightThrough(model)
    query = points(5, seed=3)
    np.testing.assert_allclose(to_numpy(surrogate(query)), to_numpy(model(query)), atol=1e-6)
    gradients = [
        backend.value_and_input_gradient(lambda x, f=f: ops.sum(f(x)[:, 0]), query)[1]
        for f in (surrogate, model.network, model)
    ]
    np.testing.assert_allclose(gradients[0], gradients[1], atol=1e-6)
    assert np.max(np.abs(np.asarray(gradients[1]) - np.asarray(gradients[2]))) > 1e-3
    surrogate.save(tmp_path / "bpda.keras")
    loaded = keras.saving.load_model(tmp_path / "bpda.keras", safe_mode=True)
    np.testing.assert_allclose(to_numpy(loaded(query)), to_numpy(model(query)), atol=1e-6)


def test_local_lipschitz_is_met_and_bounded():
    model = adapted(smoothness=1.0)
    x = points(30, seed=4)
    found = model.local_lipschitz(x, eps=1e-3, steps=4)
    inside = lipot.certify(model, x).neighbors.set_radius > 1e-3
    assert np.sum(inside) > 15
    assert np.max(found[inside]) <= 1.0 + 1e-2
    np.testing.assert_array_equal(found, model.local_lipschitz(x, eps=1e-3, steps=4))
    # A random direction is no steeper than the climb, up to where it ends.
    moved = x + 1e-3 * np.eye(4, dtype="float32")[0]
    change = np.linalg.norm(model.features(moved) - model.features(x), axis=1) / 1e-3
    assert np.mean(found[inside] >= change[inside] - 1e-2) > 0.9


def test_regression_head():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, size=(400, 2)).astype("float32")
    y = (x[:, 0] + 0.5 * x[:, 1]).astype("float32")
    backbone, head = network(2, 1)
    trained = keras.Sequential([backbone, head])
    trained.compile(keras.optimizers.Adam(0.05), "mse")
    trained.fit(x, y, epochs=30, verbose=0)
    model = OTAD(backbone, head, neighbors=6, smoothness=2.0).adapt(x, y)
    model.compile(loss="mse")
    test = rng.uniform(-0.9, 0.9, size=(100, 2)).astype("float32")
    assert model.evaluate(test, test[:, 0] + 0.5 * test[:, 1], verbose=0) < 0.01


def test_metric_chooses_the_neighbors():
    metric = keras.layers.Lambda(lambda x: x[:, :1])
    model = OTAD(*network(), neighbors=3, metric=metric).adapt(points())
    query = points(4, seed=1)
    expected = np.argsort(np.abs(query[:, None, 0] - points()[None, :, 0]), axis=1)[:, :3]
    np.testing.assert_array_equal(model.neighborhoods(query).indices, expected)


def test_embedding_comes_first():
    embedding = keras.Sequential(
        [keras.Input((2, 2)), keras.layers.Dense(3), keras.layers.Dropout(0.5)]
    )
    backbone = keras.Sequential([keras.Input((2, 3)), keras.layers.Dense(3, "tanh")])
    head = keras.Sequential(
        [keras.Input((2, 3)), keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(2)]
    )
    x = points(30).reshape(30, 2, 2)
    settings = {"smoothness": 50.0, "convexity": -50.0}
    model = OTAD(backbone, head, 5, embedding=embedding, **settings).adapt(x)
    np.testing.assert_allclose(
        model.predict(x, verbose=0), to_numpy(head(backbone(embedding(x)))), atol=1e-3
    )
    assert model.compute_output_shape((None, 2, 2)) == (None, 2)


def test_nearest_mean_is_the_mean():
    model = NearestMean(*network(), neighbors=4).adapt(points())
    query = points(3, seed=1)
    order = np.argsort(np.linalg.norm(query[:, None] - points()[None], axis=2), axis=1)[:, :4]
    z = to_numpy(model.backbone(points()))
    np.testing.assert_allclose(model.features(query), z[order].mean(axis=1), atol=1e-6)


def test_faiss_agrees_with_the_graph():
    pytest.importorskip("faiss")
    query = points(20, seed=1)
    backbone, head = network()
    exact, other = (
        OTAD(backbone, head, neighbors=5, search=search).adapt(points())
        for search in ("exact", "faiss")
    )
    np.testing.assert_allclose(
        other.predict(query, verbose=0), exact.predict(query, verbose=0), atol=1e-5
    )
    np.testing.assert_array_equal(
        other.neighborhoods(query).indices, exact.neighborhoods(query).indices
    )


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"backbone": "resnet"}, "`backbone`"),
        ({"neighbors": 0}, "`neighbors`.*neighbors=0"),
        ({"search": "annoy"}, "`search`.*search='annoy'"),
        ({"solver": 3}, "`solver`.*solver=3"),
        ({"smoothness": -2.0}, "`smoothness`.*smoothness=-2.0"),
        ({"metric": np.sum}, "`metric`"),
    ],
)
def test_bad_arguments(arguments, message):
    backbone, head = network()
    with pytest.raises(ValueError, match=message):
        OTAD(**{"backbone": backbone, "head": head, **arguments})


def test_bad_calls():
    model = OTAD(*network())
    with pytest.raises(RuntimeError, match="Call adapt"):
        model.features(points())
    for wrong, received in (
        (np.diag([1.0, np.nan, np.inf, 2.0]), "finite.*2 NaN or infinite values"),
        (np.full((3, 4), "0.5"), "numbers. Received: dtype <U3"),
        (np.zeros(3), r"Received: shape \(3,\)"),
    ):
        with pytest.raises(ValueError, match=f"argument `x`.*{received}"):
            model.adapt(wrong)
    with pytest.raises(TypeError, match="not trained by fit"):
        model.fit(points())
    narrow = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="argument `backbone`.*shaped like"):
        OTAD(narrow, keras.layers.Dense(2)).adapt(points())


@pytest.mark.parametrize("before", [None, 60, 25])
def test_weights_bring_their_points(tmp_path, before):
    file, queries = tmp_path / "otad.weights.h5", points(7, seed=1)
    model = adapted()
    model.save_weights(file)
    other = OTAD(*network(), neighbors=5)
    if before is None:
        other.build()
    else:
        other.adapt(points(before, seed=2))
        other.predict(queries, verbose=0)
    other.load_weights(file)
    assert other.memory.size == 60
    np.testing.assert_array_equal(
        other.predict(queries, verbose=0), model.predict(queries, verbose=0)
    )


def test_weights_without_points_are_refused(tmp_path):
    file = tmp_path / "otad.weights.h5"
    empty = OTAD(*network(), neighbors=5)
    empty.build()
    empty.save_weights(file)
    with pytest.raises(ValueError, match="points|objects could not be loaded"):
        adapted().load_weights(file)


def test_predict_takes_what_keras_takes_by_place():
    model = adapted()
    named = model.predict(points(3), batch_size=2, verbose=0)
    np.testing.assert_array_equal(model.predict(points(3), 2, 0), named)


def test_a_clone_without_points_says_so():
    model = adapted()
    clone = keras.models.clone_model(model)
    x = points()[:4]
    for asked in (lambda: clone(x), lambda: clone.predict(x, verbose=0), lambda: clone.features(x)):
        with pytest.raises(RuntimeError, match="holds no training points"):
            asked()
    clone.compile(loss="mse")
    with pytest.raises(RuntimeError, match="holds no training points"):
        clone.evaluate(x, model.predict(x, verbose=0), verbose=0)
    clone.set_weights(model.get_weights())
    np.testing.assert_allclose(
        clone.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-5, atol=1e-5
    )


def test_a_step_is_refused_like_fit():
    model = adapted()
    model.compile("sgd", "mse")
    x = points()[:4]
    with pytest.raises(TypeError, match="is not trained by fit"):
        model.train_on_batch(x, model.predict(x, verbose=0))


def test_what_is_asked_of_parts_knows_their_weights_as_they_are():
    """Compiled once, it must not keep the weights that were there then."""
    x = np.random.default_rng(0).normal(size=(12, 3)).astype("float32")
    backbone = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
    head = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    metric = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model = OTAD(backbone, head, neighbors=3, metric=metric).adapt(x)
    model.network_features(x), model.codes(x)
    for network in (backbone, metric):
        kernel = network.layers[0].kernel
        kernel.assign(3.0 * kernel)
    np.testing.assert_allclose(model.network_features(x), to_numpy(backbone(x)), rtol=1e-5)
    center = to_numpy(model.memory.center)
    np.testing.assert_allclose(model.codes(x), to_numpy(metric(x)) - center, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("ask", "name"),
    [
        (lambda model, x: model.features(x, batch_size=0), "batch_size"),
        (lambda model, x: model.nearest(x, count=0), "count"),
        (lambda model, x: model.predict(x[:0]), "x"),
        (lambda model, x: model.features(x[:0]), "x"),
        (lambda model, x: model.local_lipschitz(x, steps=-1), "steps"),
        (lambda model, x: InterpolationData(model, x, batch_size=0), "batch_size"),
        (lambda model, x: InterpolationData("model", x), "otad"),
        (lambda model, x: OTAD(model.backbone, model.head, memory="memory"), "memory"),
        (lambda model, x: OTAD(model.backbone, model.head, dtype="float64"), "dtype"),
    ],
)
def test_arguments_that_cannot_be_are_named(ask, name):
    x = np.random.default_rng(0).normal(size=(12, 3)).astype("float32")
    network = keras.Sequential([keras.Input((3,)), keras.layers.Rescaling(2.0)])
    model = OTAD(network, network, neighbors=3).adapt(x)
    with pytest.raises(ValueError, match=f"argument `{name}`"):
        ask(model, x)


@pytest.mark.parametrize("ask", ["predict", "features", "codes", "neighborhoods"])
def test_queries_shaped_unlike_the_points_are_refused(ask):
    model = adapted()
    # Compiled for two sizes of a batch, a program may take any shape.
    for count in (3, 7):
        getattr(model, ask)(points(count))
    for wrong in (points()[:, :3], points()[:, :, None], points()[0]):
        with pytest.raises(ValueError, match=r"`x`.*points of shape \(4,\).*Received: shape"):
            getattr(model, ask)(wrong)


def test_a_point_alone_has_no_neighbor():
    with pytest.raises(ValueError, match="stores a single point"):
        OTAD(*network()).adapt(points(1)).without_itself(points(1))


@pytest.mark.slow
def test_an_embedding_that_takes_several_ranks_gets_a_program_for_each():
    model, queries = adapted(embedding=keras.layers.Flatten()), points(6, seed=1)
    expected = model.features(queries)
    logits, _ = to_numpy(model.head(expected)), model.compile(loss="mse")
    for shape in ((6, 2, 2), (6, 4), (6, 2, 2)):
        given = queries.reshape(shape)
        np.testing.assert_allclose(model.features(given), expected, atol=1e-6)
        np.testing.assert_allclose(model.predict(given, verbose=0), logits, atol=1e-6)
        assert model.evaluate(given, logits, verbose=0) < 1e-10
    with pytest.raises(ValueError, match="embedding is of shape"):
        model.predict(queries[:, :3], verbose=0)
