"""Keras reads every attribute when it saves: none of them may work out a bound."""

import importlib
import pkgutil

import keras
import numpy as np
import pytest

import lipot
from lipot import layers

# Each of these looks something up; what computes is left out of `dir`.
CHEAP = {
    "applied_factor",
    "ball",
    "channel_axis",
    "classifier",
    "code_size",
    "computed_state",
    "factors",
    "files",
    "head",
    "input_shape",
    "iterations",
    "keeps_constant",
    "learning_rate",
    "non_trainable_variables",
    "purification_steps",
    "query_lipschitz_bound",
    "spatial_axes",
    "variables",
    "wide_dtype",
}


@pytest.fixture
def asked(monkeypatch):
    """Names of the layers whose bound was asked for."""
    seen = []
    for kind in (layers.OrthogonalConv2D, layers.SpectralDense):
        whole = kind.bound
        monkeypatch.setattr(
            kind, "bound", lambda self, *a, b=whole, **k: seen.append(self.name) or b(self, *a, **k)
        )
    return seen


@pytest.mark.parametrize(
    "save",
    [
        lambda model, folder: model.save(folder / "model.keras"),
        lambda model, folder: model.save_weights(folder / "model.weights.h5"),
    ],
)
def test_a_model_is_saved_without_its_bounds(save, asked, tmp_path):
    parts = [layers.OrthogonalConv2D(4, 3), keras.layers.Flatten(), layers.SpectralDense(2)]
    model = keras.Sequential([keras.Input((4, 4, 2)), *parts])
    model.compile("adam", "mse")
    save(model, tmp_path)
    backup = [lipot.callbacks.Backup(tmp_path)]
    model.fit(np.ones((4, 4, 4, 2)), np.ones((4, 2)), callbacks=backup, verbose=0)
    assert asked == []
    assert parts[0].lipschitz_bound <= 1.0001 and asked == [parts[0].name]


def test_every_property_that_computes_is_left_out_of_dir():
    for module in pkgutil.walk_packages(lipot.__path__, "lipot."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    seen, found = set(), set()
    waiting = [keras.layers.Layer, keras.losses.Loss, keras.metrics.Metric]
    waiting += [keras.optimizers.Optimizer]
    while waiting:
        kind = waiting.pop()
        waiting += [one for one in kind.__subclasses__() if one not in seen]
        seen.add(kind)
        if kind.__module__.startswith("lipot"):
            found |= {
                name
                for parent in kind.__mro__
                if parent.__module__.startswith("lipot")
                for name, value in vars(parent).items()
                if isinstance(value, property)
            }
    hidden = {"lipschitz_bound", "inference_kernel"}
    assert found == CHEAP | hidden
    assert not hidden & set(dir(layers.SpectralDense(2)))
