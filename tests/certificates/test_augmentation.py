"""Models that augment their data: refused, and certified as `to_keras` leaves them."""

import keras
import numpy as np
import pytest

import lipot
from lipot.interop import without_augmentation
from lipot.layers.augmentations import AUGMENTATIONS
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


def augmentations():
    return [
        keras.layers.RandomTranslation(0.3, 0.3),
        keras.layers.RandomFlip("horizontal"),
        keras.layers.Pipeline([keras.layers.RandomRotation(0.2), keras.layers.RandomContrast(0.5)]),
    ]


def check_same_everywhere(model, x, path):
    """What a model says in `model(x)`, in `predict` and exported: one thing, returned."""
    called, predicted = to_numpy(model(x)), model.predict(x, verbose=0)
    np.testing.assert_allclose(called, predicted, atol=1e-6)
    if keras.backend.backend() == "tensorflow":
        model.export(path, verbose=False)
        served = keras.layers.TFSMLayer(str(path), call_endpoint="serve")
        np.testing.assert_allclose(to_numpy(served(x)), predicted, atol=1e-6)
    return predicted


@pytest.mark.parametrize("nested", [False, True])
def test_a_model_with_augmentation_is_certified_without_it(nested, tmp_path):
    bare = model_of()
    layers = [keras.Sequential(augmentations())] if nested else augmentations()
    augmented = model_of(*layers)
    x, y = images(), np.arange(6) % 3
    for theirs, ours in zip(bare.layers[-2:], augmented.layers[-2:]):
        theirs.set_weights(ours.get_weights())
    # It augments where nobody says that it should not.
    assert np.abs(to_numpy(augmented(x)) - augmented.predict(x, verbose=0)).max() > 1e-3
    for prove in (lipot.lipschitz_constant, lambda model: lipot.certify(model, x, y)):
        with pytest.raises(
            ValueError, match=r"Random.*in `model\(x\)`.*without_augmentation\(model\)"
        ):
            prove(augmented)
    served = without_augmentation(augmented)
    ours, theirs = lipot.certify(served, x, y), lipot.certify(bare, x, y)
    assert lipot.lipschitz_constant(served) == pytest.approx(lipot.lipschitz_constant(bare))
    np.testing.assert_allclose(ours.radius, theirs.radius, rtol=1e-6)
    assert ours.radius.max() > 0.0
    for name, model in {"served": served, "plain": lipot.to_keras(augmented)}.items():
        outputs = check_same_everywhere(model, x, tmp_path / name)
        np.testing.assert_allclose(outputs, augmented.predict(x, verbose=0), atol=1e-6)
        np.testing.assert_array_equal(ours.predictions, outputs.argmax(axis=1))


def test_the_model_without_augmentation_shares_its_weights():
    augmented = model_of(*augmentations())
    served = without_augmentation(augmented)
    augmented.layers[-1].bias.assign([1.0, 2.0, 3.0])
    np.testing.assert_allclose(
        to_numpy(served(images())), augmented.predict(images(), verbose=0), atol=1e-6
    )
    for wrong in (keras.Sequential([keras.layers.Dense(2)]), keras.layers.Dense(2)):
        with pytest.raises(ValueError, match="argument `model`.*Expected a (built|Keras) model"):
            without_augmentation(wrong)


@pytest.mark.parametrize("layer_class", AUGMENTATIONS, ids=lambda c: c.__name__)
def test_every_augmentation_is_refused_and_left_out(layer_class):
    inputs = keras.Input((8, 8, 3))
    moved = made(layer_class)(inputs)
    if isinstance(moved, dict):
        pytest.skip("It takes images with labels.")
    if moved is inputs:
        pytest.skip("It returns its input as it is when a graph is built, and is not part of it.")
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(moved)))
    with pytest.raises(
        ValueError, match=f"{layer_class.__name__} cannot be certified.*without_augmentation"
    ):
        lipot.lipschitz_constant(model)
    x = images()
    expected = model.predict(x, verbose=0)
    for served in (without_augmentation(model), lipot.to_keras(model)):
        assert layer_class not in {type(operation) for operation in served.operations}
        outputs = to_numpy(served(x))
        np.testing.assert_allclose(outputs, expected, atol=1e-6)
        np.testing.assert_array_equal(lipot.certify(served, x).predictions, outputs.argmax(axis=1))


def test_a_model_of_augmentation_alone_is_left_with_nothing():
    model = keras.Sequential([keras.Input((8, 8, 3)), *augmentations()])
    for left in (without_augmentation(model), lipot.to_keras(model)):
        np.testing.assert_array_equal(to_numpy(left(images())), images())
        assert not left.weights


