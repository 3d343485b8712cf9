"""What holds for every purifier: the stock fit, the file, the composition, the randomness."""

import inspect

import keras
import numpy as np
import pytest

import lipot
from lipot import purifiers
from lipot.evaluation.run.randomness import is_random
from lipot.models import Purified
from tests.purifiers import purifier_cases
from tests.purifiers.purifier_cases import RANDOM, TRAINED


@pytest.fixture(scope="module")
def digits():
    return lipot.datasets.load("digits")


@pytest.mark.parametrize("name", sorted(TRAINED))
def test_fit_lowers_its_loss_and_the_file_keeps_all(name, digits, tmp_path):
    keras.utils.set_random_seed(0)
    purifier = TRAINED[name]()
    purifier.compile(keras.optimizers.Adam(3e-3))
    x, few = digits.x_train[:512], digits.x_test[:6]
    history = purifier.fit(x, batch_size=64, epochs=3, verbose=0).history
    assert np.all(np.isfinite(history["loss"]))
    if name != "DefenseGAN":
        # That one is a game: its loss goes to no end.
        assert history["loss"][-1] < history["loss"][0]

    model = Purified(purifier, purifier_cases.classifier())
    model.save(tmp_path / "purified.keras")
    loaded = keras.saving.load_model(tmp_path / "purified.keras", safe_mode=True)
    # Random states are in the file: both draw the same.
    expected = model.purifier.predict(few, verbose=0)
    assert expected.shape == few.shape
    assert np.allclose(loaded.purifier.predict(few, verbose=0), expected, atol=1e-4)
    assert is_random(purifier_scores(purifier), few, 8) == (name in RANDOM)


@pytest.mark.parametrize("name", sorted(TRAINED))
def test_networks_may_end_in_another_type_than_the_purifier_computes_in(name, digits):
    # As where those of a training in half precision end in float32.
    single = TRAINED[name]()
    half = type(single).from_config({**single.get_config(), "dtype": "mixed_float16"})
    if name == "APEGAN":
        half.train_against(purifier_cases.classifier())
    x = keras.ops.cast(digits.x_test[:2], "float16")
    purified = half(x)
    assert keras.backend.standardize_dtype(purified.dtype) == "float16"
    for values in (purified, half.purification_losses(x, None, training=True)):
        assert np.isfinite(keras.ops.convert_to_numpy(values)).all()


def purifier_scores(purifier):
    """The purifier as a model whose outputs have two dimensions."""
    return Purified(purifier, keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()]))


@pytest.mark.parametrize("name", sorted(TRAINED))
def test_fit_refuses_images_outside_of_their_range(name, digits):
    purifier = TRAINED[name]()
    purifier.compile("sgd")
    x = digits.x_train[:8]
    streamed = ((batch, None) for batch in (255.0 * x, x))
    for wrong in (
        255.0 * x,
        x - 0.5,
        np.full_like(x, np.nan),
        (255.0 * x).astype("uint8"),
        streamed,
    ):
        with pytest.raises(ValueError, match=r"`x`. Expected images in \[0, 1\]. Received: values"):
            purifier.fit(wrong, steps_per_epoch=1, verbose=0)
    with pytest.raises(ValueError, match=r"`x`. Expected images in \[0, 1\]") as caught:
        purifier.fit(x, validation_data=(255.0 * x, None), verbose=0)
    assert caught.value.__notes__ == ["It was found in `validation_data`."]


def test_the_loss_is_the_mean_with_sample_weights(digits):
    purifier = TRAINED["SparseTransform"]()
    purifier.compile("sgd")
    x, weights = digits.x_train[:8], np.arange(8.0)
    found = purifier.test_on_batch(x, sample_weight=weights)
    losses = purifier.purification_losses(keras.ops.convert_to_tensor(x), None, False)
    values = keras.ops.convert_to_numpy(losses)
    assert np.isclose(found, np.sum(values * weights) / 8.0, rtol=1e-4)


def test_every_purifier_has_a_case():
    found = {
        name
        for name, value in vars(purifiers).items()
        if inspect.isclass(value) and issubclass(value, purifiers.Purifier)
    }
    assert found - {"Purifier"} == set(TRAINED)


@pytest.mark.parametrize(
    "network, arguments",
    [
        (purifiers.code_generator, {"image_shape": (30, 28, 1)}),
        (purifiers.denoising_unet, {"filters": 12}),
        (purifiers.image_autoencoder, {"image_shape": (28, 28)}),
        (purifiers.wasserstein_critic, {"image_shape": (28, 27, 1)}),
        (purifiers.image_discriminator, {"image_shape": (2, 2, 1)}),
    ],
)
def test_networks_of_wrong_sizes_are_refused(network, arguments):
    (name,) = arguments
    with pytest.raises(ValueError, match=f"argument `{name}`"):
        network(**arguments)


def test_networks_that_do_not_fit_are_refused():
    generator = purifiers.code_generator((8, 8, 1), code_size=2, filters=4)
    critic = purifiers.wasserstein_critic((12, 12, 1), filters=4)
    with pytest.raises(ValueError, match="argument `critic`"):
        purifiers.DefenseGAN(generator, critic)
    with pytest.raises(ValueError, match="argument `generator`"):
        purifiers.APEGAN(generator, critic, lipot.attacks.FGSM(0.1))
    with pytest.raises(ValueError, match="argument `steps`"):
        purifiers.DiffusionPurifier(generator, steps=10)
    with pytest.raises(ValueError, match="argument `strides`"):
        purifiers.SparseTransform(size=3, strides=4)
    with pytest.raises(ValueError, match="strides=2 divides"):
        purifiers.SparseTransform(size=3, strides=2).build((None, 7, 7, 1))
    with pytest.raises(ValueError, match="argument `atoms`"):
        purifiers.SparseTransform(atoms=10, size=3).build((None, 8, 8, 1))
