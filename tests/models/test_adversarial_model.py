import itertools

import keras
import numpy as np
import pytest
from keras import ops
from sklearn.datasets import load_digits

from lipot import losses
from lipot.attacks import FGSM, PGD, TRADESPGD
from lipot.models.adversarial_model import AdversarialModel
from tests.helpers import check_serializable


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    return (x / 16).astype("float32").reshape(-1, 8, 8, 1)[:512], y[:512]


def classifier(normalized=False, dropout=0.0):
    layers = [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(32, "relu")]
    layers += [keras.layers.BatchNormalization()] if normalized else []
    # Without a seed, dropout on PyTorch draws from a state that Keras cannot save.
    layers += [keras.layers.Dropout(dropout, seed=5)] if dropout else []
    return keras.Sequential([*layers, keras.layers.Dense(10, name="logits")])


def otjr(**kwargs):
    return AdversarialModel(
        classifier(**kwargs),
        PGD(0.1, 0.05, 3, seed=1),
        [
            losses.AdversarialCrossentropy(),
            losses.SlicedWasserstein(weight=0.1, seed=2),
            losses.OptimalJacobian(weight=0.001),
        ],
    )


# XLA takes seconds to compile each of these small models on TensorFlow; without it JAX compiles
# every operation on its own.
JIT = "auto" if keras.backend.backend() == "jax" else False


def quick_compile(model, *args, **kwargs):
    model.compile(*args, jit_compile=JIT, **kwargs)


def weights_of(model):
    return [np.array(weight) for weight in model.get_weights()]


@pytest.mark.parametrize(
    ("attack", "terms"),
    [
        (FGSM(0.1), [losses.AdversarialCrossentropy()]),
        (TRADESPGD(0.1, steps=3), [losses.TRADES(), losses.GOT(0.1, label_matching=True)]),
        pytest.param(
            PGD(0.1, steps=3),
            [losses.ALP(), losses.SlicedWasserstein()],
            marks=pytest.mark.smoke,
        ),
        (PGD(0.5, steps=3, norm=2), [losses.MART(), losses.OptimalJacobian(weight=0.01)]),
        (PGD(0.1, steps=3), [losses.AdversarialCrossentropy(), losses.SinkhornDivergence()]),
        (None, [losses.AdversarialCrossentropy(), losses.RandomJacobian(weight=0.01)]),
    ],
    ids=["fgsm", "got-trades-lm", "alp-sw", "mart-jacobian", "sat", "random-jacobian"],
)
def test_every_combination_learns_through_fit(digits, attack, terms):
    robust = AdversarialModel(classifier(normalized=True), attack, terms)
    robust.compile(keras.optimizers.Adam(0.01), jit_compile="auto" if attack is None else JIT)
    history = robust.fit(*digits, epochs=6, batch_size=64, verbose=0).history
    assert set(history) == {"loss", "robust_accuracy", *(term.name for term in terms)}
    assert np.isfinite(history["loss"]).all()
    assert history["loss"][-1] < history["loss"][0]
    assert history["robust_accuracy"][-1] > max(0.2, history["robust_accuracy"][0])


@pytest.mark.slow
def test_adversarial_training_is_more_robust_than_clean_training(digits):
    accuracy = {}
    for attack in (None, PGD(0.15, steps=4)):
        robust = AdversarialModel(classifier(), attack, [losses.AdversarialCrossentropy()])
        quick_compile(robust, keras.optimizers.Adam(0.01))
        robust.fit(*digits, epochs=10, batch_size=64, verbose=0)
        judge = AdversarialModel(
            robust.classifier, PGD(0.15, steps=20, seed=0), [losses.AdversarialCrossentropy()]
        )
        quick_compile(judge)
        accuracy[attack is None] = judge.evaluate(*digits, verbose=0, return_dict=True)
    assert accuracy[False]["robust_accuracy"] > accuracy[True]["robust_accuracy"] + 0.1


