"""Householder activation: GroupSort2 with a learned angle."""

import math

import keras
import numpy as np
from keras import ops

from lipot import checks
from lipot.layers.channel_layer import ChannelLayer
from lipot.layers.layer_bounds import check_not_repeated
from lipot.math.rounding import LayerBound, applied_wide
from lipot.math.scaling import at_least_float32, scale
from lipot.math.sorting import householder


@keras.saving.register_keras_serializable(package="lipot")
class Householder(ChannelLayer):
    r"""Reflects pairs of channels across a learned line.

    Channel $i$ of the first half and of the second half form a pair $z$, which becomes
    $k\,(z - 2 (v^\top z)_+ v)$ with $v = (\sin\frac\theta2, -\cos\frac\theta2)$ and one
    trained angle $\theta$ a pair.

    Args:
        data_format: `"channels_last"` or `"channels_first"`.
        k_coef_lip: Positive float, the Lipschitz constant to ensure.
        theta_initializer: Initializer of the angles. Defaults to $\pi / 2$, which sorts each
            pair.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, ..., channels)` with an even number of channels, or `(batch, channels, ...)`
        with `"channels_first"`.

    Output shape:
        That of the input.

    Lipschitz bound:
        `k_coef_lip`: the identity and a reflection, which agree on the line between them. In
        l-infinity $k \max_i (|\cos\theta_i| + |\sin\theta_i|)$, from the rows of the reflections.

    Raises:
        ValueError: At build if the number of channels is odd.

    Reference:
        Singla, Singla and Feizi, "Improved deterministic l2 robustness on CIFAR-10 and
        CIFAR-100" (ICLR 2022).

    Example:

    >>> import numpy as np
    >>> [round(float(v), 4) for v in Householder()(np.array([[3.0, 7.0, 1.0, 8.0]]))[0]]
    [1.0, 7.0, 3.0, 8.0]
    """

    def __init__(
        self, data_format="channels_last", k_coef_lip=1.0, theta_initializer=None, **kwargs
    ):
        super().__init__(data_format=data_format, k_coef_lip=k_coef_lip, **kwargs)
        self.theta_initializer = keras.initializers.get(theta_initializer)

    def build(self, input_shape):
        channels = self.read_channels(input_shape)
        if channels % 2:
            raise checks.invalid(
                "input_shape",
                f"an even number of channels on axis {self.channel_axis}",
                input_shape,
            )
        self.theta = self.add_weight(
            name="theta",
            shape=(channels // 2,),
            initializer=self.theta_initializer or keras.initializers.Constant(math.pi / 2),
            autocast=False,
        )
        # On fewer channels the one of a pair would be repeated for each angle.
        self.input_spec = keras.layers.InputSpec(min_ndim=2, axes={self.channel_axis: channels})
        self.built = True

    def call(self, inputs):
        # A sine rounded to half precision would stretch the reflection by up to 1e-3.
        x = at_least_float32(inputs)
        outputs = householder(x, ops.cast(self.theta, x.dtype), axis=self.channel_axis)
        return scale(outputs, self.k_coef_lip, dtype=self.compute_dtype)

    def bound(self, input_shape, norm=2):
        # Sine, cosine, a product of two terms and a difference, of size at most 3 |x|, or 3.5 |x|
        # in l-infinity; and (v v^T)(v v^T) = |v|^2 v v^T, where the computed v has norm one up to
        # rounding.
        self.check_built()
        pairs = self.read_channels(input_shape) // 2
        check_not_repeated(self, (None, pairs), self.theta.shape)
        k, steepest = self.applied_factor, 1.0
        if norm != 2:
            theta = applied_wide(self.theta, self.compute_dtype)
            rows = np.abs(np.cos(theta)) + np.abs(np.sin(theta))
            steepest = max(1.0, float(rows.max())) * (1.0 + 1e-12)
        return LayerBound(k * steepest, roundings=16, gain=4.0 * k, output_roundings=2)

    def get_config(self):
        return {
            **super().get_config(),
            "theta_initializer": keras.initializers.serialize(self.theta_initializer),
        }
