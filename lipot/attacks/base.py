"""What every in-graph attack has in common."""

import keras
import numpy as np
from keras import ops

from lipot import backend, checks
from lipot.attacks.ball import Ball, check_ball, example_norm, warn_about_units
from lipot.layers.base import FixedArguments
from lipot.losses.parameter import positive
from lipot.math import replicas


@keras.saving.register_keras_serializable(package="lipot")
class Attack(FixedArguments, keras.layers.Layer):
    """A search for the worst input in a ball, written so that it compiles with the training step.

    An attack is called as `attack(forward, x, y)`. It is meant for training; robustness is
    measured with `lipot.evaluate`. It is a Keras layer only to let a model track its random
    state. Subclasses override `search`.

    `share`, 1 at first, may change while training runs: radius and steps are that share of what
    they were made with, see `lipot.callbacks.RadiusSchedule`. The arguments are fixed: a compiled
    step would not see them change.

    Args:
        eps: Positive float, radius of the ball.
        norm: `"inf"` or 2, the norm of the ball.
        clip_min: Float, smallest value of the data, or `None`.
        clip_max: Float, largest value of the data, or `None`.
        seed: Integer, or `None` for one drawn from Keras' global generator.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    share = positive()

    def __init__(self, eps, *, norm="inf", clip_min=0.0, clip_max=1.0, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.share = 1.0
        self.eps = checks.positive_float("eps", eps)
        self.norm, self.clip_min, self.clip_max = check_ball(norm, clip_min, clip_max)
        warn_about_units(self.eps, *self.ball)
        self.seed = checks.optional(checks.seed, "seed", seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        self.supports_jit = backend.compiles_loops_well() and backend.compiles_derivatives()
        self.built = True

    def __call__(self, forward, x, y):
        """Searches for adversarial examples.

        Args:
            forward: Callable from inputs to logits that trains nothing (`training=False`).
            x: Clean inputs `(batch, ...)`.
            y: Integer or one-hot labels.

        Returns:
            Inputs shaped like `x`, in the ball and in the data range, cut from differentiation.

        Raises:
            ValueError: If `forward` is no callable, if labels are names or not as many as inputs,
                or if inputs lie outside the data range, unless a program is being traced.
        """
        if not callable(forward):
            raise checks.refused(
                "forward", "a callable from inputs to logits", type(forward).__name__
            )
        _check_labels(x, y)
        x = ops.stop_gradient(ops.cast(x, keras.config.floatx()))
        if backend.is_concrete(x):
            self.check_range(x)
        return ops.stop_gradient(self.search(forward, x, y))

    def search(self, forward, x, y):
        """Returns adversarial examples for `x`; what subclasses write."""
        raise TypeError(f"{type(self).__name__} must define search().")

    def check_range(self, x):
        """Checks that inputs lie in the data range, to which attacked ones are clipped.

        Args:
            x: Inputs, an array or a tensor with values.

        Raises:
            ValueError: If some do not: clipping would move them out of the ball.
        """
        self.ball.check_range(x)

    @property
    def ball(self):
        """The norm and the range of the data."""
        return Ball(self.norm, self.clip_min, self.clip_max)

    def project(self, x_adv, x):
        """Returns the nearest point of the ball around `x`, clipped to the data range."""
        return self.ball.project(x_adv, x, self.scaled(self.eps, x.dtype))

    def scaled(self, length, dtype):
        """Returns `share` of a length, as a tensor."""
        return length * ops.cast(self.share.value, dtype)

    def steepest(self, gradient):
        """Returns the unit step that increases a function fastest in the attack's norm."""
        return self.ball.steepest(gradient)

    def random_point(self, x):
        """Draws a point uniformly in the ball around `x`, clipped to the data range."""
        point = ops.shape(x)[1:]
        seed = self.seed_generator
        if self.norm == "inf":
            noise = replicas.draw(
                lambda count: keras.random.uniform((count, *point), -1.0, 1.0, seed=seed),
                ops.shape(x)[0],
            )
            return self.ball.clip(x + self.scaled(self.eps, x.dtype) * ops.cast(noise, x.dtype))
        shift = replicas.draw(lambda count: self._shift((count, *point)), ops.shape(x)[0])
        return self.ball.clip(x + ops.cast(shift, x.dtype))

    def _shift(self, shape):
        """Draws points uniformly in the l2 ball around 0."""
        direction = keras.random.normal(shape, seed=self.seed_generator)
        direction = direction / ops.maximum(example_norm(direction), 1e-12)
        broadcast = (shape[0],) + (1,) * (len(shape) - 1)
        level = keras.random.uniform(broadcast, seed=self.seed_generator)
        dimension = 1
        for size in shape[1:]:
            dimension *= size
        # The share of a ball's volume within r of its centre is r^d.
        radius = self.scaled(self.eps, level.dtype) * level ** (1.0 / dimension)
        return radius * direction

    def get_config(self):
        return {
            **super().get_config(),
            "eps": self.eps,
            "norm": self.norm,
            "clip_min": self.clip_min,
            "clip_max": self.clip_max,
            "seed": self.seed,
        }


def _check_labels(x, y):
    """Raises where labels are names, or not as many as inputs; sizes unknown in a trace fit any."""
    if y is None:
        return
    if isinstance(y, np.ndarray) and y.dtype.kind in "USO":
        raise checks.refused("y", checks.CLASS_NUMBERS, f"dtype {y.dtype}")
    points, labels = (ops.shape(ops.convert_to_tensor(values))[0] for values in (x, y))
    if isinstance(points, int) and isinstance(labels, int) and points != labels:
        raise checks.refused("y", f"one label for each of the {points} inputs", f"{labels} labels")
