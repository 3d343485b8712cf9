"""Training of an OT-Classifier."""

import keras

import lipot.layers
from lipot import models
from lipot.recipes.arguments import checked
from lipot.recipes.fitting import Fitting
from lipot.recipes.networks import dense_encoder


@checked
def train_ot_classifier(
    data,
    *,
    epochs,
    batch_size=64,
    code_size=8,
    weight=0.01,
    learning_rate=1e-3,
    callbacks=(),
    verbose=0,
):
    """Trains encoder and classifier, while a 1-Lipschitz critic keeps codes near a normal prior.

    Args:
        data: A `lipot.datasets.Dataset` with classes.
        epochs: Positive int, passes over the training points.
        batch_size: Positive int, points in one step.
        code_size: Positive int, numbers in a code.
        weight: Non-negative float, factor of the Wasserstein distance of the codes from the prior.
        learning_rate: Positive float, that of Adam, from the first step to the last.
        callbacks: Keras callbacks.
        verbose: As in `keras.Model.fit`.

    Returns:
        Encoder and classifier as one trained model of stock layers; its outputs are logits.

    Raises:
        ValueError: `data` is a regression.

    Reference:
        OT-Classifier, equation 2 and algorithm 1.
    """
    shape = data.x_train.shape[1:]
    if len(shape) == 3:
        encoder = models.embedding_encoder(shape, code_size, filters=16)
    else:
        encoder = dense_encoder(shape[0], code_size)
    model = models.OTClassifier(
        encoder,
        models.embedding_classifier(code_size, len(data.classes), units=128),
        models.embedding_discriminator(code_size, units=64, layers=lipot),
        weight=weight,
    )
    # With momentum the two sides of a min-max run in circles.
    model.compile(keras.optimizers.Adam(learning_rate, beta_1=0.5))
    Fitting(data, epochs, batch_size, callbacks, verbose).fit(model, data.y_train)
    return model.inference_model()
