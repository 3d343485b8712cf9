"""The steps of OT-Classifier, by hand on linear networks."""

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

from lipot.attacks import PGD
from lipot.models import OTClassifier, StandardNormal
from tests.models.linear_ot_classifier import linear, linear_model, step_of


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    return (x / 16).astype("float32").reshape(-1, 8, 8, 1)[:32], y[:32]


@pytest.mark.parametrize("weight", [0.5, 2.0])
def test_the_weight_weighs_as_the_gradient_says(digits, weight):
    """With SGD of rate one a step is minus the gradient, here of linear networks by hand."""
    x, y = digits[0][:32], digits[1][:32]
    (of_crossentropy, still), (encoder, critic) = step_of(
        x, y, keras.optimizers.SGD(1.0), weight=0.0
    )
    np.testing.assert_array_equal(still, 0.0)
    (of_both, of_critic), _ = step_of(x, y, keras.optimizers.SGD(1.0), weight=weight)
    flat = x.reshape(32, -1)
    # The encoder descends -weight * mean(code) . w, so it gains weight * mean(x) w^T.
    gain = weight * np.outer(flat.mean(axis=0), critic[:, 0])
    np.testing.assert_allclose(of_both - of_crossentropy, gain, rtol=1e-4, atol=1e-5)
    # The discriminator ascends weight * (mean(z) - mean(code)) . w in the same step.
    gap = 1.0 - (flat @ encoder).mean(axis=0)
    np.testing.assert_allclose(of_critic[:, 0], weight * gap, rtol=1e-4, atol=1e-5)


def test_the_weight_weighs_with_adam_too(digits):
    """The first step of Adam is the sign of the gradient of the sum."""
    x, y = digits[0][:32], digits[1][:32]
    steps = {}
    for weight in (0.0, 1e-6, 1e4):
        (steps[weight], _), (_, critic) = step_of(
            x, y, keras.optimizers.Adam(0.1, epsilon=1e-12), weight=weight
        )
    lit = x.reshape(32, -1).mean(axis=0) > 0.01
    np.testing.assert_allclose(steps[1e-6][lit], steps[0.0][lit], atol=1e-3)
    expected = np.broadcast_to(0.1 * np.sign(critic[:, 0]), (lit.sum(), 2))
    np.testing.assert_allclose(steps[1e4][lit], expected, atol=1e-3)
    assert np.abs(steps[0.0][lit] - expected).max() > 0.1


def test_the_discriminator_may_have_a_rate_of_its_own(digits):
    x, y = digits[0][:32], digits[1][:32]
    changes = {}
    for rate in (1.0, 0.25):
        model = linear_model(weight=0.5)
        model.compile(keras.optimizers.Adam(0.1), discriminator_rate=rate)
        before = model.get_weights()
        model.train_on_batch(x, y)
        changes[rate] = [new - old for new, old in zip(model.get_weights(), before)]
        # Compiling again from the configuration does not take the factor twice.
        model.compile_from_config(model.get_compile_config())
        assert model.get_compile_config()["discriminator_rate"] == rate
        assert isinstance(
            getattr(model.optimizer, "inner_optimizer", model.optimizer), keras.optimizers.Adam
        )
    for quick, slow, factor in zip(changes[1.0], changes[0.25], (1.0, 1.0, 0.25)):
        np.testing.assert_allclose(slow, factor * quick, rtol=1e-5, atol=1e-7)
        assert np.abs(quick).max() > 0.01


@pytest.mark.parametrize("share", [0.0, 0.25])
def test_the_loss_is_that_of_clean_and_attacked_batches(digits, share):
    x, y = digits[0][:32], digits[1][:32]
    attack = PGD(0.1, steps=2, random_start=False)
    model = linear_model(weight=0.0, attack=attack, clean_share=share)
    model.compile(keras.optimizers.SGD(0.1))
    crossentropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    x_adv = attack(lambda z: model(z), x, y)
    clean, attacked = (float(crossentropy(y, model(inputs))) for inputs in (x, x_adv))
    assert attacked > clean + 0.1
    shown = model.train_on_batch(x, y, return_dict=True)["loss"]
    assert shown == pytest.approx(share * clean + (1.0 - share) * attacked, rel=1e-4)


