"""LipNeXt: a 1-Lipschitz network for images without a convolution."""

import keras

from lipot import checks
from lipot.layers.frobenius_dense import FrobeniusDense
from lipot.layers.invertible_sampling import InvertibleDownSampling
from lipot.layers.partial_abs import PartialAbs
from lipot.layers.position_embedding import PositionEmbedding
from lipot.layers.scaled_l2_norm_pooling import ScaledGlobalL2NormPooling2D
from lipot.layers.spatial_shift import SpatialShift2D
from lipot.layers.spectral_dense import SpectralDense
from lipot.math.scaling import wide_dtype
from lipot.models.builders import checked


@checked
def lipnext(
    input_shape=(32, 32, 3),
    classes=10,
    width=512,
    depth=12,
    *,
    patch_size=2,
    shifted=0.5,
    folded=0.5,
    padding="zero",
    pooling="l2",
    dense_layers=0,
    center=0.5,
):
    r"""Builds LipNeXt: orthogonal matrices along the channels, shifts in space, absolute values.

    The image is cut into patches, which one orthonormal matrix maps to `width` channels. Each of
    `depth` blocks is

    $$ x \mapsto \mathrm{PartialAbs}\bigl(\mathrm{Shift}((x + p) R)\, M + b\bigr) $$

    with orthogonal $R$ and $M$ and a learned position $p$. Everything but zero padding keeps the
    norm of every gradient, and all of it is dense products: train it with
    `lipot.optimizers.ManifoldAdam`. The paper undoes $R$ before $M$ is applied; since $R^\top M$ is
    any orthogonal matrix too, the functions are the same for one product less.

    Args:
        input_shape: Shape of one image, `(rows, columns, channels)`.
        classes: Positive int, number of logits.
        width: Positive int, number of channels.
        depth: Positive int, number of blocks.
        patch_size: Positive int that divides both sides of the image.
        shifted: Share of the channels that move by a pixel, a quarter of it in each direction.
        folded: Share of the channels whose absolute value is taken.
        padding: `"circular"` or `"zero"`, what enters where a shift leaves a pixel free.
        pooling: `"l2"`, the norm of each channel over the image, or `"flatten"`, all values.
        dense_layers: Non-negative int, orthonormal dense layers before the last one.
        center: Float taken from each pixel first; what all images share would dominate the first
            gradients.

    Returns:
        A `keras.Model` from images to logits, 1-Lipschitz up to its last layer, a linear
        `FrobeniusDense` with rows of norm one, which is what `lipot.losses.EMMA` takes as `head`.

    Raises:
        ValueError: An argument out of its range, named in the message.

    Reference:
        Hu, Hu and Fredrikson, "LipNeXt: scaling up Lipschitz-based certified robustness to
        billion-parameter models" (ICLR 2026).

    Example:

    >>> from lipot.models import lipnext
    >>> lipnext((8, 8, 1), 3, width=16, depth=2).output_shape
    (None, 3)
    """
    checks.choice("pooling", pooling, tuple(_POOLINGS))
    x = inputs = keras.Input(input_shape)
    if center:
        x = keras.layers.Rescaling(1.0, offset=-center)(x)
    x = SpectralDense(width)(InvertibleDownSampling(patch_size)(x))
    for _ in range(depth):
        x = PositionEmbedding()(x)
        x = SpectralDense(width, use_bias=False)(x)
        x = SpatialShift2D(shifted, padding)(x)
        x = SpectralDense(width)(x)
        x = PartialAbs(folded)(x)
    # Norms of channels differ little from image to image: half precision would round that away.
    dtype = wide_dtype(keras.config.dtype_policy().compute_dtype)
    x = _POOLINGS[pooling](dtype=dtype)(x)
    for _ in range(dense_layers):
        x = PartialAbs(folded, dtype=dtype)(SpectralDense(width, dtype=dtype)(x))
    outputs = FrobeniusDense(classes, disjoint_neurons=True, dtype=dtype)(x)
    return keras.Model(inputs, outputs, name="lipnext")


_POOLINGS = {"l2": ScaledGlobalL2NormPooling2D, "flatten": keras.layers.Flatten}
