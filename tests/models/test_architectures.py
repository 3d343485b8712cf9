import inspect

import keras
import numpy as np
import pytest

import lipot
from lipot import models, purifiers, recipes
from lipot.recipes.certified_choices import convolution
from tests.helpers import to_numpy

NETWORKS = {
    "carlini_wagner": lambda layers: models.carlini_wagner((16, 16, 1), layers=layers),
    "resnet18": lambda layers: models.resnet18((8, 8, 3), layers=layers),
    "preact_resnet18": lambda layers: models.preact_resnet18((8, 8, 3), layers=layers),
    "wide_resnet": lambda layers: models.wide_resnet(10, 1, (8, 8, 3), layers=layers),
    "encoder": lambda layers: models.embedding_encoder((8, 8, 1), 4, 8, layers=layers),
    "discriminator": lambda layers: models.embedding_discriminator(4, layers=layers),
}


@pytest.mark.parametrize(
    ("create", "weights"),
    [
        # Published sizes: 11.17 million for both ResNets, 46.16 and 36.48 for the wide ones.
        (models.resnet18, 11.17),
        (models.preact_resnet18, 11.17),
        (lambda: models.wide_resnet(28), 36.48),
        pytest.param(models.wide_resnet, 46.16, marks=pytest.mark.slow),
    ],
    ids=["resnet18", "preact_resnet18", "wrn-28-10", "wrn-34-10"],
)
def test_number_of_weights_is_the_published_one(create, weights):
    count = sum(int(np.prod(weight.shape)) for weight in create().trainable_weights)
    assert count / 1e6 == pytest.approx(weights, abs=0.02)


def test_carlini_wagner_has_the_published_layers():
    kinds = [type(layer).__name__ for layer in models.carlini_wagner().layers]
    assert kinds.count("Conv2D") == 4 and kinds.count("Dense") == 3
    shapes = [weight.shape for weight in models.carlini_wagner().weights if len(weight.shape) > 1]
    assert shapes[0] == (3, 3, 1, 32) and shapes[-1] == (200, 10)


@pytest.mark.parametrize("name", ["carlini_wagner", "encoder", "discriminator"])
def test_twin_is_lipschitz_where_the_plain_one_is_not(name):
    plain, twin = NETWORKS[name](None), NETWORKS[name](lipot)
    assert plain.output_shape == twin.output_shape
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(16, *twin.input_shape[1:])).astype("float32")
    near = x + 1e-2 * rng.normal(size=x.shape).astype("float32")
    moved = twin.predict(near, verbose=0) - twin.predict(x, verbose=0)
    shift = np.linalg.norm((near - x).reshape(16, -1), axis=1)
    # Each output is 1-Lipschitz on its own: the head's neurons are disjoint.
    assert np.all(np.abs(moved).max(axis=-1) <= shift * (1 + 1e-3))


@pytest.mark.parametrize("name", ["carlini_wagner", "preact_resnet18"])
def test_networks_save_and_load(name, tmp_path):
    network = NETWORKS[name](None)
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras", safe_mode=True)
    x = np.random.default_rng(0).uniform(size=(2, *network.input_shape[1:])).astype("float32")
    np.testing.assert_allclose(
        loaded.predict(x, verbose=0), network.predict(x, verbose=0), atol=1e-5
    )


def test_layers_may_be_given_as_a_module():
    for plain in (None, keras, keras.layers):
        assert isinstance(
            models.carlini_wagner((16, 16, 1), layers=plain).layers[0], keras.layers.Conv2D
        )
    for module in (lipot, lipot.layers):
        twin = models.carlini_wagner((16, 16, 1), layers=module)
        assert isinstance(twin.layers[0], lipot.layers.SpectralConv2D)


def test_weights_of_a_clipped_discriminator_stay_clipped():
    network = models.embedding_discriminator(4, clip=0.01)
    network.compile(keras.optimizers.SGD(10.0), "mse")
    network.fit(np.ones((8, 4)), np.ones(8), verbose=0)
    assert max(np.abs(weight).max() for weight in network.get_weights()) <= 0.01


@pytest.mark.parametrize(
    ("create", "name"),
    [
        (lambda: models.wide_resnet(30), "depth"),
        (lambda: models.carlini_wagner(layers=np), "layers"),
    ],
)
def test_bad_arguments_are_named(create, name):
    with pytest.raises(ValueError, match=f"argument `{name}`"):
        create()


# Whatever else a function of these rooms is, those that return a network are here.
BUILDERS = {
    name: function
    for room in (models, purifiers, recipes)
    for name, function in vars(room).items()
    if hasattr(function, "__wrapped__") and not name.startswith("train_")
}


def test_every_function_that_builds_a_network_checks_its_arguments():
    building = {
        name
        for room in (models, purifiers, recipes)
        for name, function in vars(room).items()
        if inspect.isfunction(function) and (function.__doc__ or "").startswith("Builds ")
    }
    assert building == set(BUILDERS) and len(building) > 20


@pytest.mark.parametrize("name", BUILDERS)
def test_an_argument_of_a_network_is_refused_by_its_own_name(name):
    needed = {"dimension": 4, "input_shape": (8, 8, 1), "units": 3, "network": None}
    parameters = inspect.signature(BUILDERS[name]).parameters
    needed = {n: needed[n] for n, p in parameters.items() if p.default is p.empty}
    for argument in parameters:
        for wrong in (object(), "a", float("nan")):
            with pytest.raises(ValueError) as error:
                BUILDERS[name](**{**needed, argument: wrong})
            assert f"argument `{argument}`" in str(error.value)


def test_sizes_of_numpy_will_do():
    labels = np.array([0, 1, 2])
    network = models.carlini_wagner(np.array([16, 16, 1]), classes=labels.max() + 1)
    assert network.output_shape == (None, 3)
    assert recipes.hkr_network((np.int64(4),), labels.max() + 1).output_shape == (None, 3)


@pytest.fixture
def channels_first():
    keras.config.set_image_data_format("channels_first")
    yield
    keras.config.set_image_data_format("channels_last")


def test_networks_of_images_are_refused_where_channels_come_first(channels_first):
    refused = 0
    for builder in [*BUILDERS.values(), convolution]:
        parameters = inspect.signature(builder).parameters
        if "input_shape" in parameters or "image_shape" in parameters:
            needed = {"input_shape": (1, 8, 8), "units": 3}
            needed = {n: needed[n] for n, p in parameters.items() if p.default is p.empty}
            with pytest.raises(ValueError, match="_shape`.*image_data_format.*'channels_first'"):
                builder(**needed)
            refused += 1
    assert refused > 15
    assert recipes.plain_classifier((5,), 3).output_shape == (None, 3)


def test_a_sparse_transform_has_channels_last_whatever_keras_takes_them_for(channels_first):
    x = np.random.default_rng(0).uniform(size=(2, 4, 4, 2)).astype("float32")
    purifier = purifiers.SparseTransform(size=2, strides=1, iterations=3)
    found = to_numpy(purifier(x))
    keras.config.set_image_data_format("channels_last")
    np.testing.assert_allclose(found, to_numpy(purifier(x)), atol=1e-6)
