"""Singular values of every kernel of a network."""

import dataclasses

import keras
import numpy as np
from keras import ops

from lipot.backend.keras_graph import all_layers
from lipot.evaluation.record.view import DoesNotApply, View

_WITH_A_KERNEL = (
    keras.layers.Dense,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.Conv2DTranspose,
)


@dataclasses.dataclass(frozen=True, eq=False)
class SingularValues(View):
    """Singular values of the kernels, read as matrices with a column for each output channel.

    Of a dense layer these are the factors by which it stretches; of a convolution, those of its
    kernel on one patch.

    Attributes:
        layers: Names of the layers, in order.
        values: For each, its singular values from the largest down.
    """

    layers: tuple
    values: tuple


def singular_values(subject):
    """Makes the `SingularValues` of a `Subject`'s model."""
    names, values = [], []
    for layer in all_layers(subject.model)[1:]:
        kernel = _kernel(layer)
        if kernel is not None and layer.name not in names:
            matrix = kernel.reshape(-1, kernel.shape[-1])
            names.append(layer.name)
            values.append(np.linalg.svd(matrix, compute_uv=False).astype("float64"))
    if not names:
        raise DoesNotApply(
            "There are no singular values: the model holds no dense or convolution layer."
        )
    return SingularValues(tuple(names), tuple(values))


def _kernel(layer):
    """The kernel a layer applies at inference, in float64, or `None` where it has none."""
    kernel = getattr(layer, "inference_kernel", None)
    if kernel is None and isinstance(layer, _WITH_A_KERNEL):
        kernel = layer.kernel
    if kernel is None:
        return None
    kernel = np.asarray(ops.convert_to_numpy(ops.cast(kernel, "float32")), "float64")
    return kernel if kernel.ndim >= 2 else None
