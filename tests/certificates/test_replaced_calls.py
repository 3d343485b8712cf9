"""Calls that were changed from outside, on a class or by a function hung on a layer."""

import functools

import keras
import numpy as np
import pytest
from keras import layers

import lipot
from tests.helpers import functional, to_numpy


@pytest.mark.parametrize("name", ["call", "__call__", "forward"])
@pytest.mark.parametrize("layer_class", [layers.Dense, lipot.layers.SpectralDense, keras.Model])
def test_a_call_replaced_on_a_class_of_a_library_is_not_its_call(monkeypatch, layer_class, name):
    layer = layers.Dense(2) if layer_class is keras.Model else layer_class(2)
    model = functional(layer, (4,))
    called = type(model if layer_class is keras.Model else layer)
    owner = next((parent for parent in called.__mro__ if name in vars(parent)), None)
    if owner is None:
        pytest.skip("PyTorch alone calls it.")
    own = getattr(owner, name)

    @functools.wraps(own)
    def tenfold(*args, **kwargs):
        return 10.0 * own(*args, **kwargs)

    monkeypatch.setattr(owner, name, tenfold)
    with pytest.raises(ValueError, match=f"`{name}` was replaced"):
        lipot.lipschitz_constant(model)
    monkeypatch.undo()
    assert lipot.lipschitz_constant(model) > 0.0


@pytest.mark.parametrize(
    "layer, name",
    [
        (lambda: layers.Conv2D(2, 1), "convolution_op"),
        (lambda: layers.Dense(2), "kernel"),
        (lambda: lipot.layers.SpectralDense(2), "effective_kernel"),
    ],
)
def test_what_a_call_uses_may_be_replaced_on_a_class_too(monkeypatch, layer, name):
    model = functional(layer(), (3, 3, 4))
    owner = next(parent for parent in type(model.layers[1]).__mro__ if name in vars(parent))
    own = vars(owner)[name]

    def tenfold(*args, **kwargs):
        return 10.0 * (own.fget if isinstance(own, property) else own)(*args, **kwargs)

    # With a bias of zeros, so are the outputs.
    before = to_numpy(model(np.ones((1, 3, 3, 4))))
    monkeypatch.setattr(owner, name, property(tenfold) if isinstance(own, property) else tenfold)
    np.testing.assert_allclose(to_numpy(model(np.ones((1, 3, 3, 4)))), 10.0 * before, rtol=1e-3)
    with pytest.raises(ValueError, match=f"`{name}` was replaced"):
        lipot.lipschitz_constant(model)


def test_what_someone_added_to_a_class_is_not_part_of_a_call(monkeypatch):
    monkeypatch.setattr(layers.Layer, "in_our_words", lambda layer: layer.name, raising=False)
    assert lipot.lipschitz_constant(functional(layers.ReLU(), (4,))) > 0.0


HOOKS = {
    "register_forward_hook": lambda layer, given, made: 3.0 * made,
    "register_forward_pre_hook": lambda layer, given: tuple(3.0 * tensor for tensor in given),
}


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="Its layers alone have hooks.")
@pytest.mark.parametrize("kind", HOOKS)
@pytest.mark.parametrize("place", ["layer", "model", "inside", "everywhere"])
def test_a_layer_on_which_a_function_hangs_is_another_layer(kind, place):
    dense, points = layers.Dense(2), np.ones((1, 3, 4), "float32")
    model = functional(layers.SpectralNormalization(dense) if place == "inside" else dense, (3, 4))
    before = to_numpy(model(points))
    if place == "everywhere":
        modules = pytest.importorskip("torch").nn.modules.module
        hang = getattr(modules, kind.replace("register_", "register_module_"))
    else:
        hang = getattr(model if place == "model" else dense, kind)
    handle = hang(HOOKS[kind])
    try:
        assert np.all(to_numpy(model(points)) != before)
        with pytest.raises(ValueError, match=f"`{kind}`"):
            lipot.lipschitz_constant(model)
    finally:
        handle.remove()
    assert lipot.lipschitz_constant(model) > 0.0
