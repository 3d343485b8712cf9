"""CIPNet learns the exact solution and takes its place."""

import keras
import numpy as np
import pytest

import lipot
from lipot.models import OTAD, CIPNet, InterpolationData
from tests.helpers import to_numpy


@pytest.fixture(scope="module")
def otad():
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4)).astype("float32")
    backbone = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, "tanh")])
    head = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    return OTAD(backbone, head, neighbors=4, smoothness=1.0).adapt(x), x


def test_learns_and_replaces_the_solver(otad, tmp_path):
    model, x = otad
    net = CIPNet(neighbors=4, width=32, blocks=1, heads=4)
    net.compile(keras.optimizers.Adam(3e-3), "mse")
    data = InterpolationData(model, x, batch_size=50)
    untrained = net.evaluate(data, verbose=0)
    net.fit(data, epochs=25, verbose=0)
    assert net.evaluate(data, verbose=0) < 0.5 * untrained
    fast = model.with_solver(net)
    exact = model.predict(x[:50] + 0.05, verbose=0)
    close = fast.predict(x[:50] + 0.05, verbose=0)
    assert np.mean(np.argmax(exact, 1) == np.argmax(close, 1)) > 0.75
    assert fast.memory is model.memory
    fast.save(tmp_path / "fast.keras")
    loaded = keras.saving.load_model(tmp_path / "fast.keras", safe_mode=True)
    np.testing.assert_allclose(loaded.predict(x[:50] + 0.05, verbose=0), close, atol=1e-5)
    with pytest.raises(ValueError, match="learned solver keeps no Lipschitz bound"):
        lipot.certify(fast, x[:3])


def test_data_leaves_the_point_itself_out(otad):
    model, x = otad
    (query, neighbors, features), exact, own = model.without_itself(x[:20])
    np.testing.assert_allclose(query, x[:20])
    assert np.min(np.linalg.norm(neighbors - query[:, None], axis=2)) > 0.0
    np.testing.assert_allclose(own, to_numpy(model.backbone(x[:20])), atol=1e-6)
    solved = to_numpy(model.interpolation([query, neighbors, features]))
    np.testing.assert_allclose(exact, solved, atol=1e-6)


def test_mixed_target_has_the_gradient_of_the_mixed_loss(otad):
    model, x = otad
    (_, target), (_, exact), (_, own) = (
        InterpolationData(model, x, alpha=alpha, batch_size=7)[0] for alpha in (0.3, 1.0, 0.0)
    )
    answer = np.random.default_rng(0).normal(size=target.shape)
    mixed = 0.3 * 2 * (answer - exact) + 0.7 * 2 * (answer - own)
    np.testing.assert_allclose(2 * (answer - target), mixed, atol=1e-5)


def test_its_parts_have_its_dtype_and_are_frozen_with_it():
    net = CIPNet(neighbors=3, width=8, blocks=1, heads=2, dtype="float16")
    net.trainable = False
    answer = net([np.zeros((2, 5)), np.zeros((2, 3, 5)), np.zeros((2, 3, 5))])
    assert keras.backend.standardize_dtype(answer.dtype) == "float16"
    assert {weight.dtype for weight in net.weights} == {"float16"}
    assert not any(weight.trainable for weight in net.weights)


def test_data_covers_every_point_once(otad):
    model, x = otad
    data = InterpolationData(model, x, batch_size=64)
    for _ in range(2):
        seen = np.concatenate([data[i][0][0] for i in range(len(data))])
        np.testing.assert_allclose(np.sort(seen, axis=0), np.sort(x, axis=0))
        data.on_epoch_end()


def test_later_epochs_look_up_what_the_first_has_solved(otad, monkeypatch):
    model, x = otad
    solved, left_out = [], OTAD.left_out

    def counted(self, batch, **settings):
        solved.append(len(batch))
        return left_out(self, batch, **settings)

    monkeypatch.setattr(OTAD, "left_out", counted)
    kept, anew = (InterpolationData(model, x, batch_size=64, keep=keep) for keep in (True, False))
    for solves in (len(x), 0):
        solved.clear()
        looked_up = [kept[i] for i in range(len(kept))]
        assert sum(solved) == solves
        expected = [anew[i] for i in range(len(anew))]
        # On JAX a solution is rounded by its place in the batch.
        keras.tree.map_structure(
            lambda ours, theirs: np.testing.assert_allclose(ours, theirs, atol=2e-6),
            looked_up,
            expected,
        )
        kept.on_epoch_end()
        anew.on_epoch_end()


def test_errors(otad):
    with pytest.raises(ValueError, match="argument `heads`.*heads=3"):
        CIPNet(width=8, heads=3)
    with pytest.raises(ValueError, match="argument `blocks`.*blocks=0"):
        CIPNet(blocks=0)
    with pytest.raises(ValueError, match="Expected inputs of shapes"):
        CIPNet(neighbors=3, width=8, heads=2)(
            [np.zeros((1, 2)), np.zeros((1, 4, 2)), np.zeros((1, 4, 2))]
        )
    model, x = otad
    with pytest.raises(ValueError, match="argument `alpha`.*alpha=1.5"):
        InterpolationData(model, x, alpha=1.5)


@pytest.mark.parametrize("built", [False, True])
@pytest.mark.parametrize(
    "shapes",
    [
        (2, 5),
        [(2, 5), (2, 3, 5)],
        {"query": (2, 5), "neighbors": (2, 3, 5), "features": (2, 3, 5)},
        [(2, 5), (2, 2, 5), (2, 2, 5)],
        [(2, 5), (2, 3, 4), (2, 3, 5)],
        [(2, 5), (2, 3, 5), (2, 3, 4)],
    ],
)
def test_inputs_of_other_shapes_are_refused(shapes, built):
    """Whether or not Keras has built the network from inputs that fit."""
    net = CIPNet(neighbors=3, width=8, blocks=1, heads=2)
    if built:
        net([np.zeros((2, 5)), np.zeros((2, 3, 5)), np.zeros((2, 3, 5))])
    inputs = keras.tree.map_shape_structure(np.zeros, shapes)
    with pytest.raises(ValueError, match="argument `inputs`. Expected inputs of shapes"):
        net(inputs)
