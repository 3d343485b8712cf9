"""Bad input of the ART bridge: an error that names the argument."""

import keras
import numpy as np
import pytest

from lipot.interop.art import classifier
from tests.interop.test_art_gradients import smooth_model


class Squashed(keras.Model):
    """A model whose softmax hides in its own `call`."""

    def __init__(self, units, squash):
        super().__init__()
        self.dense = keras.layers.Dense(units)
        self.squash = squash

    def call(self, inputs):
        return self.squash(self.dense(inputs))


def build(model):
    model(np.zeros((1, 6), "float32"))
    return model


@pytest.mark.parametrize(("units", "squash"), [(3, keras.ops.softmax), (1, keras.ops.sigmoid)])
def test_hidden_probabilities_are_refused(units, squash):
    model = build(Squashed(units, squash))
    with pytest.raises(ValueError, match="`model`.*seems to return probabilities"):
        classifier(model, input_shape=(6,))
    assert classifier(model, input_shape=(6,), outputs="probabilities").nb_classes == max(units, 2)
    assert classifier(model, input_shape=(6,), outputs="logits").nb_classes == max(units, 2)


def test_the_model_must_be_a_built_classifier():
    with pytest.raises(ValueError, match="`model`.*Expected a Keras model"):
        classifier(lambda x: x)
    with pytest.raises(ValueError, match="`model`.*Expected a built model"):
        classifier(keras.Sequential([keras.layers.Dense(3)]))
    image = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Conv2D(2, 3)])
    with pytest.raises(ValueError, match=r"`model`.*\(batch, 2, 2, 2\)"):
        classifier(image)
    inputs = keras.Input((4,))
    two = keras.Model(inputs, [keras.layers.Dense(2)(inputs), keras.layers.Dense(2)(inputs)])
    with pytest.raises(ValueError, match="`model`.*one output.*2 outputs"):
        classifier(two)


def test_the_input_shape_must_be_known():
    with pytest.raises(ValueError, match="`input_shape`.*positive integers"):
        classifier(build(Squashed(3, keras.ops.relu)))


@pytest.mark.parametrize("clip_values", [(1.0, 0.0), (0.0, np.nan), (0.0, 0.0)])
def test_clip_values_are_ordered_and_finite(clip_values):
    with pytest.raises(ValueError, match="`clip_values`"):
        classifier(smooth_model(3), clip_values=clip_values)


@pytest.mark.parametrize("preprocessing", [0.5, (0.0, 0.0), (np.nan, 1.0), (np.zeros(5), 1.0)])
def test_preprocessing_is_a_pair_that_fits(preprocessing):
    with pytest.raises(ValueError, match="`preprocessing`"):
        classifier(smooth_model(3), preprocessing=preprocessing)


def test_names_are_checked():
    with pytest.raises(ValueError, match="`outputs`.*Received: outputs='softmax'"):
        classifier(smooth_model(3), outputs="softmax")
    with pytest.raises(ValueError, match="`loss`.*Received: loss='hinge'"):
        classifier(smooth_model(3), loss="hinge")
    with pytest.raises(ValueError, match="`loss`.*third largest"):
        classifier(smooth_model(2), loss="difference_logits_ratio")


def test_a_loss_must_keep_the_samples_apart():
    class Total(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return keras.ops.sum(y_pred)

    with pytest.raises(ValueError, match="`loss`.*one value for each sample"):
        classifier(smooth_model(3), loss=Total()).compute_loss(np.ones((2, 6)), [0, 1])


def test_data_are_checked():
    estimator = classifier(smooth_model(3))
    x = np.ones((2, 6), "float32")
    with pytest.raises(ValueError, match="`x`.*Expected shape"):
        estimator.predict(np.ones((2, 5), "float32"))
    with pytest.raises(ValueError, match="`x`.*finite"):
        estimator.predict(np.where(np.arange(6) == 2, np.nan, x))
    with pytest.raises(ValueError, match="`y`.*0 to 2"):
        estimator.loss_gradient(x, [0, 3])
    with pytest.raises(ValueError, match="`y`"):
        estimator.compute_loss(x, [0.5, 1.0])
    with pytest.raises(ValueError, match="`label`.*0 to 2"):
        estimator.class_gradient(x, label=-1)
    with pytest.raises(ValueError, match="`label`.*each of the 2 samples"):
        estimator.class_gradient(x, label=[0, 1, 2])


def test_a_model_with_nan_weights_is_named():
    model = smooth_model(3, name="broken")
    estimator = classifier(model)
    model.layers[-1].bias.assign(np.full(3, np.nan, "float32"))
    with pytest.raises(ValueError, match="'broken' returns NaN"):
        estimator.predict(np.ones((2, 6), "float32"))


def test_training_and_saving_belong_to_the_model():
    estimator = classifier(smooth_model(3))
    with pytest.raises(TypeError, match="`fit` of the Keras model"):
        estimator.fit(np.ones((2, 6)), np.array([0, 1]))
    with pytest.raises(TypeError, match="own `save`"):
        estimator.save("anywhere")
