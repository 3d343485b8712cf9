"""GroupSort activations: sort the channels in groups."""

import keras

from lipot import backend, checks
from lipot.layers.activation_bounds import piecewise_linear
from lipot.layers.channel_layer import ChannelLayer
from lipot.math.scaling import scale
from lipot.math.sorting import sort_groups


@keras.saving.register_keras_serializable(package="lipot")
class GroupSort(ChannelLayer):
    r"""Sorts the channels in groups of `n` neighbors, in ascending order.

    `output = k_coef_lip * sort(input)`. Its Jacobian is a permutation matrix times
    `k_coef_lip`, at ties as well: it keeps the norm of every gradient.

    Args:
        n: Positive int that divides the number of channels, the length of a group. `None`
            sorts all channels.
        data_format: `"channels_last"` or `"channels_first"`.
        k_coef_lip: Positive float, the Lipschitz constant to ensure.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, ..., channels)`, or `(batch, channels, ...)` with `"channels_first"`.

    Output shape:
        That of the input.

    Lipschitz bound:
        `k_coef_lip`: of all orders, sorted vectors are the closest, in l-infinity too.

    Raises:
        ValueError: At construction if `n` is not a positive int; where it does not divide the
            number of channels.

    Reference:
        Anil, Lucas and Grosse, "Sorting out Lipschitz function approximation" (ICML 2019),
        section 4.1.

    Example:

    >>> import numpy as np
    >>> [float(v) for v in GroupSort(3)(np.array([[3.0, 1.0, 2.0, 9.0, 8.0, 7.0]]))[0]]
    [1.0, 2.0, 3.0, 7.0, 8.0, 9.0]
    """

    def __init__(self, n=None, data_format="channels_last", k_coef_lip=1.0, **kwargs):
        super().__init__(data_format=data_format, k_coef_lip=k_coef_lip, **kwargs)
        self.n = checks.optional(checks.positive_int, "n", n)

    def build(self, input_shape):
        self._check_divides(input_shape)
        self.built = True

    def _check_divides(self, input_shape):
        # Shared, it meets other numbers of channels than it was built for.
        channels = self.read_channels(input_shape)
        if self.n is not None and channels % self.n:
            raise checks.refused(
                "n",
                f"a divisor of the number of channels, {channels}, on axis {self.channel_axis}",
                f"n={self.n}, input_shape={tuple(input_shape)}",
            )

    def call(self, inputs, training=False):
        self._check_divides(inputs.shape)
        size = self.n or inputs.shape[self.channel_axis]
        neighbors = backend.sort_pairs_fused if training else backend.sort_pairs
        outputs = sort_groups(inputs, size, axis=self.channel_axis, neighbors=neighbors)
        return scale(outputs, self.k_coef_lip)

    def bound(self, input_shape, norm=2):
        self._check_divides(input_shape)
        return piecewise_linear(self.applied_factor)

    def compute_output_shape(self, input_shape):
        self._check_divides(input_shape)
        return super().compute_output_shape(input_shape)

    def get_config(self):
        return {**super().get_config(), "n": self.n}


@keras.saving.register_keras_serializable(package="lipot")
class GroupSort2(GroupSort):
    """Sorts the channels in pairs of neighbors: `GroupSort(2)`.

    `output = k_coef_lip * (min(x_0, x_1), max(x_0, x_1), min(x_2, x_3), ...)`

    Args:
        data_format: `"channels_last"` or `"channels_first"`.
        k_coef_lip: Positive float, the Lipschitz constant to ensure.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, ..., channels)` with an even number of channels, or `(batch, channels, ...)`
        with `"channels_first"`.

    Output shape:
        That of the input.

    Lipschitz bound:
        `k_coef_lip`.

    Raises:
        ValueError: The number of channels is odd.

    Reference:
        Serrurier et al., "Achieving robustness in classification using optimal transport with
        hinge regularization", section 4.1.

    Example:

    >>> import numpy as np
    >>> [float(v) for v in GroupSort2()(np.array([[3.0, 1.0, -2.0, 5.0]]))[0]]
    [1.0, 3.0, -2.0, 5.0]
    """

    def __init__(self, data_format="channels_last", k_coef_lip=1.0, **kwargs):
        super().__init__(n=2, data_format=data_format, k_coef_lip=k_coef_lip, **kwargs)

    def get_config(self):
        return _without_n(super().get_config())


@keras.saving.register_keras_serializable(package="lipot")
class FullSort(GroupSort):
    """Sorts all channels, in ascending order: `GroupSort(None)`.

    Args:
        data_format: `"channels_last"` or `"channels_first"`.
        k_coef_lip: Positive float, the Lipschitz constant to ensure.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, ..., channels)`, or `(batch, channels, ...)` with `"channels_first"`.

    Output shape:
        That of the input.

    Lipschitz bound:
        `k_coef_lip`.

    Reference:
        Serrurier et al., "Achieving robustness in classification using optimal transport with
        hinge regularization", section 4.1.

    Example:

    >>> import numpy as np
    >>> [float(v) for v in FullSort()(np.array([[3.0, 1.0, -2.0, 5.0]]))[0]]
    [-2.0, 1.0, 3.0, 5.0]
    """

    def __init__(self, data_format="channels_last", k_coef_lip=1.0, **kwargs):
        super().__init__(n=None, data_format=data_format, k_coef_lip=k_coef_lip, **kwargs)

    def get_config(self):
        return _without_n(super().get_config())


def _without_n(config):
    return {key: value for key, value in config.items() if key != "n"}