def test_loss_is_the_weighted_sum_of_the_terms_and_the_compiled_loss(digits):
    x, y = digits[0][:50], digits[1][:50]
    terms = [losses.TRADES(weight=2.0), losses.SlicedWasserstein(weight=3.0)]
    robust = AdversarialModel(classifier(), FGSM(0.1), terms)
    quick_compile(robust, loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    logs = robust.evaluate(x, y, batch_size=50, verbose=0, return_dict=True)
    crossentropy = robust.loss(y, robust.predict(x, verbose=0))
    expected = 2.0 * logs["trades"] + 3.0 * logs["sliced_wasserstein"] + float(crossentropy)
    assert logs["loss"] == pytest.approx(expected, rel=1e-4)


def test_regularizers_of_the_classifier_count(digits):
    network = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(10, kernel_regularizer=keras.regularizers.L2(0.5)),
        ]
    )
    robust = AdversarialModel(network, FGSM(0.1), [losses.AdversarialCrossentropy()])
    quick_compile(robust)
    logs = robust.evaluate(*digits, batch_size=512, verbose=0, return_dict=True)
    penalty = 0.5 * np.sum(network.get_weights()[0] ** 2)
    assert logs["loss"] == pytest.approx(logs["adversarial_crossentropy"] + penalty, rel=1e-4)


def test_predict_and_call_are_the_classifier(digits):
    robust = otjr(normalized=True, dropout=0.5)
    expected = robust.classifier.predict(digits[0], verbose=0)
    quick_compile(robust, "sgd", metrics=["accuracy"])
    np.testing.assert_allclose(robust.predict(digits[0], verbose=0), expected, atol=1e-6)
    logs = robust.evaluate(*digits, verbose=0, return_dict=True)
    assert logs["accuracy"] == pytest.approx(np.mean(expected.argmax(axis=1) == digits[1]))
    assert logs["robust_accuracy"] <= logs["accuracy"]


def test_evaluate_leaves_weights_and_batch_statistics_alone(digits):
    robust = otjr(normalized=True)
    quick_compile(robust, "sgd")
    before = weights_of(robust)
    robust.evaluate(*digits, verbose=0)
    for old, new in zip(before, weights_of(robust)):
        np.testing.assert_array_equal(old, new)


def test_batch_statistics_are_those_of_the_two_passes(digits):
    x = digits[0][:64]
    network = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Flatten(),
            keras.layers.BatchNormalization(momentum=0.0, center=False, scale=False),
            keras.layers.Dense(10),
        ]
    )
    robust = AdversarialModel(network, PGD(0.1, steps=3), [losses.AdversarialCrossentropy()])
    quick_compile(robust, keras.optimizers.SGD(0.0))
    robust.train_on_batch(x, digits[1][:64])
    mean = np.array(network.layers[1].moving_mean)
    # Momentum zero keeps the last batch: the adversarial one, within eps of the clean one.
    assert 0 < np.abs(mean - x.reshape(64, -1).mean(axis=0)).max() <= 0.1 + 1e-5


def test_sample_weights_of_zero_remove_examples(digits):
    x, y = digits[0][:40], digits[1][:40]
    weights = np.concatenate([np.ones(20), np.zeros(20)]).astype("float32")
    robust = AdversarialModel(
        classifier(), FGSM(0.1), [losses.AdversarialCrossentropy(clean_weight=1.0)]
    )
    quick_compile(robust, "sgd")
    half = robust.evaluate(x[:20], y[:20], verbose=0, return_dict=True)
    weighted = robust.evaluate(
        x, y, sample_weight=weights, batch_size=40, verbose=0, return_dict=True
    )
    assert weighted["adversarial_crossentropy"] == pytest.approx(
        half["adversarial_crossentropy"], rel=1e-4
    )
    # Keras divides a weighted loss by the number of examples, here twice as many.
    assert weighted["loss"] == pytest.approx(half["loss"] / 2, rel=1e-4)


@pytest.mark.parametrize("form", ["integers", "column", "one-hot"])
def test_labels_of_every_form_give_one_loss(digits, form):
    x, y = digits
    network = classifier()
    for layer, seed in ((network.layers[1], 0), (network.layers[2], 1)):
        layer.kernel.assign(keras.random.normal(layer.kernel.shape, seed=seed))
    robust = AdversarialModel(network, FGSM(0.1), [losses.TRADES(), losses.MART()])
    quick_compile(robust)
    labels = {"integers": y, "column": y[:, None], "one-hot": np.eye(10)[y]}[form]
    expected = robust.evaluate(x, y, verbose=0, return_dict=True)
    quick_compile(robust)
    found = robust.evaluate(x, labels, verbose=0, return_dict=True)
    assert found == pytest.approx(expected, rel=1e-5)


