"""PReLU whose learned slopes cannot exceed one."""

import keras
import numpy as np
from keras import ops

from lipot.constraints import WeightClipConstraint
from lipot.layers.activation_bounds import piecewise_linear
from lipot.layers.applied_weights import applied_weight
from lipot.layers.base import LipschitzLayer
from lipot.layers.layer_bounds import check_not_repeated
from lipot.math.scaling import scale


@keras.saving.register_keras_serializable(package="lipot")
class PReLUlip(LipschitzLayer, keras.layers.PReLU):
    r"""PReLU with slopes kept in $[-k, k]$.

    `output = k_coef_lip * (relu(input) - alpha * relu(-input))`, with `alpha` clipped to
    `[-1, 1]` after each training step.

    Args:
        k_coef_lip: Positive float, the Lipschitz constant to ensure.
        **kwargs: Arguments of `keras.layers.PReLU`, such as `alpha_initializer` and
            `shared_axes`. `alpha_constraint` replaces the clipping.

    Input shape:
        Any, with known sizes on all axes but the batch and the shared ones.

    Output shape:
        That of the input.

    Lipschitz bound:
        `k_coef_lip * max(1, max |alpha|)`, from the slopes as they are.

    Reference:
        He et al., "Delving deep into rectifiers" (ICCV 2015), equation 1.

    Example:

    >>> import numpy as np
    >>> layer = PReLUlip(alpha_initializer="ones")
    >>> [float(v) for v in layer(np.array([[3.0, -2.0]]))[0]], layer.lipschitz_bound
    ([3.0, -2.0], 1.0)
    """

    def __init__(self, k_coef_lip=1.0, **kwargs):
        kwargs.setdefault("alpha_constraint", WeightClipConstraint(1.0))
        super().__init__(k_coef_lip=k_coef_lip, **kwargs)

    def build(self, input_shape):
        shared = self.shared_axes or ()
        axes = {i: n for i, n in enumerate(input_shape) if i > 0 and i not in shared}
        if None in axes.values():
            raise ValueError(
                f"Layer '{self.name}' has a slope for each value. Expected known sizes on all axes "
                "but the batch and those in `shared_axes`. "
                f"Received: input_shape={tuple(input_shape)}, shared_axes={self.shared_axes}"
            )
        super().build(input_shape)
        # Keras says so only where axes are shared; one channel would spread over all slopes.
        self.input_spec = keras.layers.InputSpec(ndim=len(input_shape), axes=axes)

    def call(self, inputs):
        # As in Keras, whose product with the slopes takes no symbolic tensor on JAX.
        negative = ops.multiply(self.alpha, ops.relu(ops.negative(inputs)))
        return scale(ops.subtract(ops.relu(inputs), negative), self.k_coef_lip)

    @property
    def keeps_constant(self):
        constraint = self.alpha_constraint
        return isinstance(constraint, WeightClipConstraint) and constraint.c <= 1.0

    def bound(self, input_shape, norm=2):
        self.check_built()
        check_not_repeated(self, input_shape, self.alpha.shape)
        slopes = np.abs(applied_weight(self, "alpha"))
        if not np.all(np.isfinite(slopes)):
            raise ValueError(
                f"The slopes of layer '{self.name}' hold NaN or infinite values; no Lipschitz "
                "bound exists. Load a finite checkpoint or lower the learning rate."
            )
        steepest = max(1.0, float(slopes.max()))
        return piecewise_linear(self.applied_factor * steepest)._replace(peak=steepest)
