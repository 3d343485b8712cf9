"""APE-GAN: a network that was trained to undo an attack."""

import keras
from keras import ops

from lipot import checks
from lipot.attacks.base import Attack
from lipot.math.latent_projection import mean_squares
from lipot.math.scaling import at_least_float32, wide_dtype
from lipot.models.parts import with_parts
from lipot.models.random_state import SavesRandomState
from lipot.purifiers.purifier import Purifier, check_network, shaped_like, with_frozen_weights


@keras.saving.register_keras_serializable(package="lipot")
class APEGAN(SavesRandomState, Purifier):
    r"""A generator that maps attacked images to clean ones, against a discriminator.

    $$ \min_G \; w_p \operatorname{mean} (G(x') - x)^2 - w_a \log D(G(x')), \quad
       \max_D \; \log D(x) + \log (1 - D(G(x'))) $$

    where x' are attacked images of the classifier. `fit(x)` trains both in one step of one
    optimizer, and never the classifier; the logs show the mean square as `distance`. It draws no
    random numbers at inference.

    The classifier is needed for training alone: a saved purifier does not hold it, and
    `train_against` gives one that was loaded a new one.

    Args:
        generator: Built Keras model from images to images.
        discriminator: Built Keras model from images to one number, the logit of D.
        attack: A `lipot.attacks.Attack`, such as the paper's `FGSM`.
        classifier: Keras model that is attacked, from images to logits; `None` not to train.
        pixel_weight: Non-negative float, factor $w_p$.
        adversarial_weight: Non-negative float, factor $w_a$.
        **kwargs: Arguments of `keras.Model`.

    Input shape:
        Images in [0, 1], as the generator takes them.

    Output shape:
        That of the input.

    Lipschitz bound:
        That of the generator. `lipot.certify` refuses the purifier itself, which has no graph.

    Reference:
        Jin, Shen, Zhang, Dai and Zhang, "APE-GAN: adversarial perturbation elimination with
        GAN", 2019; a baseline of OTAD, tables I to X.

    Example:

    >>> import keras, lipot, numpy as np
    >>> from lipot.purifiers import APEGAN, image_autoencoder, image_discriminator
    >>> shape = (8, 8, 1)
    >>> classifier = keras.Sequential([
    ...     keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(2)])
    >>> model = APEGAN(image_autoencoder(shape, filters=4), image_discriminator(shape, filters=4),
    ...                lipot.attacks.FGSM(0.1), classifier)
    >>> model.compile("adam")
    >>> x = np.random.default_rng(0).uniform(size=(8, *shape)).astype("float32")
    >>> sorted(model.fit(x, verbose=0).history)
    ['distance', 'loss']
    """

    def __init__(
        self,
        generator,
        discriminator,
        attack,
        classifier=None,
        pixel_weight=0.7,
        adversarial_weight=0.3,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_network("generator", generator, generator_shape(generator), None)
        check_network("discriminator", discriminator, generator.output_shape[1:], (1,))
        self.generator = generator
        self.input_spec = shaped_like(generator.input_shape)
        self.discriminator = discriminator
        self.attack = checks.instance("attack", attack, Attack, "a lipot attack")
        self.train_against(classifier)
        self.pixel_weight = checks.nonnegative_float("pixel_weight", pixel_weight)
        self.adversarial_weight = checks.nonnegative_float("adversarial_weight", adversarial_weight)
        self._distance = keras.metrics.Mean(name="distance", dtype=wide_dtype())
        self.built = True

    @property
    def classifier(self):
        """The model that `fit` attacks, or `None`."""
        return self._held_classifier()

    def train_against(self, classifier):
        """Has `fit` attack a classifier.

        Args:
            classifier: Keras model from images to logits, or `None`.
        """
        checks.instance("classifier", classifier, keras.Model | None, "a Keras model or None")
        checks.attackable("classifier", classifier)
        # In a function, so that Keras neither trains nor saves it.
        self._held_classifier = lambda: classifier
        # What was compiled attacks the one before.
        self.train_function = self.test_function = None

    @property
    def non_trainable_variables(self):
        """Those of the purifier, and those of the classifier, which programs of JAX are given."""
        own, attacked = super().non_trainable_variables, self.classifier
        held = {id(variable) for variable in self.variables}
        # What is attacked may hold the purifier.
        others = [] if attacked is None else attacked.variables
        return own + [variable for variable in others if id(variable) not in held]

    def purify(self, inputs):
        return self.generator(inputs, training=False)

    def purification_losses(self, x, y, training):
        fake = self.generator(self._attacked(x, y), training=training)
        distance = mean_squares(fake, x)
        self._distance.update_state(distance)
        real = _logits(self.discriminator(x, training=training))
        apparent = _logits(self.discriminator(ops.stop_gradient(fake), training=training))
        # -log sigmoid(s) = softplus(-s).
        discrimination = ops.softplus(-real) + ops.softplus(apparent)
        plausible = ops.softplus(-_logits(with_frozen_weights(self.discriminator, fake)))
        return self.pixel_weight * distance + self.adversarial_weight * plausible + discrimination

    def _attacked(self, x, y):
        classifier = self.classifier
        if classifier is None:
            raise checks.refused(
                "classifier",
                "a Keras model to attack: a purifier that was loaded has none until "
                "`train_against` names it",
                "classifier=None",
            )

        def forward(z):
            return classifier(z, training=False)

        labels = ops.argmax(forward(x), axis=-1) if y is None else y
        return self.attack(forward, x, labels)

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "generator": serialize(self.generator),
            "discriminator": serialize(self.discriminator),
            "attack": serialize(self.attack),
            "pixel_weight": self.pixel_weight,
            "adversarial_weight": self.adversarial_weight,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**with_parts(config, ("generator", "discriminator", "attack")))


def _logits(outputs):
    """One logit for each image: `(batch, 1) -> (batch,)`, in the type of `mean_squares`."""
    return at_least_float32(outputs)[:, 0]


def generator_shape(generator):
    """The shape that a generator of images from images must take: the one that it gives."""
    return generator.output_shape[1:] if isinstance(generator, keras.Model) else None
