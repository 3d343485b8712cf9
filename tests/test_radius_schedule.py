"""The radius of a training attack follows its schedule, in compiled steps too."""

import keras
import numpy as np
import pytest

import lipot
from lipot import attacks, losses
from lipot.callbacks import Backup, RadiusSchedule

EPS = 0.2
X, Y = np.array([[0.6, 0.6]], "float32"), np.array([0])


def identity():
    """A classifier whose logits are its two inputs."""
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, use_bias=False)])
    network.layers[0].set_weights([np.eye(2)])
    return network


def robust():
    attack = attacks.PGD(EPS, random_start=False)
    model = lipot.AdversarialModel(identity(), attack, [losses.AdversarialCrossentropy()])
    model.compile(keras.optimizers.SGD(0.0))
    return model


@pytest.mark.parametrize("make", [attacks.PGD, attacks.FGSM])
def test_radius_and_step_shrink_together(make):
    attack = make(EPS, random_start=False)
    found = {}
    for share in (1.0, 0.25):
        attack.share = share
        found[share] = np.asarray(attack(keras.layers.Identity(), X, Y)) - X
    np.testing.assert_allclose(found[1.0], [[-EPS, EPS]], atol=1e-6)
    np.testing.assert_allclose(found[0.25], [[-EPS / 4, EPS / 4]], atol=1e-6)
    short = attacks.PGD(EPS, step_size=0.04, steps=2, random_start=False)
    short.share = 0.5
    moved = np.asarray(short(keras.layers.Identity(), X, Y)) - X
    np.testing.assert_allclose(moved, [[-0.04, 0.04]], atol=1e-6)


@pytest.mark.parametrize("norm", [2, "inf"])
def test_random_starts_stay_in_the_smaller_ball(norm):
    x = np.full((200, 3), 0.5, "float32")
    attack = attacks.PGD(EPS, norm=norm, seed=0)
    attack.share = 0.25
    shift = np.asarray(attack.random_point(keras.ops.convert_to_tensor(x))) - x
    sizes = np.linalg.norm(shift, ord=np.inf if norm == "inf" else 2, axis=1)
    assert 0.8 * EPS / 4 < sizes.max() <= EPS / 4 + 1e-6


def test_compiled_steps_see_the_radius_grow():
    history = robust().fit(X, Y, epochs=4, verbose=0, callbacks=[RadiusSchedule([0.25, 1], [0, 2])])
    shares = np.array([0.25, 0.625, 1.0, 1.0])
    # Both logits move by the radius: log(1 + exp(2 eps)) at equal logits.
    np.testing.assert_allclose(history.history["loss"], np.log1p(np.exp(2 * EPS * shares)), 1e-5)


def test_a_warm_up_goes_on_after_a_backup(tmp_path):
    for epochs in (1, 3):
        schedule = RadiusSchedule([0.25, 1.0], [0, 2])
        model = robust()
        kept = Backup(tmp_path, keeps=[schedule])
        history = model.fit(X, Y, epochs=epochs, verbose=0, callbacks=[kept, schedule])
    expected = np.log1p(np.exp(2 * EPS * np.array([0.625, 1.0])))
    np.testing.assert_allclose(history.history["loss"], expected, 1e-5)


def test_a_share_is_positive_and_is_not_saved():
    attack = attacks.PGD(EPS)
    with pytest.raises(ValueError, match="argument `share`"):
        attack.share = 0.0
    attack.share = 0.5
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(attack))
    assert (again.eps, float(again.share)) == (EPS, 1.0)


def test_a_model_without_an_attack_is_told():
    network = identity()
    network.compile("sgd", "mse")
    with pytest.raises(ValueError, match="AdversarialModel or an OTClassifier"):
        network.fit(X, X, verbose=0, callbacks=[RadiusSchedule([1.0], [0])])


def expected_losses(shares):
    return np.log1p(np.exp(2 * EPS * np.array(shares)))


class Killed(keras.callbacks.Callback):
    """Ends a training after its first epoch as a kill would: without `on_train_end`."""

    def on_epoch_end(self, epoch, logs=None):
        raise InterruptedError


@pytest.mark.parametrize("kept", [Backup, keras.callbacks.BackupAndRestore])
def test_a_warm_up_goes_on_where_nobody_kept_its_step(tmp_path, kept):
    def fit(*others):
        callbacks = [kept(str(tmp_path)), RadiusSchedule([0.25, 1.0], [0, 2]), *others]
        return robust().fit(X, Y, epochs=3, verbose=0, callbacks=callbacks)

    with pytest.raises(InterruptedError):
        fit(Killed())
    np.testing.assert_allclose(fit().history["loss"], expected_losses([0.625, 1.0]), 1e-5)


def test_a_later_first_epoch_counts_the_steps_before_it():
    schedule = RadiusSchedule([0.25, 1.0], [0, 4])
    x, y = np.repeat(X, 2, axis=0), np.repeat(Y, 2)
    history = robust().fit(
        x, y, batch_size=1, initial_epoch=1, epochs=2, verbose=0, callbacks=[schedule]
    )
    # Steps 2 and 3 of two in each epoch.
    expected = expected_losses([0.625, 0.8125]).mean()
    np.testing.assert_allclose(history.history["loss"], [expected], 1e-5)


def test_another_model_begins_its_own_warm_up():
    schedule = RadiusSchedule([0.25, 1.0], [0, 2])
    found = [
        robust().fit(X, Y, epochs=3, verbose=0, callbacks=[schedule]).history["loss"]
        for _ in range(2)
    ]
    np.testing.assert_allclose(found, [expected_losses([0.25, 0.625, 1.0])] * 2, 1e-5)


def test_validation_and_what_follows_meet_the_whole_radius():
    model, schedule = robust(), RadiusSchedule([0.25, 1.0], [0, 4])
    history = model.fit(
        X, Y, validation_data=(X, Y), epochs=2, verbose=0, callbacks=[schedule]
    ).history
    np.testing.assert_allclose(history["loss"], expected_losses([0.25, 0.4375]), 1e-5)
    np.testing.assert_allclose(history["val_loss"], expected_losses([1.0, 1.0]), 1e-5)
    assert model.evaluate(X, Y, verbose=0)[0] == pytest.approx(expected_losses(1.0), rel=1e-5)


def test_shares_that_are_not_positive_are_refused_at_once():
    with pytest.raises(ValueError, match="argument `fp`. Expected positive shares"):
        RadiusSchedule([0.0, 1.0], [0, 4])


def test_weights_that_a_term_refuses_are_refused_before_the_first_step():
    schedule = lipot.callbacks.WeightSchedule("adversarial_crossentropy", [1.0, -1.0], [0, 100])
    with pytest.raises(ValueError, match="argument `weight`"):
        robust().fit(X, Y, verbose=0, callbacks=[schedule])


def test_an_interrupted_training_leaves_the_whole_radius():
    def interrupt(batch, logs):
        raise KeyboardInterrupt

    model = robust()
    whole = model.evaluate(X, Y, verbose=0, return_dict=True)["loss"]
    stop = keras.callbacks.LambdaCallback(on_train_batch_end=interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, verbose=0, callbacks=[RadiusSchedule([0.25, 1], [0, 9]), stop])
    assert model.evaluate(X, Y, verbose=0, return_dict=True)["loss"] == pytest.approx(whole)
