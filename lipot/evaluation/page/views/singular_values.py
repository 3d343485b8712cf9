"""Singular values of every kernel of a network."""

import dataclasses

import keras
import numpy as np
from keras import ops

from lipot.backend.keras_graph import all_layers
from lipot.evaluation.page.section import Drawing, Section
from lipot.evaluation.page.svg import MOST_ROWS, WIDE, drawing, short
from lipot.evaluation.page.views.spec import ViewSpec
from lipot.evaluation.record.palette import ACCENT, INK
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


def compute(subject):
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


def section(view, prefix):
    """Returns the `Section` that shows it; `prefix` starts every id."""
    text = (
        "The factors by which each kernel stretches what it reads; of a convolution, on one "
        "patch. Dotted: 1, where lengths are kept."
    )
    if len(view.layers) > MOST_ROWS:
        text += f" The first {MOST_ROWS} layers."
    ranges = [
        f"{layer} from {values.min():.3g} to {values.max():.3g}"
        for layer, values in zip(view.layers, view.values)
    ]
    svg = _draw_singular_values(prefix, view)
    return Section(text, (Drawing(svg, f"{'; '.join(ranges)}."),))


def _draw_singular_values(name, shown):
    """A row of singular values for each layer."""
    pairs = list(zip(shown.layers, shown.values))[:MOST_ROWS]

    def draw(axes):
        rows = np.arange(len(pairs))[::-1]
        for row, (_, values) in zip(rows, pairs):
            axes.plot(values, np.full(len(values), row), "|", color=ACCENT, alpha=0.6)
        axes.axvline(1.0, color=INK, linewidth=0.8, linestyle=":")
        largest = max(float(values.max(initial=1.0)) for _, values in pairs)
        axes.set(xlim=(0, 1.05 * largest), ylim=(-0.7, len(rows) - 0.3))
        axes.set_yticks(rows, [short(layer) for layer, _ in pairs])
        axes.set_xlabel("singular values")
        axes.grid(True, axis="x")

    return drawing(name, WIDE, 0.9 + 0.28 * len(pairs), draw)


SPEC = ViewSpec("singular_values", "Singular values of the layers", compute, section)
