"""Layers that subtract a mean and divide by nothing, so that their Lipschitz constant is known."""

import math

import keras
import numpy as np
from keras import ops

from lipot import backend, checks
from lipot.layers.base import LipschitzLayer
from lipot.layers.training_state import hand_on
from lipot.math.rounding import applied_wide, channelwise
from lipot.math.scaling import at_least_float32, scale


class CenteringLayer(LipschitzLayer):
    """Subtracts a mean, scales by `k_coef_lip` and adds a learned shift.

    A subclass says which axes the shift belongs to (`shift_axes`) and what the mean is (`mean_of`).

    Args:
        axis: Int or list of ints.
        center: Whether to add a learned shift `beta`.
        beta_initializer: Initializer of the shift.
        beta_regularizer: Regularizer of the shift.
        beta_constraint: Constraint of the shift.
        k_coef_lip: Positive float, the Lipschitz constant to ensure.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(
        self,
        axis=-1,
        *,
        center=True,
        beta_initializer="zeros",
        beta_regularizer=None,
        beta_constraint=None,
        k_coef_lip=1.0,
        **kwargs,
    ):
        super().__init__(k_coef_lip=k_coef_lip, **kwargs)
        self.supports_masking = True
        self.axis = axis
        self.center = checks.boolean("center", center)
        self.beta_initializer = keras.initializers.get(beta_initializer)
        self.beta_regularizer = keras.regularizers.get(beta_regularizer)
        self.beta_constraint = keras.constraints.get(beta_constraint)

    def build(self, input_shape):
        self._axes = read_axes(self.axis, input_shape)
        self._shape = [n if a in self._axes else 1 for a, n in enumerate(input_shape)]
        self.beta = None
        if self.center:
            self.beta = self.add_weight(
                name="beta",
                shape=[input_shape[a] for a in self._axes],
                initializer=self.beta_initializer,
                regularizer=self.beta_regularizer,
                constraint=self.beta_constraint,
                autocast=False,
            )
        # On other sizes of the axes one of the two would be repeated.
        self.input_spec = keras.layers.InputSpec(
            ndim=len(input_shape), axes={a: input_shape[a] for a in self._axes}
        )
        self.built = True

    def check_sizes(self, input_shape):
        """Raises where the axes have not the sizes that the layer was built for.

        `TimeDistributed` calls a layer past its `input_spec`, which might also be changed.
        """
        same = len(input_shape) == len(self._shape)
        if not same or any(input_shape[a] != self._shape[a] for a in self._axes):
            expected = f"those of {[None, *self._shape[1:]]} on the axes {list(self._axes)}"
            raise checks.other_sizes(self.name, expected, input_shape)

    def mean_of(self, inputs, training, mask):
        """The mean to subtract, broadcast against the inputs."""
        raise TypeError(f"{type(self).__name__} must define mean_of().")

    def call(self, inputs, training=False, mask=None):
        x = at_least_float32(inputs)
        outputs = scale(x - self.mean_of(x, training, mask), self.k_coef_lip)
        if self.beta is not None:
            # A graph of Keras on TensorFlow takes what is added for a bias along another axis.
            outputs = outputs - self.broadcast(ops.negative(self.beta), outputs)
        return ops.cast(outputs, self.compute_dtype)

    def broadcast(self, weight, inputs):
        """Reshapes a weight of the axes so that it meets every sample."""
        return ops.cast(ops.reshape(weight, self._shape), inputs.dtype)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "axis": self.axis,
            "center": self.center,
            "beta_initializer": keras.initializers.serialize(self.beta_initializer),
            "beta_regularizer": keras.regularizers.serialize(self.beta_regularizer),
            "beta_constraint": keras.constraints.serialize(self.beta_constraint),
        }


@keras.saving.register_keras_serializable(package="lipot")
class BatchCentering(CenteringLayer):
    r"""Subtracts the mean of each channel over the batch, at inference a running one.

    $$ y = k\,(x - \mu) + \beta $$

    What is left of `BatchNormalization` when nothing may be stretched: while training $\mu$ is
    the mean of the batch, at inference the average of those means.

    Args:
        axis: Int, the axis of the channels: -1, or 1 for images with the channels first.
        momentum: Float in `[0, 1)`, how much of the running mean a step keeps.
        center: Whether to add a learned shift `beta`.
        beta_initializer: Initializer of the shift.
        moving_mean_initializer: Initializer of the running mean.
        beta_regularizer: Regularizer of the shift.
        beta_constraint: Constraint of the shift.
        k_coef_lip: Positive float, the Lipschitz constant to ensure.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        Any, with a known number of channels.

    Output shape:
        Same as the input.

    Lipschitz bound:
        `k_coef_lip`: a translation, scaled.

    Raises:
        ValueError: An argument out of its range, named in the message.

    Reference:
        Ioffe and Szegedy, "Batch normalization: accelerating deep network training by reducing
        internal covariate shift" (ICML 2015), algorithm 1, without the variance.

    Example:

    >>> import numpy as np
    >>> x = np.array([[1.0, 10.0], [3.0, 30.0]], "float32")
    >>> layer = BatchCentering(momentum=0.0)
    >>> [[float(v) for v in row] for row in layer(x, training=True)]
    [[-1.0, -10.0], [1.0, 10.0]]
    >>> [float(v) for v in layer(np.zeros((1, 2), "float32"))[0]]
    [-2.0, -20.0]
    """

    def __init__(
        self,
        axis=-1,
        momentum=0.99,
        center=True,
        beta_initializer="zeros",
        moving_mean_initializer="zeros",
        beta_regularizer=None,
        beta_constraint=None,
        k_coef_lip=1.0,
        **kwargs,
    ):
        super().__init__(
            checks.integer("axis", axis),
            center=center,
            beta_initializer=beta_initializer,
            beta_regularizer=beta_regularizer,
            beta_constraint=beta_constraint,
            k_coef_lip=k_coef_lip,
            **kwargs,
        )
        self.momentum = checks.probability("momentum", momentum)
        if self.momentum == 1.0:
            raise checks.invalid("momentum", "less than 1, or no batch would count", momentum)
        self.moving_mean_initializer = keras.initializers.get(moving_mean_initializer)

    def build(self, input_shape):
        super().build(input_shape)
        self._reduced = tuple(a for a in range(len(input_shape)) if a not in self._axes)
        self.moving_mean = self.add_weight(
            name="moving_mean",
            shape=[input_shape[a] for a in self._axes],
            initializer=self.moving_mean_initializer,
            trainable=False,
            autocast=False,
            aggregation="mean",
        )

    def mean_of(self, inputs, training, mask):
        if not (training and self.trainable):
            return self.broadcast(self.moving_mean, inputs)
        mean = _mean(inputs, mask, self._reduced)
        kept = self.momentum * self.moving_mean
        moved = kept + (1.0 - self.momentum) * ops.cast(mean, kept.dtype)
        # The mean over the replicas, so that all answer alike at inference.
        with backend.replicas_take_turns():
            hand_on(self, "moving_mean", moved)
        return self.broadcast(mean, inputs)

    def bound(self, input_shape, norm=2):
        self.check_built()
        self.check_sizes(input_shape)
        mean = self.applied_factor * np.abs(applied_wide(self.moving_mean, self.compute_dtype))
        beta = 0.0 if self.beta is None else np.abs(applied_wide(self.beta, self.compute_dtype))
        return channelwise(self.applied_factor, mean + beta, input_shape, norm)

    def get_config(self):
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "moving_mean_initializer": keras.initializers.serialize(self.moving_mean_initializer),
        }


@keras.saving.register_keras_serializable(package="lipot")
class LayerCentering(CenteringLayer):
    r"""Subtracts from each sample its own mean over some axes.

    $$ y = k\,\bigl(x - \tfrac1n \mathbf 1 \mathbf 1^\top x\bigr) + \beta $$

    What is left of `LayerNormalization`, which has no useful Lipschitz constant, when nothing is
    divided. It acts alike while training and at inference.

    Args:
        axis: Int or list of ints, the axes to average over: -1 for the channels of each
            position, `[1, 2]` for each channel of an image with the channels last.
        center: Whether to add a learned shift `beta`, one for each place along `axis`.
        beta_initializer: Initializer of the shift.
        beta_regularizer: Regularizer of the shift.
        beta_constraint: Constraint of the shift.
        k_coef_lip: Positive float, the Lipschitz constant to ensure.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        Any, with known sizes along `axis`.

    Output shape:
        Same as the input.

    Lipschitz bound:
        `k_coef_lip`: $I - \tfrac1n \mathbf 1 \mathbf 1^\top$ is the orthogonal projector onto
        the vectors of mean zero. In l-infinity $k (2 - 2/n)$, the sum of a row.

    Raises:
        ValueError: An argument out of its range, named in the message.

    Reference:
        Ba, Kiros and Hinton, "Layer normalization" (2016), equation 3, without the deviation.

    Example:

    >>> import numpy as np
    >>> layer = LayerCentering()
    >>> [float(v) for v in layer(np.array([[1.0, 2.0, 6.0]], "float32"))[0]]
    [-2.0, -1.0, 3.0]
    """

    def __init__(
        self,
        axis=-1,
        center=True,
        beta_initializer="zeros",
        beta_regularizer=None,
        beta_constraint=None,
        k_coef_lip=1.0,
        **kwargs,
    ):
        super().__init__(
            _check_axes(axis),
            center=center,
            beta_initializer=beta_initializer,
            beta_regularizer=beta_regularizer,
            beta_constraint=beta_constraint,
            k_coef_lip=k_coef_lip,
            **kwargs,
        )

    def mean_of(self, inputs, training, mask):
        return ops.mean(inputs, axis=self._axes, keepdims=True)

    def bound(self, input_shape, norm=2):
        self.check_built()
        self.check_sizes(input_shape)
        # A mean of n values is wrong by at most gamma_n |x| / sqrt(n), and subtracted n times.
        # In l-infinity it is wrong by gamma_n |x|, and what it is subtracted from grows to 2 |x|.
        beta, averaged = np.zeros(1), self._averaged()
        if self.beta is not None:
            beta = applied_wide(self.beta, self.compute_dtype)
        moved = channelwise(self.applied_factor, beta, input_shape, norm)
        grown = 1.0 if norm == 2 else 2.0
        return moved._replace(
            lipschitz=moved.lipschitz if norm == 2 else moved.lipschitz * (2.0 - 2.0 / averaged),
            roundings=moved.roundings + averaged,
            gain=moved.gain * grown,
        )

    def _averaged(self):
        """Number of values that one mean is taken of."""
        return math.prod(self._shape)


def _mean(inputs, mask, axes):
    """Mean over some axes, of the steps that a mask leaves."""
    if mask is None:
        return ops.mean(inputs, axis=axes)
    mask = ops.reshape(mask, ops.shape(mask) + (1,) * (len(inputs.shape) - len(mask.shape)))
    weights = ops.cast(mask, inputs.dtype) * ops.ones_like(inputs)
    total = ops.sum(weights, axis=axes)
    return ops.sum(inputs * weights, axis=axes) / ops.maximum(total, 1.0)


def read_axes(axis, input_shape):
    """Returns the axes as sorted positive ints; they must have known sizes and spare the batch."""
    rank = len(input_shape)
    axes = [axis] if isinstance(axis, int) else list(axis)
    valid = all(-rank <= a < rank for a in axes)
    axes = sorted(a % rank for a in axes)
    if not valid or 0 in axes or len(set(axes)) < len(axes):
        raise checks.invalid(
            "axis",
            f"different axes other than the batch for inputs of shape {tuple(input_shape)}",
            axis,
        )
    if None in [input_shape[a] for a in axes]:
        raise checks.invalid(
            "axis", f"axes of known size for inputs of shape {tuple(input_shape)}", axis
        )
    return tuple(axes)


def _check_axes(axis):
    """An int, or a list of one or more."""
    expected = "an integer or a list of them"
    if not isinstance(axis, list | tuple):
        return checks.integer("axis", axis, expected)
    if not axis:
        raise checks.invalid("axis", expected, axis)
    return [checks.integer("axis", one, expected) for one in axis]