def test_the_attack_begins_after_its_delay(digits, tmp_path):
    x, y = digits[0][:32], digits[1][:32]

    def losses(delay, steps, model=None):
        attack = PGD(0.2, steps=1, random_start=False)
        prior = StandardNormal(2, seed=0)
        model = model or linear_model(prior, weight=0.0, attack=attack, attack_delay=delay)
        if not model.compiled:
            model.compile(keras.optimizers.SGD(0.0))
        return [model.train_on_batch(x, y, return_dict=True)["loss"] for _ in range(steps)], model

    (attacked,), _ = losses(0, 1)
    shown, model = losses(2, 2)
    assert shown[0] == shown[1] < attacked - 0.1
    # The count travels with the model.
    model.save(tmp_path / "model.keras")
    (later,), _ = losses(2, 1, keras.saving.load_model(tmp_path / "model.keras"))
    assert later == pytest.approx(attacked, rel=1e-4)


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="one optimizer on JAX")
def test_steps_are_those_of_algorithm_1(digits):
    """One step with SGD of rate one subtracts the gradients, computed here by Keras itself."""
    x, y = digits[0][:32], digits[1][:32]
    model = linear_model(weight=0.5)
    network, critic = model.encoder, model.discriminator
    still, *moving = (keras.optimizers.SGD(rate) for rate in (0.0, 1.0, 1.0))
    names = ("discriminator_optimizer", "encoder_optimizer")
    model.compile(still, **dict(zip(names, moving)), jit_compile=False)
    encoder_before, critic_before = network.get_weights()[0], critic.get_weights()[0]
    model.train_on_batch(x, y)
    flat = x.reshape(32, -1)
    # The discriminator ascends 0.5 (mean z - mean code) . w, a linear function of w.
    gap = 1.0 - (flat @ encoder_before).mean(axis=0)
    critic_after = critic_before + 0.5 * gap[:, None]
    np.testing.assert_allclose(critic.get_weights()[0], critic_after, rtol=1e-4, atol=1e-5)
    # Then the encoder ascends 0.5 mean(x) E w with the new w.
    expected = encoder_before + 0.5 * np.outer(flat.mean(axis=0), critic_after[:, 0])
    np.testing.assert_allclose(network.get_weights()[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="one optimizer on JAX")
@pytest.mark.parametrize("for_all", [True, False])
def test_an_optimizer_that_several_steps_are_given_is_one_for_each(digits, for_all):
    model, sgd = linear_model(weight=0.5), keras.optimizers.SGD(1.0, momentum=0.5)
    first = sgd if for_all else "sgd"
    model.compile(first, discriminator_optimizer=sgd, encoder_optimizer=sgd, run_eagerly=True)
    before = model.discriminator.get_weights()[0]
    model.train_on_batch(digits[0][:32], digits[1][:32])
    assert np.any(model.discriminator.get_weights()[0] != before)
    own = model.optimizer, model.discriminator_optimizer, model.encoder_optimizer
    assert [int(optimizer.iterations) for optimizer in own] == [1, 1, 1]
    assert own[1].momentum == own[2].momentum == 0.5


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="one optimizer on JAX")
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_metrics_of_alternating_steps_see_the_clean_rows(digits, share):
    x, y = digits[0][:32], digits[1][:32]
    model = linear_model(attack=PGD(0.1, steps=1), clean_share=share)
    metrics = [keras.metrics.SparseCategoricalAccuracy(name="compiled")]
    model.compile("sgd", encoder_optimizer="sgd", metrics=metrics, jit_compile=False)
    shown = model.train_on_batch(x, y, return_dict=True)
    assert shown["compiled"] == pytest.approx(shown["accuracy"])


def test_a_model_that_was_not_compiled_is_cloned_and_saved(tmp_path):
    small = linear((8, 8, 1), 2, "code"), linear((2,), 10, "logits"), linear((2,), 1, "score")
    model = OTClassifier(*small)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert not loaded.compiled and not keras.models.clone_model(model).compiled