def test_label_out_of_range_stops_training_with_nan(digits):
    robust = AdversarialModel(classifier(), FGSM(0.1), [losses.AdversarialCrossentropy()])
    quick_compile(robust, "sgd")

    def batches():
        # An array, and the first of the batches, would be looked at before.
        for wrong in itertools.cycle((0, 1)):
            yield digits[0][:32], digits[1][:32] + 10 * wrong

    stop = keras.callbacks.TerminateOnNaN()
    history = robust.fit(batches(), steps_per_epoch=2, epochs=5, verbose=0, callbacks=[stop])
    assert len(history.epoch) == 1 and np.isnan(history.history["loss"]).all()


def test_features_are_the_last_input_or_a_named_layer(digits):
    def potential_size(**kwargs):
        got = losses.GOT()
        network = keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                keras.layers.Conv2D(4, 3, name="conv"),
                keras.layers.Flatten(),
                keras.layers.Dense(12),
                keras.layers.Dense(10),
            ]
        )
        robust = AdversarialModel(network, FGSM(0.1), [got], **kwargs)
        quick_compile(robust, "sgd")
        assert np.isfinite(robust.fit(*digits, verbose=0).history["got"]).all()
        return got.potential.shape[0]

    assert potential_size() == 12
    assert potential_size(features="conv") == 6 * 6 * 4


def test_classifier_is_counted_once():
    robust = AdversarialModel(classifier(), FGSM(0.1), [losses.GOT()])
    assert robust.count_params() == robust.classifier.count_params() + 32
    assert len(robust.trainable_variables) == 5


def test_unbuilt_classifier_is_built_by_the_first_batch(digits):
    network = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(10)])
    robust = AdversarialModel(network, FGSM(0.1), [losses.GOT()])
    quick_compile(robust, "sgd")
    assert np.isfinite(robust.fit(*digits, verbose=0).history["loss"]).all()


@pytest.mark.parametrize("trained", [False, True])
def test_saved_model_evaluates_the_same(digits, tmp_path, trained):
    robust = AdversarialModel(
        classifier(normalized=True),
        PGD(0.1, steps=3, seed=1),
        [losses.AdversarialCrossentropy(), losses.GOT(), losses.SlicedWasserstein(seed=3)],
        name="robust",
    )
    quick_compile(robust, "adam", metrics=["accuracy"])
    digits = digits[0][:128], digits[1][:128]
    if trained:
        robust.fit(*digits, verbose=0)
    robust.save(tmp_path / "robust.keras")
    loaded = keras.saving.load_model(tmp_path / "robust.keras", safe_mode=True)
    # The random state travels along: the same attacks are drawn.
    found = loaded.evaluate(*digits, verbose=0, return_dict=True)
    expected = robust.evaluate(*digits, verbose=0, return_dict=True)
    assert found == pytest.approx(expected, rel=1e-5)
    for old, new in zip(weights_of(robust), weights_of(loaded)):
        np.testing.assert_array_equal(old, new)
    check_serializable(robust)


def test_two_runs_with_one_seed_agree(digits):
    def run():
        keras.utils.set_random_seed(3)
        robust = AdversarialModel(
            classifier(dropout=0.2), PGD(0.1, steps=3), [losses.TRADES(), losses.RandomJacobian()]
        )
        quick_compile(robust, "adam")
        return robust.fit(digits[0][:128], digits[1][:128], epochs=1, verbose=0).history

    assert run() == run()


def test_resumed_training_equals_the_uninterrupted_one(digits, tmp_path):
    class Killed(Exception):
        pass

    def train(epochs, die_in=None):
        keras.utils.set_random_seed(4)
        robust = otjr(normalized=True, dropout=0.2)
        quick_compile(robust, "adam")
        callbacks = [keras.callbacks.BackupAndRestore(tmp_path / "backup")]
        if die_in is not None:

            def die(batch, logs):
                if robust._seen == die_in:
                    raise Killed
                robust._seen += 1

            robust._seen = 0
            callbacks.append(keras.callbacks.LambdaCallback(on_train_batch_end=die))
        robust.fit(*digits, epochs=epochs, shuffle=False, callbacks=callbacks, verbose=0)
        return weights_of(robust)

    expected = train(3)
    with pytest.raises(Killed):
        train(3, die_in=16 + 5)  # in the middle of the second epoch
    for old, new in zip(expected, train(3)):
        np.testing.assert_array_equal(old, new)


