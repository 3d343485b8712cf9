"""A small digit classifier, as ART sees it through lipot and through its own estimator."""

import keras
import numpy as np
import pytest
import sklearn.datasets
from art.estimators.classification import TensorFlowV2Classifier

from lipot.interop.art import classifier


@pytest.fixture(scope="session")
def digits():
    images, labels = sklearn.datasets.load_digits(return_X_y=True)
    return (images.reshape(-1, 8, 8, 1) / 16.0).astype("float32"), labels


@pytest.fixture(scope="session")
def cnn(digits):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(8, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(10),
        ]
    )
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(*digits, batch_size=64, epochs=8, verbose=0)
    return model


@pytest.fixture(scope="session")
def estimator(cnn):
    return classifier(cnn, clip_values=(0.0, 1.0))


@pytest.fixture(scope="session")
def reference(cnn):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("ART's own estimator of Keras models needs TensorFlow.")
    return TensorFlowV2Classifier(
        cnn,
        nb_classes=10,
        input_shape=(8, 8, 1),
        loss_object=keras.losses.CategoricalCrossentropy(from_logits=True),
        clip_values=(0.0, 1.0),
    )


@pytest.fixture(scope="session")
def batch(digits):
    return digits[0][:40], np.eye(10, dtype="float32")[digits[1][:40]]
