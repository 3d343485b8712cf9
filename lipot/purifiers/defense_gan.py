"""Defense-GAN: the nearest image that a generator can make."""

import keras
from keras import ops

from lipot import backend, checks
from lipot.math import replicas
from lipot.math.latent_projection import nearest_generated
from lipot.math.scaling import at_least_float32, wide_dtype
from lipot.models.parts import with_parts
from lipot.models.random_state import SavesRandomState
from lipot.purifiers.purifier import Purifier, check_network, shaped_like, with_frozen_weights


@keras.saving.register_keras_serializable(package="lipot")
class DefenseGAN(SavesRandomState, Purifier):
    r"""Projects an image onto the range of a generator, by gradient descent from several codes.

    $$ p(x) = G(z^*), \quad z^* = \arg\min_z \operatorname{mean} (G(z) - x)^2 $$

    `fit(x)` trains generator and critic in one step of one optimizer: the critic ascends
    $E\,D(x) - E\,D(G(z))$, the generator descends it. With a critic of 1-Lipschitz layers, as
    `wasserstein_critic` is, that is the Wasserstein-1 distance, which the logs show as
    `divergence`. The first codes are drawn anew in each call: it is a random defence. Its
    derivative computes each step of the descent again, so that memory does not grow with their
    number.

    Args:
        generator: Built Keras model from codes `(batch, code_size)` to images.
        critic: Built Keras model from images to one number.
        steps: Positive int, steps of the descent.
        restarts: Positive int, number of first codes for each image, of which the best end counts.
        step_size: Positive float, length of a step per unit of the gradient of the mean square.
        momentum: Share of the last step that is added to the next.
        seed: Integer, or `None` for one drawn from Keras' global generator.
        **kwargs: Arguments of `keras.Model`.

    Input shape:
        Images in [0, 1], as the generator makes them.

    Output shape:
        That of the input.

    Lipschitz bound:
        None: each call draws its first codes, and the nearest image may be another one all at
        once. `lipot.certify` refuses it.

    Reference:
        Samangouei, Kabkab and Chellappa, "Defense-GAN: protecting classifiers against
        adversarial attacks using generative models", 2018, algorithm 1; a baseline of
        OT-Classifier, table 2.

    Example:

    >>> import keras, numpy as np
    >>> from lipot.purifiers import DefenseGAN, code_generator, wasserstein_critic
    >>> shape = (8, 8, 1)
    >>> model = DefenseGAN(code_generator(shape, code_size=4, filters=4),
    ...                    wasserstein_critic(shape, filters=4), steps=5, restarts=2)
    >>> model.compile(keras.optimizers.Adam(1e-3, beta_1=0.5))
    >>> x = np.random.default_rng(0).uniform(size=(8, *shape)).astype("float32")
    >>> sorted(model.fit(x, verbose=0).history)
    ['divergence', 'loss']
    """

    def __init__(
        self,
        generator,
        critic,
        steps=200,
        restarts=10,
        step_size=10.0,
        momentum=0.7,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_network("generator", generator, None, None)
        check_network("critic", critic, generator.output_shape[1:], (1,))
        self.generator = generator
        self.input_spec = shaped_like(generator.output_shape)
        self.critic = critic
        self.steps = checks.positive_int("steps", steps)
        self.restarts = checks.positive_int("restarts", restarts)
        self.step_size = checks.positive_float("step_size", step_size)
        self.momentum = checks.probability("momentum", momentum)
        self.seed = checks.optional(checks.seed, "seed", seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        self._divergence = keras.metrics.Mean(name="divergence", dtype=wide_dtype())
        self.supports_jit = backend.compiles_loops_well() and backend.compiles_derivatives()
        self.built = True

    @property
    def code_size(self):
        """Numbers in a code."""
        return self.generator.input_shape[-1]

    def purify(self, inputs):
        codes = self._draw(ops.shape(inputs)[0], self.restarts)
        return nearest_generated(
            lambda z: self.generator(z, training=False),
            inputs,
            codes,
            steps=self.steps,
            step_size=self.step_size,
            momentum=self.momentum,
            variables=self.generator.variables,
        )

    def purification_losses(self, x, y, training):
        fake = self.generator(self._draw(ops.shape(x)[0]), training=training)
        real = at_least_float32(self.critic(x, training=training))
        apparent = at_least_float32(self.critic(ops.stop_gradient(fake), training=training))
        separation = (real - apparent)[:, 0]
        self._divergence.update_state(separation)
        return -separation - at_least_float32(with_frozen_weights(self.critic, fake))[:, 0]

    def _draw(self, count, *more):
        codes = replicas.draw(
            lambda rows: keras.random.normal(
                (rows, *more, self.code_size), seed=self.seed_generator
            ),
            count,
        )
        return ops.cast(codes, self.compute_dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "generator": keras.saving.serialize_keras_object(self.generator),
            "critic": keras.saving.serialize_keras_object(self.critic),
            "steps": self.steps,
            "restarts": self.restarts,
            "step_size": self.step_size,
            "momentum": self.momentum,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**with_parts(config, ("generator", "critic")))
