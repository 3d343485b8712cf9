"""Models that augment their data: certified where augmentation is off, refused where it is not."""

import keras
import numpy as np
import pytest

import lipot
from lipot.certificates.stock.augmentation import AUGMENTATIONS
from tests.helpers import to_numpy

ARGUMENTS = {
    "RandomColorJitter": ((0, 255), 0.5, 0.5, 0.5, 0.5),
    "RandomPosterization": (4,),
    "RandomTranslation": (0.3, 0.3),
    "RandomInvert": (1.0,),
    "RandomElasticTransform": (1.0,),
}
WITH_A_FACTOR = [
    "Brightness",
    "ColorDegeneration",
    "Contrast",
    "Hue",
    "Rotation",
    "Saturation",
    "Sharpness",
    "Zoom",
]
ARGUMENTS |= {f"Random{name}": (0.5,) for name in WITH_A_FACTOR}


def made(layer_class):
    return layer_class(*ARGUMENTS.get(layer_class.__name__, ()))


def images(rows=6, scale=1.0):
    return (scale * np.random.default_rng(0).uniform(size=(rows, 8, 8, 3))).astype("float32")


def model_of(*layers):
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            *layers,
            keras.layers.Flatten(),
            lipot.layers.SpectralDense(16, activation=lipot.layers.GroupSort2()),
            lipot.layers.FrobeniusDense(3),
        ]
    )


@pytest.mark.parametrize("layer_class", AUGMENTATIONS, ids=lambda c: c.__name__)
def test_every_layer_of_the_list_is_the_identity_at_inference(layer_class):
    for scale in (1.0, 255.0):
        x = images(scale=scale)
        np.testing.assert_array_equal(to_numpy(made(layer_class)(x, training=False)), x)


def test_a_model_with_augmentation_has_the_certificate_of_the_model_without():
    bare = model_of()
    augmented = model_of(
        keras.layers.RandomTranslation(0.3, 0.3),
        keras.layers.RandomFlip("horizontal"),
        keras.layers.Pipeline([keras.layers.RandomRotation(0.2), keras.layers.RandomContrast(0.5)]),
    )
    x, y = images(), np.arange(6) % 3
    # It does augment while training.
    assert np.abs(to_numpy(augmented(x, training=True)) - to_numpy(augmented(x))).max() > 1e-3
    for theirs, ours in zip(bare.layers[-2:], augmented.layers[-2:]):
        theirs.set_weights(ours.get_weights())
    ours, theirs = lipot.certify(augmented, x, y), lipot.certify(bare, x, y)
    assert lipot.lipschitz_constant(augmented) == pytest.approx(lipot.lipschitz_constant(bare))
    np.testing.assert_allclose(ours.radius, theirs.radius, rtol=1e-6)
    assert ours.radius.max() > 0.0
    np.testing.assert_array_equal(ours.predictions, augmented.predict(x, verbose=0).argmax(axis=1))


def test_training_mode_written_into_the_graph_is_off_at_inference():
    inputs = keras.Input((8, 8, 3))
    flipped = keras.layers.RandomFlip()(inputs, training=True)
    outputs = keras.layers.Dense(2)(keras.layers.Flatten()(flipped))
    model, x = keras.Model(inputs, outputs), images()
    first = model.predict(x, verbose=0)
    for _ in range(3):
        np.testing.assert_array_equal(model.predict(x, verbose=0), first)
    predictions = lipot.certify(model, x).predictions
    np.testing.assert_array_equal(predictions, first.argmax(axis=1))


class EverFlip(keras.layers.RandomFlip):
    """Flips at inference too; its `call` is that of Keras."""

    def transform_images(self, images, transformation, training=True):
        return super().transform_images(images, transformation, training=True)


class Jitter(keras.layers.Layer):
    """An augmentation of a user, off at inference."""

    def call(self, inputs, training=False):
        return inputs + keras.random.normal(keras.ops.shape(inputs)) if training else inputs


class Doubled(Jitter):
    """One that is not."""

    def call(self, inputs, training=False):
        return 2.0 * inputs


@pytest.mark.parametrize(
    "layer, word",
    [
        (keras.layers.RandomCrop(6, 6), "crops or resizes at inference too"),
        (keras.layers.RandomCrop(8, 8), "crops or resizes at inference too"),
        (keras.layers.AutoContrast(), "at inference too"),
        (EverFlip(), "EverFlip.*a subclass may change"),
        (keras.layers.Resizing(4, 4), "No Lipschitz bound is known.*Resizing"),
        (keras.layers.Pipeline([keras.layers.RandomCrop(8, 8)]), "RandomCrop"),
        (keras.layers.Pipeline([keras.layers.Rescaling(2.0)]), "Rescaling"),
    ],
)
def test_what_acts_at_inference_is_refused(layer, word):
    model = model_of(layer)
    with pytest.raises(ValueError, match=word):
        lipot.lipschitz_constant(model)
    with pytest.raises(ValueError, match=word):
        lipot.certify(model, images())


def test_a_layer_of_ones_own_registers_with_the_check():
    model = model_of(Jitter())
    with pytest.raises(ValueError, match="No Lipschitz bound is known.*Jitter"):
        lipot.lipschitz_constant(model)

    @lipot.certificates.register_bound(Jitter, Doubled)
    def off(layer, input_shape):
        lipot.certificates.check_identity_at_inference(layer, input_shape)
        return 1.0

    assert lipot.lipschitz_constant(model) < 1.8
    with pytest.raises(ValueError, match="Doubled cannot be certified: it changes its inputs"):
        lipot.lipschitz_constant(model_of(Doubled()))


def test_a_model_with_augmentation_exports():
    model, x = model_of(keras.layers.RandomTranslation(0.3, 0.3)), images()
    plain = lipot.to_keras(model)
    np.testing.assert_allclose(plain.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-6)
