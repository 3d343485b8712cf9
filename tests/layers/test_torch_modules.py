"""On PyTorch a layer is a module: whatever is done to its parameters, the kernel follows."""

import copy
import pathlib
import re

import keras
import numpy as np
import pytest

import lipot
from lipot import layers
from tests.helpers import to_numpy
from tests.layers.kernel_cases import CASES, kernel_layers

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.skipif(keras.backend.backend() != "torch", reason="About PyTorch.")


def built(name):
    """A layer that has computed its kernel, and a batch for it."""
    options, shape = CASES[name][0]
    # One name: a state of parameters knows them by their paths.
    layer = getattr(layers, name)(name="layer", **options)
    x = torch.randn(2, *shape)
    layer(x)
    return layer, x


def check_current(layer, x):
    """The layer answers as one that was made from its weights a moment ago."""
    fresh = type(layer).from_config(layer.get_config())
    fresh.build(x.shape)
    fresh.set_weights(layer.get_weights())
    np.testing.assert_array_equal(to_numpy(layer(x)), to_numpy(fresh(x)))


def doubled(layer):
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(2)


def moved(layer):
    for parameter in layer.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data + 0.1 * torch.randn_like(parameter)


def stepped(layer):
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    x = torch.randn(2, *layer.get_build_config()["input_shape"][1:])
    layer(x, training=True).sum().backward()
    optimizer.step()


@pytest.mark.parametrize("name", kernel_layers())
@pytest.mark.parametrize("change", [doubled, moved, stepped])
def test_a_kernel_follows_parameters_that_pytorch_changes(name, change):
    layer, x = built(name)
    before = to_numpy(layer.trainable_variables[0])
    change(layer)
    assert not np.array_equal(before, to_numpy(layer.trainable_variables[0]))
    check_current(layer, x)


@pytest.mark.parametrize("name", kernel_layers())
def test_a_kernel_follows_a_state_that_is_loaded(name):
    layer, x = built(name)
    other, _ = built(name)
    layer.load_state_dict(other.state_dict())
    np.testing.assert_array_equal(to_numpy(layer(x)), to_numpy(other(x)))
    # That of parameters alone leaves a kernel behind that is not theirs.
    moved(other)
    trained = {key for key, parameter in layer.named_parameters() if parameter.requires_grad}
    state = {key: value for key, value in other.state_dict().items() if key in trained}
    layer.load_state_dict(state, strict=False)
    check_current(layer, x)


@pytest.mark.parametrize("name", kernel_layers())
def test_a_copy_and_an_average_have_kernels_of_their_own(name):
    layer, x = built(name)
    before = to_numpy(layer(x)).copy()
    average = torch.optim.swa_utils.AveragedModel(copy.deepcopy(layer))
    average.update_parameters(layer)
    moved(layer)
    average.update_parameters(layer)
    check_current(average.module, x)
    check_current(layer, x)
    twin = copy.deepcopy(layer)
    doubled(twin)
    check_current(layer, x)
    assert not np.array_equal(before, to_numpy(layer(x)))


@pytest.mark.parametrize("name", kernel_layers())
def test_a_kernel_is_computed_in_full_precision_wherever_it_is_called_first(name):
    options, shape = CASES[name][0]
    layer, x = getattr(layers, name)(**options), torch.randn(2, *shape)
    layer.build((None, *shape))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        layer(x)
    # It is kept, and so is no less exact afterwards than that of a loaded model.
    check_current(layer, x)


@pytest.mark.parametrize("name", kernel_layers())
def test_what_becomes_of_a_kernel_that_was_read_is_nothing_to_the_layer(name):
    layer, x = built(name)
    layer.inference_kernel.mul_(2)
    check_current(layer, x)


def drift(model):
    """How far the kernels that shall stay orthonormal are from it."""
    kernel = to_numpy(model.layers[0].kernel)
    return np.abs(np.linalg.svd(kernel, compute_uv=False) - 1.0).max()


def test_the_loop_of_the_documentation_trains_and_stays_orthonormal():
    page = pathlib.Path(__file__).parents[2] / "docs" / "quickstart.md"
    (loop,) = re.findall(r"^```py\n(.*?)^```$", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    names = {}
    exec(compile(loop, str(page), "exec"), names)
    model, loader, loss = names["model"], names["loader"], names["loss"]
    assert drift(model) < 0.01 and len(names["certificate"]) == 96
    x, y = loader.dataset.tensors

    # The step that it leaves to an optimizer of Keras.
    optimizer, before = lipot.optimizers.ManifoldAdam(1e-3), to_numpy(model.layers[0].kernel).copy()
    model.zero_grad()
    loss(y, model(x, training=True)).backward()
    with torch.no_grad():
        weights = model.trainable_variables
        optimizer.apply([w.value.grad for w in weights], weights)
    assert not np.array_equal(to_numpy(model.layers[0].kernel), before) and drift(model) < 0.05


def classifier():
    parts = [layers.SpectralDense(16), layers.GroupSort2(), layers.FrobeniusDense(3)]
    return keras.Sequential([keras.Input((4,)), *parts])


@pytest.mark.parametrize("change", ["double", "half", "bfloat16"])
def test_weights_of_a_type_that_keras_knows_nothing_of_are_not_certified(change):
    model, x = classifier(), np.ones((1, 4), "float32")
    lipot.certify(model, x)
    getattr(model, change)()
    for prove in (lambda: lipot.certify(model, x), lambda: lipot.lipschitz_constant(model)):
        with pytest.raises(ValueError, match="Expected weights of the types that Keras gave them"):
            prove()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_what_is_certified_inside_autocast_allows_for_its_precision(dtype):
    model, x = classifier(), torch.randn(64, 4)
    with torch.autocast("cpu", dtype=getattr(torch, dtype)):
        inside = lipot.certify(model, x)
    outside = lipot.certify(model, x)
    assert np.all(inside.rounding[inside.radius > 0] > 100 * np.max(outside.rounding))
    assert np.all(inside.radius <= outside.radius + 1e-3)


def test_tensors_that_are_differentiated_are_points_like_any_others():
    model, x = classifier(), torch.randn(5, 4)
    expected = lipot.certify(model, to_numpy(x), [0, 1, 2, 0, 1])
    found = lipot.certify(model, x.requires_grad_(), torch.tensor([0, 1, 2, 0, 1]))
    np.testing.assert_array_equal(found.radius, expected.radius)
    np.testing.assert_array_equal(found.correct, expected.correct)
