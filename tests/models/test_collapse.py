"""Trainings say when constant logits would be cheaper, and weights can be warmed up."""

import warnings

import keras
import numpy as np
import pytest

from lipot import losses
from lipot.attacks import FGSM
from lipot.callbacks import Backup, FeatureMonitor, WeightSchedule
from lipot.losses import PairedBatch
from lipot.models import AdversarialModel, OTClassifier
from tests.helpers import to_numpy

# Nothing here asks for a compiled step, and tracing takes longer than the steps.
QUICK = {"jit_compile": "auto"} if keras.backend.backend() == "jax" else {"run_eagerly": True}
RNG = np.random.default_rng(0)
X = RNG.uniform(size=(24, 5)).astype("float32")
Y = np.arange(24) % 3


class Constant(losses.PairedLoss):
    """A term that costs the same whatever the network says, and 0 for constant logits."""

    def __init__(self, cost, name="constant"):
        super().__init__(name=name)
        self.cost = cost

    def per_example(self, batch):
        differs = keras.ops.any(keras.ops.abs(batch.logits - batch.logits[:1]) > 0.0)
        return keras.ops.ones_like(batch.logits[:, 0]) * keras.ops.where(differs, self.cost, 0.0)


def model_of(terms, rate=0.0, loss=None):
    network = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)])
    robust = AdversarialModel(network, FGSM(0.05), terms)
    robust.compile(keras.optimizers.SGD(rate), loss, **QUICK)
    return robust


def warned(robust, epochs=1, callbacks=(), y=Y):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        robust.fit(X, y, batch_size=24, epochs=epochs, verbose=0, callbacks=list(callbacks))
    return [str(w.message) for w in caught if "constant logits" in str(w.message)]


@pytest.mark.parametrize(("cost", "words"), [(1.0, 0), (1.2, 1)])
def test_a_term_above_the_crossentropy_of_chance_is_named(cost, words):
    # log(3) = 1.0986.
    said = warned(model_of([losses.AdversarialCrossentropy(), Constant(cost)]))
    assert len(said) == words
    if said:
        assert "epoch 1: `constant`" in said[0] and "1.2" in said[0] and "1.1 in all" in said[0]


def test_the_weight_counts_and_so_does_the_compiled_loss():
    terms = [losses.AdversarialCrossentropy(), Constant(1.2)]
    terms[1].weight = 0.5
    assert not warned(model_of(terms))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    # Constant logits pay log(3) twice, and 2.1 is less.
    robust = model_of([losses.AdversarialCrossentropy(), Constant(2.1)], loss=loss)
    assert not warned(robust)
    robust.terms[1].weight = 1.1
    assert len(warned(robust, epochs=2)) == 2


def test_a_training_that_ends_at_chance_says_so():
    robust = model_of([losses.AdversarialCrossentropy()])
    for layer in robust.classifier.layers:
        layer.set_weights([np.zeros_like(w) for w in layer.get_weights()])
    assert not warned(robust, epochs=1)
    (said,) = warned(robust, epochs=2)
    assert "nothing has been learned" in said and "1.099" in said


@pytest.mark.parametrize("form", ["numbers", "rows"])
def test_constant_logits_are_priced_for_every_loss(form):
    """The hinge-KR losses take rows, sparse cross-entropies numbers."""
    keras_loss = {
        "numbers": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        "rows": losses.MulticlassHKR(alpha=10.0, min_margin=1.0),
    }[form]
    y = Y if form == "numbers" else np.eye(3, dtype="float32")[Y]
    robust = model_of([losses.AdversarialLoss(keras_loss), Constant(1e3)])
    assert warned(robust, y=y)


def test_watching_draws_nothing():
    """The random numbers of a training are the same whether it was watched or not."""
    terms = [losses.SlicedWasserstein(seed=3), losses.RandomJacobian(seed=4)]
    states = [np.array(term.seed_generator.state) for term in terms]
    robust = model_of(terms)
    from lipot.models.collapse import WarnsOfCollapse

    watch = WarnsOfCollapse()
    watch.set_model(robust)
    watch.on_train_begin()
    for term, state in zip(terms, states):
        np.testing.assert_array_equal(np.array(term.seed_generator.state), state)


