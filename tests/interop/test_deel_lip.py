"""Weights of networks that deel-lip itself trained and saved, and what they answered there."""

import pathlib

import h5py
import keras
import numpy as np
import pytest

from lipot import layers
from lipot.interop import deel_lip

DATA = pathlib.Path(__file__).parents[1] / "data" / "deel_lip"
SUFFIXES = [".keras", ".h5", ".weights.h5", "_weights.h5"]


def dense(units=8):
    return keras.Sequential(
        [
            keras.layers.Input((6,)),
            layers.SpectralDense(units, activation=layers.GroupSort2()),
            layers.SpectralDense(8, activation=layers.FullSort(), use_bias=False),
            layers.Householder(),
            keras.layers.Dense(5),
            layers.FrobeniusDense(3),
        ]
    )


def images(normalization="average"):
    return keras.Sequential(
        [
            keras.layers.Input((8, 8, 1)),
            layers.SpectralConv2D(
                4, 3, activation=layers.GroupSort2(), normalization=normalization
            ),
            layers.ScaledL2NormPooling2D((2, 2)),
            layers.PReLUlip(),
            keras.layers.BatchNormalization(),
            keras.layers.Flatten(),
            layers.SpectralDense(6),
            layers.FrobeniusDense(3, disjoint_neurons=True),
        ]
    )


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("make", [dense, images])
def test_the_network_answers_as_it_did_in_deel_lip(make, suffix):
    model, kept = make(), np.load(DATA / f"{make.__name__}.npz")
    before = model.predict(kept["x"], verbose=0)
    deel_lip.load_weights(model, DATA / f"{make.__name__}{suffix}")
    found = model.predict(kept["x"], verbose=0)
    # deel-lip's iteration stops where singular values are within about a thousandth of 1.
    assert np.abs(found - kept["y"]).max() < 5e-3 * np.abs(kept["y"]).max()
    assert np.abs(before - kept["y"]).max() > 0.1


def test_a_proven_norm_scales_the_convolution_alone():
    average, proven = images(), images("operator")
    for model in (average, proven):
        deel_lip.load_weights(model, DATA / "images.keras")
    kernels = [np.asarray(model.layers[0].inference_kernel) for model in (average, proven)]
    ratio = kernels[0] / kernels[1]
    assert np.allclose(ratio, ratio.mean(), rtol=1e-4)
    assert proven.layers[0].lipschitz_bound <= 1.0 + 1e-6


def shorter():
    return keras.Sequential([keras.Input((6,)), *dense().layers[:-1]])


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("make", [lambda: dense(10), images, shorter])
def test_another_network_is_refused_and_left_as_it_was(make, suffix):
    model = make()
    before = model.get_weights()
    with pytest.raises(ValueError, match="`file`. Expected (weights of|shapes)"):
        deel_lip.load_weights(model, DATA / f"dense{suffix}")
    assert all(np.array_equal(*pair) for pair in zip(before, model.get_weights()))


@pytest.mark.parametrize("place", [0, 1])
def test_a_bias_on_one_side_alone_is_refused(place):
    parts = dense().layers
    parts[place] = layers.SpectralDense(8, use_bias=place == 1)
    model = keras.Sequential([keras.Input((6,)), *parts])
    with pytest.raises(ValueError, match="Expected shapes"):
        deel_lip.load_weights(model, DATA / "dense.h5")


def test_other_files_and_unbuilt_models_are_refused(tmp_path):
    (tmp_path / "text.h5").write_text("no weights")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["numbers"] = [1.0]
    for name in ("text.h5", "other.h5"):
        with pytest.raises(ValueError, match="Expected a .keras or .h5 file"):
            deel_lip.load_weights(dense(), tmp_path / name)
    with pytest.raises(FileNotFoundError, match="missing.h5"):
        deel_lip.load_weights(dense(), tmp_path / "missing.h5")
    with pytest.raises(ValueError, match="`model`. Expected a built model"):
        deel_lip.load_weights(keras.Sequential([layers.SpectralDense(2)]), DATA / "dense.h5")