@pytest.mark.parametrize(
    "layer",
    [keras.layers.RandomFlip(), keras.layers.Dropout(0.5), keras.layers.BatchNormalization()],
    ids=lambda layer: type(layer).__name__,
)
@pytest.mark.parametrize("training", [True, 1])
def test_training_mode_written_into_the_graph_is_refused(layer, training, tmp_path):
    inputs = keras.Input((8, 8, 3))
    outputs = keras.layers.Dense(2)(keras.layers.Flatten()(layer(inputs, training=training)))
    model, x = keras.Model(inputs, outputs), images()
    for prove in (lipot.lipschitz_constant, lambda model: lipot.certify(model, x)):
        with pytest.raises(ValueError, match="leave the argument out|default training=True"):
            prove(model)
    for name, left in {
        "served": without_augmentation(model),
        "plain": lipot.to_keras(model),
    }.items():
        outputs = check_same_everywhere(left, x, tmp_path / name)
        np.testing.assert_allclose(outputs, model.predict(x, verbose=0), atol=1e-6)
        np.testing.assert_array_equal(lipot.certify(left, x).predictions, outputs.argmax(axis=1))


def test_training_mode_that_is_off_in_the_graph_is_certified():
    inputs = keras.Input((8, 8, 3))
    for training in (False, None):
        dropped = keras.layers.Dropout(0.5)(inputs, training=training)
        model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(dropped)))
        assert lipot.lipschitz_constant(model) > 0.0


def test_an_inner_model_called_to_train_is_refused():
    inner = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Dropout(0.5)])
    inputs = keras.Input((8, 8, 3))
    with pytest.raises(ValueError, match="training=True"):
        lipot.lipschitz_constant(keras.Model(inputs, inner(inputs, training=True)))


def test_augmentation_inside_a_branch_or_an_activation_is_refused():
    branch = lipot.layers.TransportResidual([keras.layers.RandomFlip()])
    dense = keras.layers.Dense(3, activation=keras.layers.RandomFlip())
    for layer in (branch, dense):
        with pytest.raises(ValueError, match="cannot be certified"):
            lipot.lipschitz_constant(model_of(layer))


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
        (EverFlip(), "EverFlip.*it overrides `transform_images`"),
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


class Eager(keras.layers.Layer):
    """An augmentation of a user that acts where nobody says otherwise."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seed = keras.random.SeedGenerator(0)

    def call(self, inputs, training=True):
        if not training:
            return inputs
        return inputs + keras.random.normal(keras.ops.shape(inputs), seed=self.seed)


class Around(keras.layers.Layer):
    """A layer around one."""

    def __init__(self):
        super().__init__()
        self.inner = Eager()

    def call(self, inputs):
        return self.inner(inputs)


@pytest.mark.parametrize("layer_class", [Eager, Around])
def test_a_layer_of_ones_own_that_trains_by_default_is_refused(layer_class, tmp_path):
    model, x = model_of(layer_class()), images()
    assert np.abs(to_numpy(model(x)) - model.predict(x, verbose=0)).max() > 1e-3

    @lipot.certificates.register_bound(layer_class)
    def off(layer, input_shape):
        lipot.certificates.check_identity_at_inference(layer, input_shape)
        return 1.0

    if layer_class is Around:
        lipot.certificates.register_bound(layer_class)(lambda layer, input_shape: 1.0)
    with pytest.raises(ValueError, match="Eager cannot be certified.*default training=True"):
        lipot.lipschitz_constant(model)
    outputs = check_same_everywhere(lipot.to_keras(model), x, tmp_path / "plain")
    np.testing.assert_allclose(outputs, model.predict(x, verbose=0), atol=1e-6)
    if layer_class is Eager:
        # The graph says that it is off, to everyone.
        inputs = keras.Input((8, 8, 3))
        off = keras.Model(inputs, keras.layers.Flatten()(model.layers[0](inputs, training=False)))
        np.testing.assert_array_equal(to_numpy(off(x)), x.reshape(6, -1))
        assert lipot.lipschitz_constant(off) == pytest.approx(1.0)


def test_only_what_is_off_at_inference_is_left_out():
    for layer in (EverFlip(), keras.layers.Pipeline([keras.layers.RandomCrop(8, 8)])):
        model, x = model_of(layer), images()
        for left_out in (without_augmentation, lipot.to_keras):
            with pytest.raises(ValueError, match="certif|bound|cannot be written"):
                lipot.certify(left_out(model), x)