def histories(callbacks, epochs=3, name="adversarial_crossentropy", batch_size=12):
    """The loss of each epoch: of a training that changes nothing but the weight."""
    robust = model_of([losses.AdversarialCrossentropy()])
    logs = robust.fit(
        X, Y, batch_size=batch_size, epochs=epochs, verbose=0, shuffle=False, callbacks=callbacks
    ).history
    return np.array(logs["loss"]) / np.array(logs[name]), robust


@pytest.mark.parametrize(
    ("unit", "xp", "weights"),
    [
        ("steps", [0, 4], [(0.0, 0.25), (0.5, 0.75), (1.0, 1.0)]),
        ("epochs", [0, 2], [(0.0, 0.25), (0.5, 0.75), (1.0, 1.0)]),
        ("epochs", [1, 2], [(0.0, 0.0), (0.0, 0.5), (1.0, 1.0)]),
    ],
)
def test_the_weight_of_a_term_follows_steps_or_epochs(unit, xp, weights):
    schedule = WeightSchedule("adversarial_crossentropy", [0.0, 1.0], xp, unit)
    found, robust = histories([schedule])
    # The two batches cost nearly the same.
    np.testing.assert_allclose(found, np.mean(weights, axis=1), atol=0.03)
    assert float(robust.terms[0].weight) == 1.0


def test_numbers_inside_a_term_and_of_the_compiled_loss_follow_too():
    robust = model_of([losses.TRADES(alpha=6.0), losses.ALP()])
    schedule = WeightSchedule("trades.alpha", [0.0, 6.0], [0, 2])
    schedule.set_model(robust)
    schedule.on_train_begin()
    schedule.on_train_batch_begin(0)
    assert float(robust.terms[0].alpha) == 0.0
    schedule.on_train_batch_end(0)
    schedule.on_train_batch_begin(1)
    assert float(robust.terms[0].alpha) == 3.0 and float(robust.terms[0].weight) == 1.0
    with pytest.raises(ValueError, match=r"argument `param_name`.*\['alp', 'trades'\].*'got'"):
        robust.fit(X, Y, verbose=0, callbacks=[WeightSchedule("got", [0.0], [0])])
    plain = keras.Sequential([keras.Input((5,)), keras.layers.Dense(1)])
    plain.compile("sgd", losses.HKR(alpha=1.0))
    plain.fit(X, Y % 2, verbose=0, callbacks=[WeightSchedule("alpha", [7.0], [0])])
    assert float(plain.loss.alpha) == 7.0


def test_a_number_of_a_term_changes_its_value():
    batch = PairedBatch(lambda z: (z[:, :3], None), X, Y, X + 0.1 * RNG.normal(size=X.shape))
    for loss, name in (
        (losses.TRADES(), "alpha"),
        (losses.MART(), "lambda_"),
        (losses.ALP(), "lambda_"),
    ):
        values = []
        for number in (0.0, 1.0, 2.0):
            setattr(loss, name, number)
            values.append(keras.ops.convert_to_numpy(loss(batch)))
        np.testing.assert_allclose(values[2] - values[1], values[1] - values[0], atol=1e-5)
        assert np.abs(values[1] - values[0]).max() > 1e-3


def test_a_warm_up_goes_on_after_a_backup(tmp_path):
    schedules = [WeightSchedule("adversarial_crossentropy", [0.0, 1.0], [0, 8]) for _ in "ab"]
    for epochs, schedule in zip((2, 4), schedules):
        histories([Backup(tmp_path, keeps=[schedule]), schedule], epochs)
    assert schedules[1].step == 8


def test_dead_features_are_counted_and_named():
    hidden = keras.layers.Dense(10, "relu", name="hidden")
    network = keras.Sequential([keras.Input((5,)), hidden, keras.layers.Dense(3)])
    robust = AdversarialModel(network, None, [losses.AdversarialCrossentropy()])
    robust.compile(keras.optimizers.SGD(0.0), **QUICK)
    kernel = np.zeros((5, 10), "float32")
    kernel[:, :4] = 1.0
    hidden.set_weights([kernel, np.full(10, 0.5, "float32")])
    history = robust.fit(X, Y, verbose=0, callbacks=[FeatureMonitor(X)]).history
    assert history["dead_features"] == [pytest.approx(0.6)]
    features = np.maximum(X @ kernel + 0.5, 0.0)
    norm = np.linalg.norm(features, axis=1).mean()
    assert history["feature_norm"] == [pytest.approx(norm, rel=1e-4)]
    hidden.set_weights([np.zeros((5, 10)), np.full(10, 0.5)])
    with pytest.warns(UserWarning, match="100 % of the features are the same"):
        robust.fit(X, Y, verbose=0, callbacks=[FeatureMonitor(X, layer="hidden")])
    subclassed = type("Own", (keras.Model,), {"call": lambda self, x: x})()
    subclassed.compile("sgd", "mse")
    with pytest.raises(ValueError, match="argument `model`.*Own"):
        subclassed.fit(X, X, verbose=0, callbacks=[FeatureMonitor(X)])


