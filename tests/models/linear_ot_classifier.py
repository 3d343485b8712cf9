"""An OT-Classifier of one matrix for each network, whose steps are known by hand."""

import keras

from lipot.models import OTClassifier


class OnesPrior:
    """Codes of the prior that are known."""

    def __init__(self, size):
        self.size = size

    def sample(self, count):
        return keras.ops.ones((count, self.size))


def linear(inputs, units, name):
    layers = [keras.Input(inputs), keras.layers.Flatten()]
    layers.append(keras.layers.Dense(units, use_bias=False, name=name))
    return keras.Sequential(layers)


def linear_model(prior=None, **kwargs):
    """Encoder, classifier and critic of one matrix each, the same every time."""
    keras.utils.set_random_seed(3)
    prior = prior or OnesPrior(2)
    parts = linear((8, 8, 1), 2, "code"), linear((2,), 10, "logits"), linear((2,), 1, "score")
    return OTClassifier(*parts, prior=prior, **kwargs)


def step_of(x, y, optimizer, **kwargs):
    """What one step adds to the encoder, and to the critic; and both before."""
    model = linear_model(**kwargs)
    # One operation after the other: in a graph TensorFlow may change a kernel while it is read.
    model.compile(optimizer, run_eagerly=True)
    before = [network.get_weights()[0] for network in (model.encoder, model.discriminator)]
    model.train_on_batch(x, y)
    after = [network.get_weights()[0] for network in (model.encoder, model.discriminator)]
    return [new - old for new, old in zip(after, before)], before
