"""Code written for deel-lip finds its names in lipot, or the migration page says what to use."""

import pathlib
import sys

import keras
import numpy as np
import pytest

from tests import deel_lip_names

PAGE = (pathlib.Path(__file__).parents[2] / "docs" / "coming-from-deel-lip.md").read_text()
# As a user of deel-lip 1.5.0 writes it.
SCRIPT = """
from deel.lip.activations import GroupSort2
from deel.lip.layers import FrobeniusDense, ScaledL2NormPooling2D, SpectralConv2D, SpectralDense
from deel.lip.layers.unconstrained import PadConv2D
from deel.lip.losses import MulticlassHKR, MulticlassKR
from deel.lip.model import Sequential
from deel.lip.regularizers import LorthRegularizer

model = Sequential(
    [
        keras.layers.Input(shape=(8, 8, 1)),
        SpectralConv2D(filters=4, kernel_size=(3, 3), activation=GroupSort2(),
                       use_bias=True, kernel_initializer="orthogonal"),
        ScaledL2NormPooling2D(pool_size=(2, 2), data_format="channels_last"),
        keras.layers.Flatten(),
        SpectralDense(16, activation=GroupSort2(), use_bias=True, kernel_initializer="orthogonal"),
        FrobeniusDense(3, activation=None, use_bias=False, kernel_initializer="orthogonal"),
    ],
    k_coef_lip=1.0, name="hkr_model")
model.compile(
    loss=MulticlassHKR(alpha=50, min_margin=0.05), optimizer=keras.optimizers.Adam(1e-3),
    metrics=["accuracy", MulticlassKR()])
history = model.fit(x, y, epochs=1, verbose=0)
vanilla = model.vanilla_export()
padded = PadConv2D(4, (3, 3), padding="circular")(x)
regularized = LorthRegularizer(kernel_shape=(3, 3, 1, 4))
"""


@pytest.fixture
def deel(monkeypatch):
    for name, module in deel_lip_names.modules().items():
        monkeypatch.setitem(sys.modules, name, module)


def test_every_name_leads_to_an_object_of_lipot(deel):
    found = deel_lip_names.modules()
    for room, names in deel_lip_names.NAMES.items():
        for name in names:
            value = getattr(found[f"deel.lip.{room}"], name)
            assert value.__module__.startswith("lipot.") and value.__name__ in (name, "to_keras")


def test_what_is_gone_is_on_the_migration_page():
    assert [name for name in deel_lip_names.GONE if name not in PAGE] == []


def test_a_script_for_deel_lip_runs(deel):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(32, 8, 8, 1)).astype("float32")
    names = {"keras": keras, "x": x, "y": np.eye(3)[rng.integers(0, 3, 32)]}
    exec(SCRIPT, names)
    assert np.isfinite(names["history"].history["loss"][0])
    outputs = [model.predict(x, verbose=0) for model in (names["model"], names["vanilla"])]
    assert np.allclose(*outputs, atol=1e-4)
    assert names["padded"].shape == (32, 8, 8, 4)
