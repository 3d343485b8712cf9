"""The distribution that the codes of an OT-Classifier are to follow."""

import keras

from lipot import checks


@keras.saving.register_keras_serializable(package="lipot")
class StandardNormal:
    """The standard normal distribution of codes.

    Args:
        code_size: Positive int, dimension of the code.
        seed: Integer, or `None` for one drawn from Keras' global generator.

    Example:

    >>> from lipot.models import StandardNormal
    >>> tuple(StandardNormal(4, seed=0).sample(10).shape)
    (10, 4)
    """

    def __init__(self, code_size, seed=None):
        self.code_size = checks.positive_int("code_size", code_size)
        self.seed = checks.optional(checks.seed, "seed", seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)

    def sample(self, count):
        """Draws `count` codes, `(count, code_size)`."""
        return keras.random.normal((count, self.code_size), seed=self.seed_generator)

    def get_config(self):
        return {"code_size": self.code_size, "seed": self.seed}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def checked_prior(prior, code_size):
    """Returns a prior of codes of some size.

    Args:
        prior: Object with `sample(count)` that returns `(count, code_size)`.
        code_size: Dimension of a code.

    Raises:
        ValueError: It has no such method, or its codes have another size.
    """
    if not callable(getattr(prior, "sample", None)):
        raise checks.refused("prior", "an object with a `sample` method", f"prior={prior!r}")
    shape = tuple(prior.sample(2).shape)
    if shape != (2, code_size):
        expected = f"`sample(2)` of shape (2, {code_size})"
        raise checks.refused("prior", expected, f"shape={shape}")
    return prior
