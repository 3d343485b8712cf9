"""What every purifier with something to train has in common."""

import keras
from keras import ops

from lipot import checks
from lipot.attacks.ball import Ball
from lipot.backend.calls import stateless_call
from lipot.losses.labels import weights_in_a_row
from lipot.losses.weighted_loss import MeanLoss
from lipot.models.first_batch import (
    check_numbers,
    first_batch,
    one_array,
    parts_of,
    with_checked_validation,
)
from lipot.models.forgets_programs import ForgetsPrograms


@keras.saving.register_keras_serializable(package="lipot")
class Purifier(ForgetsPrograms, keras.Model):
    """A model from images in [0, 1] to cleaner ones that trains by the stock `fit(x)`.

    Called in inference mode it purifies. In `fit` it returns its inputs, which nothing there
    reads: what is trained is in `purification_losses`. `lipot.models.Purified` always calls it
    in inference mode. `fit` refuses a first batch with values outside [0, 1].

    Subclasses define `purify`, and `purification_losses` where there is something to train.

    Example:

    >>> import keras, lipot
    >>> class Rounded(lipot.purifiers.Purifier):
    ...     def purify(self, inputs):
    ...         return keras.ops.round(4.0 * inputs) / 4.0
    >>> float(Rounded()(keras.ops.full((1, 1, 1, 1), 0.7))[0, 0, 0, 0])
    0.75
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._mean = MeanLoss(name="mean", dtype="float32")

    def purify(self, inputs):
        """Returns purified images, `(batch, ...) -> (batch, ...)`."""
        raise TypeError(f"{type(self).__name__} must define purify().")

    def purification_losses(self, x, y, training):
        """Returns the training loss of each image, `(batch,)`; `y` are labels or `None`."""
        raise TypeError(f"{type(self).__name__} must define purification_losses().")

    def __call__(self, inputs, *args, **kwargs):
        # Here, since it is built for the shape of what is called.
        return super().__call__(one_array(inputs), *args, **kwargs)

    def call(self, inputs, training=False):
        inputs = ops.cast(one_array(inputs), self.compute_dtype)
        # A network of a purifier may end in another type than it computes in.
        return inputs if training else ops.cast(self.purify(inputs), self.compute_dtype)

    def fit(self, x=None, y=None, batch_size=None, *args, **kwargs):
        kwargs = with_checked_validation(kwargs, _checked)
        return super().fit(_checked(x, batch_size), y, batch_size, *args, **kwargs)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        losses = self.purification_losses(ops.cast(one_array(x), self.compute_dtype), y, training)
        if sample_weight is not None:
            sample_weight = weights_in_a_row(sample_weight)
        losses = ops.cast(losses, "float32")
        total = self._mean(losses, losses, sample_weight)
        return total + super().compute_loss(x) if self.losses else total

    def compute_output_shape(self, input_shape):
        return input_shape


def _checked(x, batch_size, y=None):
    """What to draw from in place of data whose first images must lie in [0, 1]."""
    batch, x = first_batch(x, batch_size)
    images, _ = parts_of(batch)
    found = None
    check_numbers("x", images)
    if images is not None:
        found = Ball("inf", 0.0, 1.0).outside(ops.cast(images, "float32"))
    if found is not None:
        low, high = found
        raise checks.refused("x", "images in [0, 1]", f"values from {low:g} to {high:g}")
    return x


def check_images(shape):
    """Raises unless a shape is one of images with channels last."""
    if len(shape) != 4 or shape[-1] is None:
        raise checks.refused(
            "inputs", "images of shape (batch, height, width, channels)", f"shape {tuple(shape)}"
        )


def shaped_like(shape):
    """What a built purifier takes: Keras refuses all else with both shapes in its message.

    Args:
        shape: Shape of a batch, `None` for any size.
    """
    return keras.layers.InputSpec(shape=(None, *shape[1:]))


def check_network(name, network, inputs, outputs):
    """Raises unless a network is a built Keras model between inputs and outputs of given sizes.

    Args:
        name: Name of the argument.
        network: What was given for it.
        inputs: Shape of one input, or `None` for any.
        outputs: Shape of one output, or `None` for any.
    """
    checks.built_model(name, network)
    for what, shape, found in (
        ("inputs", inputs, network.input_shape),
        ("outputs", outputs, network.output_shape),
    ):
        if shape is not None and tuple(found[1:]) != tuple(shape):
            raise checks.refused(
                name,
                f"{what} of shape (batch, {', '.join(map(str, shape))})",
                f"shape {tuple(found)}",
            )


def with_frozen_weights(network, x):
    """Calls a network so that derivatives reach its inputs and not its weights.

    In a game of two networks one loss then trains each by its own term.
    """
    weights = [ops.stop_gradient(variable.value) for variable in network.trainable_variables]
    state = [variable.value for variable in network.non_trainable_variables]
    return stateless_call(network, weights, state, x, training=True)[0]