@pytest.mark.parametrize("name", [None, "inner", "code"])
def test_features_of_an_embedding_classifier_are_read_from_its_inputs(name):
    encoder = keras.Sequential([keras.Input((5,)), keras.layers.Dense(2, name="code")])
    classifier = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(4, name="inner"), keras.layers.Dense(3)]
    )
    model = OTClassifier(encoder, classifier)
    model.compile(keras.optimizers.SGD(0.0), **QUICK)
    history = model.fit(X, Y, verbose=0, callbacks=[FeatureMonitor(X, layer=name)]).history
    codes = to_numpy(encoder(X))
    features = codes if name == "code" else to_numpy(classifier.layers[0](codes))
    expected = np.linalg.norm(features, axis=1).mean()
    assert history["feature_norm"] == [pytest.approx(expected, rel=1e-4)]


def test_the_l2_cost_of_unit_features_does_not_fall_as_they_shrink():
    features = RNG.normal(size=(6, 4)).astype("float32")
    moved = features + 0.3 * RNG.normal(size=(6, 4)).astype("float32")
    logits = np.zeros((6, 3), "float32")

    def value(scale, **kwargs):
        network = lambda z: (logits, scale * z)  # noqa: E731
        loss = losses.GOT(feature_cost="l2", **kwargs)
        loss.build((None, 4))
        batch = PairedBatch(network, features, np.zeros(6, int), moved)
        return float(np.mean(keras.ops.convert_to_numpy(loss(batch))))

    assert value(1e-3) < 0.1 * value(1.0)
    assert value(1e-3, unit_features=True) == pytest.approx(
        value(1.0, unit_features=True), rel=1e-4
    )


def test_a_penalty_on_weights_is_no_sign_of_chance():
    robust = model_of([losses.AdversarialCrossentropy()])
    dense, y = robust.classifier.layers[-1], X[:, :3].argmax(axis=1)
    dense.set_weights([30.0 * np.eye(5, 3), np.zeros(3)])
    assert not warned(robust, 2, y=y)
    # Larger than the cross-entropy of chance; constant logits would pay it too.
    dense.kernel.regularizer = lambda kernel: 0.0 * keras.ops.sum(kernel) + 5.0
    assert not warned(robust, 2, y=y)


@pytest.mark.parametrize("weight", [None, 10.0, 0.1])
@pytest.mark.parametrize("learns", [True, False])
def test_weights_of_samples_neither_hide_a_collapse_nor_feign_one(weight, learns):
    x, y = np.eye(3, dtype="float32")[np.arange(48) % 3], np.arange(48) % 3
    dense = keras.layers.Dense(3, kernel_initializer=keras.initializers.Identity(4.0 * learns))
    network = keras.Sequential([keras.Input((3,)), dense])
    robust = AdversarialModel(network, FGSM(0.01), [losses.AdversarialCrossentropy()])
    robust.compile(keras.optimizers.SGD(0.0), **QUICK)
    weights = None if weight is None else dict.fromkeys(range(3), weight)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        robust.fit(x, y, class_weight=weights, epochs=2, verbose=0)
    said = any("nothing has been learned" in str(warning.message) for warning in caught)
    assert said != learns


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="PyTorch warns of it.")
def test_numbers_that_could_be_differentiated_are_not_asked_for():
    torch = pytest.importorskip("torch")
    robust = model_of([losses.AdversarialCrossentropy()], loss="mse")
    robust.classifier.layers[0].kernel.regularizer = keras.regularizers.L2(0.1)
    torch.set_warn_always(True)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            robust.fit(X, np.eye(3)[Y], verbose=0)
    finally:
        torch.set_warn_always(False)
    assert not [warning for warning in caught if "requires_grad" in str(warning.message)]
