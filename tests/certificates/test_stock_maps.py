"""Bounds of EinsumDense, layers on volumes and TimeDistributed: those of their matrices."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import lipot
from lipot.certificates.stock import volumes
from lipot.layers.layer_bounds import layer_bound
from tests.certificates.test_layer_bounds import built_model, double_precision
from tests.helpers import explicit_matrix, functional, to_numpy

assert double_precision
VOLUME, TOKENS, IMAGE = (4, 3, 5, 2), (3, 4), (6, 5, 2)

# A version of Keras may lack them.
ADAPTIVE = {
    "adaptive averages": (lambda: layers.AdaptiveAveragePooling1D(3), (7, 2), 1, 1),
    "adaptive averages of images": (lambda: layers.AdaptiveAveragePooling2D((3, 4)), IMAGE, 1, 1),
    "adaptive averages of volumes": (lambda: layers.AdaptiveAveragePooling3D(2), VOLUME, 1, 1),
    "more averages than values": (lambda: layers.AdaptiveAveragePooling2D((8, 7)), IMAGE, 1, 1),
}
# Layer, input shape, and the largest ratios of bound to norm in l2 and in l-infinity.
MAPS = {
    **(ADAPTIVE if hasattr(layers, "AdaptiveAveragePooling1D") else {}),
    "tokens": (lambda: layers.EinsumDense("abc,cd->abd", (3, 5), bias_axes="d"), TOKENS, 1, 1),
    "heads": (lambda: layers.EinsumDense("abc,cde->abde", (3, 2, 3)), TOKENS, 1, 1),
    "heads joined": (lambda: layers.EinsumDense("abc,bcd->ad", 6), TOKENS, 1, 1),
    "one matrix a head": (lambda: layers.EinsumDense("abc,bcd->abd", (3, 2)), TOKENS, 1, 1),
    "a factor a channel": (lambda: layers.EinsumDense("abc,c->abc", TOKENS), TOKENS, 1, 1),
    "transposed": (lambda: layers.EinsumDense("abc,cd->adb", (5, 3)), TOKENS, 1, 1),
    "first axis": (lambda: layers.EinsumDense("abc,db->adc", (2, 4)), TOKENS, 1, 1),
    "ellipsis": (lambda: layers.EinsumDense("...x,xy->...y", 5, bias_axes="y"), TOKENS, 1, 1),
    "ellipsis after": (lambda: layers.EinsumDense("ab...,bc->ac...", 5), TOKENS, 1, 1),
    "3 x 3 x 3": (lambda: layers.Conv3D(3, 3, padding="same"), VOLUME, 1.05, 1),
    "strides": (lambda: layers.Conv3D(3, (2, 3, 3), (2, 1, 2)), VOLUME, 1.05, 1),
    "strides, padded": (lambda: layers.Conv3D(3, 3, 2, padding="same"), VOLUME, 1.05, 1),
    "dilation": (lambda: layers.Conv3D(3, 2, dilation_rate=2), VOLUME, 1.05, 1),
    "averages of volumes": (
        lambda: layers.AveragePooling3D((2, 1, 3), (1, 2, 2), padding="same"),
        VOLUME,
        1,
        1,
    ),
    "resizing": (lambda: layers.Resizing(7, 4), IMAGE, 1, 1),
    "resizing without aliases": (lambda: layers.Resizing(4, 2, antialias=True), IMAGE, 1, 1),
    "nearest pixels": (lambda: layers.Resizing(3, 10, "nearest"), IMAGE, 1, 1),
    "upsampling": (lambda: layers.UpSampling2D((2, 4), interpolation="bilinear"), IMAGE, 1, 1),
    "a ratio that is kept": (
        lambda: layers.Resizing(9, 6, crop_to_aspect_ratio=True),
        (6, 4, 2),
        1,
        1,
    ),
    "a ratio that is kept without bars": (
        lambda: layers.Resizing(3, 2, pad_to_aspect_ratio=True),
        (6, 4, 2),
        1,
        1,
    ),
    "center crop": (lambda: layers.CenterCrop(3, 4), IMAGE, 1, 1),
    "dense steps": (lambda: layers.TimeDistributed(layers.Dense(3)), TOKENS, 1, 1),
    "conv steps": (
        lambda: layers.TimeDistributed(layers.Conv2D(2, 3, padding="same")),
        VOLUME,
        1.001,
        1,
    ),
    "averages": (lambda: layers.TimeDistributed(layers.AveragePooling1D(2)), (3, 4, 2), 1, 1),
    "of lipot": (
        lambda: layers.TimeDistributed(lipot.layers.SpectralDense(3, k_coef_lip=2.0)),
        TOKENS,
        1.001,
        1,
    ),
}


@pytest.mark.parametrize("name", MAPS)
def test_bounds_are_the_norms_of_the_dense_matrices(name):
    make, shape, *slacks = MAPS[name]
    layer = make()
    built_model(layer, shape)
    matrix = explicit_matrix(layer, shape)
    exact = {2: np.linalg.svd(matrix, compute_uv=False)[0]}
    exact["inf"] = np.abs(matrix).sum(axis=0).max()
    for (norm, observed), slack in zip(exact.items(), slacks):
        bound = layer_bound(layer, (None, *shape), norm).lipschitz
        assert observed <= bound * (1.0 + 2e-6)
        assert bound <= slack * observed * (1.0 + 2e-6), (norm, bound, observed)


@pytest.mark.parametrize("strides", [None, 1, (1, 2, 2)])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_a_maximum_of_volumes_moves_by_every_window_that_holds_a_value(padding, strides):
    layer = layers.MaxPooling3D(2, strides, padding)
    built_model(layer, VOLUME)
    moved = np.linalg.norm(explicit_matrix(layer, VOLUME), axis=1).max()
    assert layer_bound(layer, (None, *VOLUME)).lipschitz == pytest.approx(moved)
    assert layer_bound(layer, (None, *VOLUME), "inf").lipschitz == 1.0


@pytest.mark.skipif(not hasattr(layers, "AdaptiveMaxPooling2D"), reason="not in this Keras")
@pytest.mark.parametrize("sizes", [((6, 5), 3), ((5, 7), (2, 4)), ((3, 4), (5, 4))], ids=str)
def test_adaptive_maxima_move_by_every_window_that_holds_a_value(sizes):
    size, output_size = sizes
    layer = layers.AdaptiveMaxPooling2D(output_size)
    built_model(layer, (*size, 1))
    moved = np.linalg.norm(explicit_matrix(layer, (*size, 1)), axis=1).max()
    assert layer_bound(layer, (None, *size, 1)).lipschitz == pytest.approx(moved)
    assert layer_bound(layer, (None, *size, 1), "inf").lipschitz == 1.0


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_slices_of_a_large_volume_add_up(monkeypatch, padding, axis):
    layer = layers.Conv3D(3, (2, 3, 2), padding=padding)
    shape = tuple(np.roll((3, 4, 5), axis)) + (2,)
    built_model(layer, shape)
    folded = {norm: layer_bound(layer, (None, *shape), norm) for norm in (2, "inf")}
    monkeypatch.setattr(volumes, "_MOST_VALUES", 0)
    matrix = explicit_matrix(layer, shape)
    added = {norm: layer_bound(layer, (None, *shape), norm) for norm in (2, "inf")}
    assert np.linalg.norm(matrix, 2) <= added[2].lipschitz * (1.0 + 2e-6)
    assert np.abs(matrix).sum(axis=0).max() <= added["inf"].lipschitz * (1.0 + 2e-6)
    assert all(folded[n].lipschitz <= added[n].lipschitz * (1.0 + 1e-9) for n in (2, "inf"))


def test_groups_of_channels_stay_together():
    """TensorFlow trains no grouped convolution of volumes on a processor: by its kernel."""
    layer = layers.Conv3D(4, (2, 1, 2), groups=2)
    layer.build((None, *VOLUME))
    kernel = to_numpy(layer.kernel)
    parts = [layers.Conv3D(2, (2, 1, 2), use_bias=False) for _ in range(2)]
    norms = []
    for group, part in enumerate(parts):
        part.build((None, *VOLUME[:3], 1))
        part.set_weights([kernel[..., 2 * group : 2 * group + 2]])
        norms.append(np.linalg.norm(explicit_matrix(part, (*VOLUME[:3], 1)), 2))
    bound = layer_bound(layer, (None, *VOLUME)).lipschitz
    assert max(norms) <= bound * (1.0 + 1e-6) <= 1.05 * max(norms)


REFUSED = {
    "an axis too many": (
        layers.EinsumDense("ab...,bc->ac...", (5, None)),
        (3, 4),
        "says other sizes of its outputs than it gives",
    ),
    "the batch in the kernel": (layers.EinsumDense("ab,ac->ac", 3), (4,), "each sample with one"),
    "an index summed over": (layers.EinsumDense("abc,bd->ad", 3), TOKENS, "each sample with one"),
    "the batch elsewhere": (layers.EinsumDense("abc,cd->bad", (3, 3)), TOKENS, "batch"),
    "a model at each step": (
        layers.TimeDistributed(keras.Sequential([keras.Input((4,)), layers.Dense(2)])),
        TOKENS,
        "calls a model",
    ),
    # Its branch may add 1e8 and take it off again, or compute in half precision.
    "a residual layer at each step": (
        layers.TimeDistributed(lipot.layers.TransportResidual(layers.Dense(4))),
        TOKENS,
        "calls a residual layer",
    ),
    "another type inside": (
        layers.TimeDistributed(layers.Dense(2, dtype="float16")),
        TOKENS,
        "one dtype policy",
    ),
    "a normalization": (layers.TimeDistributed(layers.LayerNormalization()), TOKENS, "statistic"),
    "samples joined": (layers.TimeDistributed(layers.Softmax(axis=0)), TOKENS, "joins the samples"),
    "an image of any size": (
        layers.UpSampling2D(2, interpolation="bilinear"),
        (None, 4, 1),
        "one image size",
    ),
    "cubic curves": (layers.Resizing(3, 3, "bicubic"), (4, 4, 1), "interpolation='bilinear'"),
    "another aspect ratio": (
        layers.Resizing(3, 3, crop_to_aspect_ratio=True),
        (4, 5, 1),
        "Cropping2D or ZeroPadding2D",
    ),
    "pixels between two": (layers.Resizing(4, 4, "nearest"), (6, 6, 1), "a multiple of the other"),
    "a crop that enlarges": (layers.CenterCrop(5, 3), (4, 4, 1), "put a Resizing before it"),
    "an axis of any size": (layers.Conv3D(2, 2), (None, 3, 3, 1), "one image size"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_proven_is_refused_with_a_reason(name):
    layer, shape, reason = REFUSED[name]
    try:
        model = functional(layer, shape)
    except (ValueError, TypeError):
        layer.build((3, *shape))
        with pytest.raises(ValueError, match=reason):
            layer_bound(layer, (3, *shape))
        return
    with pytest.raises(ValueError, match=reason):
        lipot.lipschitz_constant(model)


@pytest.mark.parametrize("kind", [layers.Resizing, layers.CenterCrop])
def test_a_batch_that_counts_as_the_rows_of_an_image_is_refused(kind):
    inputs = keras.Input(batch_shape=(4, 5, 3))
    with pytest.raises(ValueError, match="the batch for an axis of one image"):
        lipot.lipschitz_constant(keras.Model(inputs, kind(4, 2)(inputs)))


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "mixed_float16"])
@pytest.mark.parametrize("norm", [2, "inf"])
def test_computed_features_stay_within_their_error(dtype, norm):
    """A certificate holds for the model as it computes, with biases that dwarf the features."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4, 5, 5, 2))
    x = layers.Conv3D(4, 3, bias_initializer="ones", dtype=dtype)(inputs)
    x = layers.TimeDistributed(
        layers.Dense(3, "tanh", bias_initializer="random_normal", dtype=dtype), dtype=dtype
    )(x)
    x = layers.EinsumDense("abcde,ef->abcdf", (2, 3, 3, 4), bias_axes="f", dtype=dtype)(x)
    model = keras.Model(inputs, layers.Dense(3, dtype=dtype)(layers.Flatten(dtype=dtype)(x)))
    points = np.random.default_rng(0).normal(size=(30, 4, 5, 5, 2)).astype("float32")
    found = lipot.certify(model, points, norm=norm)
    assert dtype != "float32" or np.mean(found.radius > 0.0) > 0.9
    for _ in range(3):
        step = np.sign(np.random.default_rng(1).normal(size=points.shape))
        size = found.radius / (1.0 if norm == "inf" else np.sqrt(step[0].size))
        moved = points + (0.999 * size).reshape(-1, 1, 1, 1, 1) * step
        called = to_numpy(ops.argmax(model(moved.astype("float32")), axis=1))
        certified = found.radius > 0.0
        np.testing.assert_array_equal(called[certified], found.predictions[certified])


def _wrapped(step):
    return layers.SpectralNormalization(layers.Conv1D(1, 1, step, kernel_initializer="ones"))


def _at_each_step(step):
    return layers.TimeDistributed(layers.Conv1D(1, 1, step, kernel_initializer="ones"))


@pytest.mark.parametrize(
    "wrap, shape", [(_wrapped, (None, 1)), (_at_each_step, (2, None, 1))], ids=["wrapped", "steps"]
)
def test_open_sizes_after_a_layer_in_a_layer_depend_on_its_arguments(wrap, shape):
    """Both have one value for up to 40, and two and one for 50: one is repeated then."""
    model = functional(lambda x: wrap(40)(x) - wrap(50)(x), shape)
    with pytest.raises(ValueError, match="unknown size"):
        lipot.lipschitz_constant(model)
    same = functional(lambda x: wrap(40)(x) - wrap(40)(x), shape)
    assert lipot.lipschitz_constant(same) > 0.0
