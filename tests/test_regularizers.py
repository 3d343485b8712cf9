"""Tests of the regularizers: inside layers, through fit, saved and loaded."""

import keras
import numpy as np
import pytest

from lipot.math.orthogonality import convolution_defect, dense_defect
from lipot.regularizers import Lorth2D, LorthRegularizer, OrthDenseRegularizer
from tests.helpers import check_serializable


def _random(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def test_weights_multiply_the_defect():
    dense, kernel = _random(5, 3), _random(3, 3, 2, 4)
    np.testing.assert_allclose(
        OrthDenseRegularizer(0.3)(dense), 0.3 * dense_defect(dense), rtol=1e-6
    )
    for transposed in (False, True):
        regularizer = LorthRegularizer(None, 2, 0.3, 2, transposed)
        expected = 0.3 * convolution_defect(kernel, 2)
        np.testing.assert_allclose(regularizer(kernel), expected, rtol=1e-6)
    np.testing.assert_allclose(Lorth2D()(kernel), convolution_defect(kernel), rtol=1e-6)
    np.testing.assert_allclose(Lorth2D().compute_lorth(kernel), Lorth2D()(kernel), rtol=1e-6)


def test_fit_drives_kernels_to_orthogonality():
    model = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            keras.layers.Conv2D(4, 3, kernel_regularizer=LorthRegularizer()),
            keras.layers.Flatten(),
            keras.layers.Dense(8, kernel_regularizer=OrthDenseRegularizer()),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01))
    model.compute_loss = lambda *args, **kwargs: sum(model.losses)
    before = float(sum(model.losses))
    model.fit(np.zeros((256, 6, 6, 2)), np.zeros((256, 8)), batch_size=2, verbose=0)
    assert float(sum(model.losses)) < 0.01 < before
    values = np.linalg.svd(np.asarray(model.layers[2].kernel), compute_uv=False)
    np.testing.assert_allclose(values, 1.0, atol=0.05)


def test_transposed_convolutions_take_it():
    layer = keras.layers.Conv2DTranspose(
        2, 3, strides=2, kernel_regularizer=LorthRegularizer(stride=2, conv_transpose=True)
    )
    layer.build((None, 4, 4, 5))
    assert layer.kernel.shape == (3, 3, 2, 5)
    np.testing.assert_allclose(
        float(layer.losses[0]), float(convolution_defect(layer.kernel.value, 2)), rtol=1e-6
    )


def test_half_precision_kernels_are_widened():
    kernel = _random(3, 3, 2, 4).astype("float16")
    penalty = Lorth2D()(keras.ops.convert_to_tensor(kernel))
    assert keras.backend.standardize_dtype(penalty.dtype) == "float32"
    np.testing.assert_allclose(penalty, Lorth2D()(kernel.astype("float32")), rtol=1e-6)


def test_round_trips(tmp_path):
    regularizers = [LorthRegularizer((3, 3, 1, 2), 1, 0.1), Lorth2D(stride=2)]
    for regularizer in (*regularizers, Lorth2D((3, 3, 1, 2)), OrthDenseRegularizer(0.2)):
        check_serializable(regularizer)
    model = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            keras.layers.Conv2D(2, 3, kernel_regularizer=regularizers[0]),
            keras.layers.Conv2D(2, 3, strides=2, kernel_regularizer=regularizers[1]),
            keras.layers.Dense(2, kernel_regularizer=OrthDenseRegularizer(0.2)),
        ]
    )
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_allclose(
        [float(loss) for loss in loaded.losses], [float(loss) for loss in model.losses], rtol=1e-6
    )


@pytest.mark.parametrize(
    "make, argument",
    [
        (lambda: LorthRegularizer((1, 1, 2, 3), stride=2), "kernel_shape"),
        (lambda: LorthRegularizer((3, 3)), "kernel_shape"),
        (lambda: Lorth2D((3, 3, 1, 100), stride=4), "kernel_shape"),
        (lambda: Lorth2D()(np.zeros((3, 3), "float32")), "kernel_shape"),
        (lambda: Lorth2D((3, 3, 1, 2))(np.zeros((3, 3, 2, 2), "float32")), "x"),
        (lambda: LorthRegularizer(stride=0), "stride"),
        (lambda: LorthRegularizer(dim=1), "dim"),
        (lambda: LorthRegularizer(lambda_lorth=-1.0), "lambda_lorth"),
        (lambda: OrthDenseRegularizer(float("nan")), "lambda_orth"),
        (lambda: OrthDenseRegularizer()(np.zeros((3, 3, 1, 2), "float32")), "x"),
    ],
)
def test_bad_arguments_are_named(make, argument):
    with pytest.raises(ValueError, match=f"`{argument}`"):
        make()
