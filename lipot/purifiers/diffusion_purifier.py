"""DiffPure: noise is added to an image, and taken off again by a diffusion model."""

from typing import Any, NamedTuple

import keras
from keras import ops

from lipot import backend, checks
from lipot.math import diffusion, replicas
from lipot.math.scaling import at_least_float32
from lipot.models.parts import with_parts
from lipot.models.random_state import SavesRandomState
from lipot.purifiers.purifier import Purifier, shaped_like


@keras.saving.register_keras_serializable(package="lipot")
class DiffusionPurifier(SavesRandomState, Purifier):
    r"""Diffuses an image for a share of the way to noise, and goes back by the reverse steps.

    $$ x_{t^*} = \sqrt{\bar\alpha_{t^*}} \, x + \sqrt{1 - \bar\alpha_{t^*}} \, n, \quad
       x_{t-1} \sim q(x_{t-1} \mid x_t, \hat x_0(x_t, t)) $$

    `fit(x)` trains the network to tell the noise in a diffused image. Both ways draw noise: it is
    a random defence. Its derivative computes each step back again, so that memory does not grow
    with their number.

    Args:
        network: Built Keras model from a pair, images in [-1, 1] `(batch, ...)` and steps
            `(batch,)`, to the noise in the images, such as `denoising_unet`.
        steps: Positive int, steps from an image to noise.
        level: Share of the steps that an input is diffused, t* in the paper: more removes larger
            perturbations, and more of the image.
        clip: Whether each guess of the clean image is clipped to the range of images.
        seed: Integer, or `None` for one drawn from Keras' global generator.
        **kwargs: Arguments of `keras.Model`.

    Input shape:
        Images in [0, 1], as the network takes them.

    Output shape:
        That of the input.

    Lipschitz bound:
        None: each call draws its noise. `lipot.certify` refuses it.

    Reference:
        Nie et al., "Diffusion models for adversarial purification", 2022, with the discrete
        steps of Ho, Jain and Abbeel, "Denoising diffusion probabilistic models", 2020.

    Example:

    >>> from lipot.purifiers import DiffusionPurifier, denoising_unet
    >>> model = DiffusionPurifier(denoising_unet((8, 8, 1), filters=8), steps=30, level=0.1)
    >>> model.purification_steps
    3
    """

    def __init__(self, network, steps=100, level=0.2, clip=True, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.network = checks.instance("network", network, keras.Model, "a Keras model")
        self.steps = checks.integer("steps", steps, "an integer of 25 or more", least=25)
        self.level = checks.positive_float("level", level, most=1.0)
        self.clip = checks.boolean("clip", clip)
        self.seed = checks.optional(checks.seed, "seed", seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        self.supports_jit = backend.compiles_loops_well()
        # A model that is no graph of layers states no shape.
        if getattr(network, "inputs", None):
            self.input_spec = shaped_like(network.inputs[0].shape)
        self.built = True

    @property
    def purification_steps(self):
        """Steps to the noised image, and back."""
        return max(1, round(self.level * self.steps))

    def purify(self, inputs):
        # The first share that is kept, 0.999, is 1 in half precision.
        images = at_least_float32(inputs)
        schedule = _constants(diffusion.linear_schedule(self.steps), images.dtype)
        last = self.purification_steps - 1
        noise = self._noise(ops.shape(images), last + 2, images.dtype)
        start = diffusion.diffuse(2.0 * images - 1.0, noise[-1], schedule.kept[last])

        def back(done, state):
            t = last - done
            at = {name: ops.take(values, t) for name, values in schedule._asdict().items()}
            clean = self._clean(state, t, at["kept"])
            before = diffusion.posterior(clean, state, **at)
            return before.mean + ops.sqrt(before.variance) * ops.take(noise, t, axis=0)

        images = backend.repeat_recomputed(last + 1, back, start, variables=self.network.variables)
        return 0.5 * (images + 1.0)

    def purification_losses(self, x, y, training):
        x = at_least_float32(x)
        schedule = _constants(diffusion.linear_schedule(self.steps), x.dtype)
        t = replicas.draw(
            lambda rows: keras.random.randint((rows,), 0, self.steps, seed=self.seed_generator),
            ops.shape(x)[0],
        )
        kept = ops.reshape(ops.take(schedule.kept, t), (-1,) + (1,) * (len(x.shape) - 1))
        noise = self._noise(ops.shape(x), 1, x.dtype)[0]
        diffused = diffusion.diffuse(2.0 * x - 1.0, noise, kept)
        guess = self.network([diffused, ops.cast(t, x.dtype)], training=training)
        guess = ops.cast(guess, x.dtype)
        return ops.mean(ops.square(guess - noise), axis=tuple(range(1, len(x.shape))))

    def _clean(self, state, t, kept):
        """What the network takes the clean image for, in [-1, 1]."""
        steps = ops.full((ops.shape(state)[0],), ops.cast(t, state.dtype), state.dtype)
        noise = ops.cast(self.network([state, steps], training=False), state.dtype)
        clean = diffusion.denoised(state, noise, kept)
        return ops.clip(clean, -1.0, 1.0) if self.clip else clean

    def _noise(self, shape, count, dtype):
        """Draws `(count, batch, ...)`, at once: a loop of JAX could not keep the random state."""
        drawn = replicas.draw(
            lambda rows: keras.random.normal((rows, count, *shape[1:]), seed=self.seed_generator),
            shape[0],
        )
        return ops.cast(ops.swapaxes(drawn, 0, 1), dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "network": keras.saving.serialize_keras_object(self.network),
            "steps": self.steps,
            "level": self.level,
            "clip": self.clip,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**with_parts(config, ("network",)))


class _Constants(NamedTuple):
    """The numbers of a schedule as tensors, under the names that `posterior` has for them."""

    noise: Any
    kept: Any
    kept_before: Any


def _constants(schedule, dtype):
    values = (schedule.noise, schedule.kept, schedule.kept_before)
    return _Constants(*(ops.convert_to_tensor(value, dtype) for value in values))