def test_mixed_precision_trains_and_keeps_losses_in_float32(digits):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        robust = otjr(normalized=True)
    finally:
        keras.config.set_dtype_policy("float32")
    assert robust.classifier.compute_dtype == "float16"
    quick_compile(robust, keras.optimizers.Adam(0.01))
    history = robust.fit(*digits, epochs=3, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert history["robust_accuracy"][-1] > 0.3


def test_data_sets_of_tensorflow_are_accepted(digits):
    data = pytest.importorskip("tensorflow.data")
    dataset = data.Dataset.from_tensor_slices(digits).shuffle(512, seed=0).batch(100)
    robust = otjr()
    quick_compile(robust, "adam")
    # The last batch holds 12 examples.
    assert np.isfinite(robust.fit(dataset, epochs=2, verbose=0).history["loss"]).all()


def test_batch_of_one_trains(digits):
    robust = otjr()
    quick_compile(robust, "adam")
    logs = robust.fit(digits[0][:3], digits[1][:3], batch_size=1, verbose=0).history
    assert np.isfinite(logs["loss"]).all()


SUBCLASSED = type("Subclassed", (keras.Model,), {"call": lambda self, x: x})


@pytest.mark.parametrize(
    ("create", "message"),
    [
        (lambda: AdversarialModel("cnn", None, [losses.GOT()]), "argument `classifier`"),
        (lambda: AdversarialModel(classifier(), "pgd", [losses.GOT()]), "argument `attack`"),
        (lambda: AdversarialModel(classifier(), None, []), "argument `losses`"),
        (lambda: AdversarialModel(classifier(), None, ["got"]), "argument `losses`"),
        (lambda: AdversarialModel(classifier(), None, [losses.GOT()] * 2), "different `name`"),
        (lambda: AdversarialModel(classifier(), None, losses.GOT(name="loss")), "logs have"),
        (
            lambda: AdversarialModel(classifier(), None, [losses.GOT()], features="conv9"),
            r"argument `features`.*'logits'.*conv9",
        ),
        (
            lambda: AdversarialModel(classifier(), None, [losses.GOT()], features=3),
            "argument `features`",
        ),
        (
            lambda: AdversarialModel(
                keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, "softmax")]),
                None,
                [losses.GOT()],
            ),
            "logits",
        ),
        (
            lambda: AdversarialModel(
                keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)]), None, [losses.GOT()]
            ),
            "at least two classes",
        ),
        (
            lambda: AdversarialModel(SUBCLASSED(), None, [losses.GOT()]).build((None, 4)),
            "Sequential or Functional",
        ),
    ],
)
def test_bad_arguments_are_named(create, message):
    with pytest.raises(ValueError, match=message):
        create()


def test_term_of_weight_zero_is_watched_but_not_trained(digits):
    robust = AdversarialModel(classifier(), FGSM(0.1), [losses.SlicedWasserstein(weight=0.0)])
    quick_compile(robust, keras.optimizers.SGD(1.0))
    before = weights_of(robust)
    assert robust.fit(*digits, verbose=0).history["sliced_wasserstein"][0] > 0
    for old, new in zip(before, weights_of(robust)):
        np.testing.assert_array_equal(old, ops.convert_to_numpy(new))


def test_weights_that_a_subclass_adds_are_saved(tmp_path):
    class Warmer(AdversarialModel):
        def build(self, input_shape):
            self.temperature = self.add_weight(shape=(), initializer="ones", name="temperature")
            super().build(input_shape)

    def made():
        network = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)])
        attack = FGSM(0.1, random_start=True)
        return Warmer(network, attack, [losses.AdversarialCrossentropy()])

    first, second = made(), made()
    first.temperature.assign(5.0)
    first.save_weights(tmp_path / "kept.weights.h5")
    second.load_weights(tmp_path / "kept.weights.h5")
    assert float(ops.convert_to_numpy(second.temperature)) == 5.0
