"""Random self-ensemble: noise before each convolution, in training and at inference."""

import keras
from keras import ops

from lipot import checks
from lipot.layers.base import FixedArguments
from lipot.math.linear_maps.images import ImageMap
from lipot.models.builders import checked
from lipot.models.exported_uncalled import ExportsUncalled
from lipot.models.first_batch import one_array
from lipot.models.forgets_programs import ForgetsPrograms
from lipot.models.parts import with_parts


@keras.saving.register_keras_serializable(package="lipot")
class RandomNoise(FixedArguments, keras.layers.Layer):
    """Adds Gaussian noise in training and at inference alike.

    Args:
        stddev: Positive float, standard deviation of the noise.
        seed: Integer, or `None` for one drawn from Keras' global generator.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        Any.

    Output shape:
        That of the input.

    Lipschitz bound:
        None is stated: two calls differ, however near their inputs are. `lipot.certify` refuses a
        network that holds the layer.

    Reference:
        Liu et al., "Towards robust neural networks via random self-ensemble", 2017.

    Example:

    >>> import keras
    >>> noisy = RandomNoise(0.1, seed=0)(keras.ops.zeros((2, 3)))
    >>> bool(keras.ops.any(noisy != 0))
    True
    """

    def __init__(self, stddev, *, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.stddev = checks.positive_float("stddev", stddev)
        self.supports_masking = True
        self.seed = checks.optional(checks.seed, "seed", seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)

    def call(self, inputs):
        # Whole numbers have no noise of their own type.
        inputs = ops.cast(inputs, self.compute_dtype)
        noise = keras.random.normal(
            ops.shape(inputs), stddev=self.stddev, dtype=inputs.dtype, seed=self.seed_generator
        )
        return inputs + noise

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "stddev": self.stddev, "seed": self.seed}


@checked
def random_self_ensemble(network, *, first_stddev=0.2, stddev=0.1):
    """Builds a copy of a network with noise before each convolution.

    Args:
        network: `keras.Sequential` with convolutions.
        first_stddev: Positive float, standard deviation before the first convolution.
        stddev: Positive float, standard deviation before the others.

    Returns:
        A `keras.Sequential` with new weights.

    Reference:
        Liu et al., 2017: noise 0.2 at the input and 0.1 inside; the baseline RSE of the
        OT-Classifier paper.

    Example:

    >>> from lipot.models import carlini_wagner, random_self_ensemble
    >>> [layer.stddev for layer in random_self_ensemble(carlini_wagner()).layers
    ...  if hasattr(layer, "stddev")]
    [0.2, 0.1, 0.1, 0.1]
    """
    checks.instance("network", network, keras.Sequential, "a keras.Sequential")
    layers, level = [], first_stddev
    for layer in network.layers:
        if _convolves(layer):
            layers.append(RandomNoise(level))
            level = stddev
        layers.append(type(layer).from_config(layer.get_config()))
    if not any(isinstance(layer, RandomNoise) for layer in layers):
        raise checks.refused(
            "network",
            "a keras.Sequential with convolutions, which noise is put before",
            f"'{network.name}' without any",
        )
    return keras.Sequential([keras.Input(network.input_shape[1:]), *layers])


def _convolves(layer):
    """Whether a layer is a convolution of Keras or lipot."""
    stock = keras.layers.Conv2D | keras.layers.SeparableConv2D | keras.layers.DepthwiseConv2D
    return isinstance(layer, stock) or isinstance(getattr(layer, "linear_map", None), ImageMap)


@keras.saving.register_keras_serializable(package="lipot")
class SelfEnsemble(ForgetsPrograms, ExportsUncalled, keras.Model):
    """Averages the predicted probabilities of several passes of one noisy network.

    Args:
        network: Keras model from inputs to logits that draws noise, such as a
            `random_self_ensemble`.
        members: Positive int, number of passes.
        **kwargs: Arguments of `keras.Model`.

    Input shape:
        That of `network`.

    Output shape:
        Logarithms of the average probabilities, `(batch, classes)`.

    Lipschitz bound:
        None is stated: two calls differ. `lipot.certify` refuses the model.

    Reference:
        Liu et al., "Towards robust neural networks via random self-ensemble", 2017.

    Example:

    >>> import keras
    >>> network = keras.Sequential([keras.Input((4,)), RandomNoise(0.5), keras.layers.Dense(3)])
    >>> SelfEnsemble(network, members=5)(keras.ops.ones((2, 4))).shape[-1]
    3
    """

    def __init__(self, network, members=10, **kwargs):
        super().__init__(**kwargs)
        self.network = checks.instance("network", network, keras.Model, "a Keras model")
        self.members = checks.positive_int("members", members)
        if network.built:
            self.build(network.input_shape)

    def build(self, input_shape):
        if not self.network.built:
            self.network.build(input_shape)
        self.built = True

    @property
    def input_shape(self):
        return self.network.input_shape

    def call(self, inputs):
        inputs = one_array(inputs)
        passes = [self.network(inputs, training=False) for _ in range(self.members)]
        log_probabilities = ops.log_softmax(ops.stack(passes), axis=-1)
        return ops.logsumexp(log_probabilities, axis=0) - ops.log(float(self.members))

    def compute_output_shape(self, input_shape):
        return self.network.compute_output_shape(input_shape)

    def get_config(self):
        network = keras.saving.serialize_keras_object(self.network)
        return {**super().get_config(), "network": network, "members": self.members}

    @classmethod
    def from_config(cls, config):
        return cls(**with_parts(config, ("network",)))
