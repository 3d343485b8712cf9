import gc
import weakref

import keras
import numpy as np
import pytest

from lipot.attacks import AutoAttack, Victim
from lipot.attacks.auto_attack import STANDS, WRONG
from tests.helpers import check_serializable

NAMES = ["apgd-ce", "apgd-dlr", "apgd-t", "fab-t", "square"]
NORMS = ["inf", 2]
X = np.random.default_rng(0).uniform(size=(24, 6, 6, 1)).astype("float32")


def network(classes=5, last=None, seed=1):
    keras.utils.set_random_seed(seed)
    layers = [keras.Input((6, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(24, "tanh")]
    return keras.Sequential([*layers, keras.layers.Dense(classes, last)])


def labels(model):
    outputs = model.predict(X, verbose=0)
    return (outputs[:, 0] > 0).astype(int) if outputs.shape[1] == 1 else outputs.argmax(axis=1)


def length(x_adv, x, norm):
    flat = (x_adv - x).reshape(len(x), -1).astype("float64")
    return np.abs(flat).max(axis=1) if norm == "inf" else np.linalg.norm(flat, axis=1)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", NAMES)
def test_what_it_reports_is_true(name, norm):
    model, eps = network(), 0.04 if norm == "inf" else 0.15
    y = labels(model)
    y[:3] = (y[:3] + 1) % 5
    result = AutoAttack(eps, norm, steps=20, queries=200, attacks=[name]).run(model, X, y)
    wrong = model.predict(result.x_adv, verbose=0).argmax(axis=1) != y
    np.testing.assert_array_equal(wrong, ~result.stands)
    np.testing.assert_array_equal(result.broken_by == WRONG, np.arange(len(X)) < 3)
    assert 0 < np.sum(result.broken_by == 0) < len(X) - 3
    assert length(result.x_adv, X, norm).max() <= eps * (1 + 1e-5)
    assert result.x_adv.min() >= 0.0 and result.x_adv.max() <= 1.0
    untouched = result.broken_by < 0
    np.testing.assert_array_equal(result.x_adv[untouched], X[untouched])


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ["apgd-ce", "apgd-dlr", "apgd-t", "fab-t"])
def test_a_linear_model_falls_exactly_where_the_closed_form_says(name, norm):
    # Two classes, f = w.x + b: the least shift that flips the sign has dual norm |f| / |w|_*.
    rng = np.random.default_rng(2)
    weights = rng.normal(size=(36, 1)).astype("float32")
    model = keras.Sequential(
        [keras.Input((6, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(1)]
    )
    model.set_weights([weights, -np.median(X.reshape(-1, 36) @ weights, axis=0)])
    y = labels(model)
    f = model.predict(X, verbose=0)[:, 0]
    radius = np.abs(f) / (np.abs(weights).sum() if norm == "inf" else np.linalg.norm(weights))
    eps = float(np.median(radius))
    attack = AutoAttack(
        eps, norm, steps=50, attacks=[name], clip_min=None, clip_max=None, outputs="logits"
    )
    stands = attack.run(model, X, y).stands
    np.testing.assert_array_equal(stands[radius > eps * 1.001], True)
    np.testing.assert_array_equal(stands[radius < eps * 0.99], False)


# FAB, whose steps are as long as a linear model asks for, goes past the nearest points.
@pytest.mark.parametrize(("name", "eps"), [("apgd-ce", 0.1), ("fab-t", 0.2)])
def test_an_infinite_slope_hides_nothing(name, eps):
    # The root of 0.05 alone is more than what is missing, 0.19 at most.
    dense = keras.layers.Dense(2)
    layers = [keras.layers.Lambda(keras.ops.sqrt), dense]
    model = keras.Sequential([keras.Input((8,)), *layers])
    dense.set_weights([np.array([[-1.0, 1.0]] * 8), np.array([1.6, -1.6])])
    x = np.array([[0.0] * 6 + [0.5, 0.5 + 0.01 * i] for i in range(6)], "float32")
    result = AutoAttack(eps, 2, steps=10, attacks=[name]).run(model, x, np.zeros(6, int))
    # A point that is no number would count as misclassified.
    assert length(result.x_adv, x, 2).max() <= eps * (1 + 1e-5)
    assert not np.any(result.stands)


def test_each_attack_runs_on_what_the_others_left():
    model = network()
    y = labels(model)
    alone = AutoAttack(0.04, attacks=["apgd-ce"], steps=10).run(model, X, y)
    both = AutoAttack(0.04, attacks=["apgd-ce", "apgd-t"], steps=10).run(model, X, y)
    np.testing.assert_array_equal(both.broken_by == 0, alone.broken_by == 0)
    assert both.robust_accuracy <= alone.robust_accuracy
    assert both.attacks == ("apgd-ce", "apgd-t") and set(both.seconds) == set(both.attacks)


def test_same_seed_same_result_whatever_the_batches():
    model = network()
    y = labels(model)
    settings = {"steps": 10, "queries": 60}
    first, again, other = (
        AutoAttack(0.05, seed=seed, **settings).generate(model, X, y) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0
    batched = AutoAttack(0.05, seed=1, batch_size=7, **settings).run(model, X, y)
    np.testing.assert_allclose(batched.x_adv, first, atol=1e-5)


@pytest.mark.parametrize("classes", [1, 2, 3, 4])
def test_few_classes(classes):
    model = network(classes)
    y = labels(model)
    result = AutoAttack(0.3, steps=10, queries=20, outputs="logits").run(model, X, y)
    wrong = model.predict(result.x_adv, verbose=0)
    wrong = (wrong[:, 0] > 0 if classes == 1 else wrong.argmax(axis=1)) != y
    np.testing.assert_array_equal(wrong, ~result.stands)
    assert np.sum(wrong) > len(X) // 2


@pytest.mark.parametrize("name", ["apgd-ce", "apgd-dlr"])
def test_restarts_break_what_one_start_leaves(name):
    model = keras.Sequential(
        [network(), keras.layers.Lambda(lambda logits: keras.ops.sin(8.0 * logits))]
    )
    y = model.predict(X, verbose=0).argmax(axis=1)
    once, often = (
        AutoAttack(0.01, steps=2, restarts=restarts, attacks=[name]).run(model, X, y).stands
        for restarts in (1, 8)
    )
    assert np.all(once[often]) and often.sum() < once.sum()


def test_more_restarts_than_targets():
    model = network(2)
    result = AutoAttack(0.5, steps=5, queries=5, restarts=3).run(model, X, labels(model))
    assert result.robust_accuracy < 1.0


def test_vectors_and_one_hot_labels():
    model = keras.Sequential([keras.Input((9,)), keras.layers.Dense(4)])
    x = np.random.default_rng(0).normal(size=(12, 9)).astype("float32")
    y = model.predict(x, verbose=0).argmax(axis=1)
    attack = AutoAttack(0.5, 2, steps=10, queries=50, clip_min=None, clip_max=None)
    result = attack.run(model, x, y)
    assert np.any(result.broken_by >= 0)
    np.testing.assert_array_equal(attack.generate(model, x, np.eye(4)[y]), result.x_adv)
    np.testing.assert_array_equal(attack.generate(model, x, y[:, None]), result.x_adv)


def test_progress_tells_the_attack_and_the_time_left(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # As on a terminal: it shows what is gone, too.
    model = network()
    AutoAttack(0.01, steps=5, queries=20).run(model, X, labels(model), verbose=True)
    shown = capsys.readouterr().err
    assert "apgd-ce" in shown and "points stand" in shown and " left" in shown
    AutoAttack(0.01, steps=5, queries=20).run(model, X, labels(model))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("classes", "last"), [(5, "softmax"), (1, "sigmoid")])
def test_probabilities_are_refused(classes, last):
    model = network(classes, last)
    with pytest.raises(ValueError, match="argument `model`.*probabilities.*logits"):
        AutoAttack(0.1).run(model, X, np.zeros(len(X), int))
    trusted = AutoAttack(0.1, steps=2, queries=2, attacks=["apgd-ce"], outputs="logits")
    assert trusted.run(model, X, np.zeros(len(X), int)).broken_by.shape == (len(X),)


class Counting(keras.layers.Layer):
    """The identity, which counts how often it is traced."""

    def __init__(self):
        super().__init__()
        self.traces = 0

    def call(self, inputs):
        self.traces += 1
        return inputs


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="JAX compiles for each size.")
@pytest.mark.parametrize("norm", NORMS)
def test_a_second_run_traces_nothing_whatever_eps_and_the_number_of_points(norm):
    counting, settings = Counting(), {"steps": 11, "queries": 60, "attacks": NAMES}
    model = keras.Sequential([keras.Input((6, 6, 1)), counting, network()])
    y, victim = labels(model), Victim(model)
    # Keras' own `predict` is traced once more for a second size.
    model.predict(X[:17], verbose=0)
    first = AutoAttack(0.02, norm, **settings).run(victim, X, y)
    traces, counting.traces = counting.traces, 0
    attack = AutoAttack(0.1, norm, **settings)
    shared = attack.run(victim, X[:17], y[:17])
    assert traces > 0 and counting.traces == 0
    alone = attack.run(model, X[:17], y[:17])
    assert counting.traces > 0
    np.testing.assert_array_equal(shared.x_adv, alone.x_adv)
    assert shared.robust_accuracy < first.robust_accuracy
    counting.traces = 0
    attack.run(model, X, y)
    assert counting.traces == 0


def test_what_was_compiled_sees_new_weights_and_replaced_variables():
    model, other = network(), network(seed=7)
    attack = AutoAttack(0.05, steps=10, queries=20, attacks=["apgd-ce", "square"])
    attack.run(model, X, labels(model))
    expected = attack.generate(other, X, labels(other))
    victim = Victim(model)
    attack.run(victim, X, labels(model))
    model.set_weights(other.get_weights())
    np.testing.assert_array_equal(attack.generate(victim, X, labels(model)), expected)
    model.layers[-1].enable_lora(2)
    model.layers[-1].lora_kernel_b.assign(3.0 * np.eye(2, 5))
    model.predict_function = None
    fresh = AutoAttack(0.05, steps=10, queries=20, attacks=["apgd-ce", "square"])
    again = attack.generate(victim, X, labels(model))
    np.testing.assert_array_equal(again, fresh.generate(model, X, labels(model)))
    assert np.abs(again - expected).max() > 0


def test_programs_go_with_the_attack():
    model = network()
    attack = AutoAttack(0.05, steps=2, attacks=["apgd-ce"])
    attack.run(model, X, labels(model))
    kept = weakref.ref(model)
    attack.run(network(), X, np.zeros(len(X), int))
    del model
    gc.collect()
    assert kept() is None


def test_no_weight_and_no_statistic_changes():
    model = keras.Sequential([network(), keras.layers.BatchNormalization()])
    model.build((None, 6, 6, 1))
    before = [np.array(weight) for weight in model.get_weights()]
    AutoAttack(0.1, steps=5, queries=20).run(model, X, labels(model))
    for old, new in zip(before, model.get_weights()):
        np.testing.assert_array_equal(old, new)


def test_what_the_model_itself_gets_right_stands():
    model = network()
    clean = model.predict(X, verbose=0)
    model.predict = lambda x, **settings: clean
    result = AutoAttack(0.5, steps=5, attacks=["apgd-ce"]).run(model, X, clean.argmax(axis=1))
    assert result.robust_accuracy == 1.0
    np.testing.assert_array_equal(result.x_adv, X)


def test_all_wrong_is_no_error():
    model = network()
    result = AutoAttack(0.1, steps=5).run(model, X, (labels(model) + 1) % 5)
    assert result.robust_accuracy == 0.0 and np.all(result.broken_by == WRONG) and STANDS == -1


def test_round_trip():
    check_serializable(
        AutoAttack(0.2, 2, steps=7, restarts=2, attacks=["apgd-t"], clip_min=None, seed=3)
    )


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"eps": -1.0}, "eps"),
        ({"norm": 1}, "norm"),
        ({"steps": 0}, "steps"),
        ({"queries": 1.5}, "queries"),
        ({"restarts": 0}, "restarts"),
        ({"attacks": ["pgd"]}, "attacks"),
        ({"attacks": ()}, "attacks"),
        ({"attacks": ["apgd-ce", "apgd-ce"]}, "attacks"),
        ({"batch_size": 0}, "batch_size"),
        ({"outputs": "probabilities"}, "outputs"),
        ({"seed": -1}, "seed"),
        ({"clip_min": 1.0, "clip_max": 0.0}, "clip_min"),
    ],
)
def test_bad_arguments_are_named(arguments, name):
    with pytest.raises(ValueError, match=f"argument `{name}`"):
        AutoAttack(**{"eps": 0.1, **arguments})


@pytest.mark.parametrize(
    ("x", "y", "name"),
    [
        (X[:0], np.zeros(0, int), "x"),
        (X * 255.0, np.zeros(len(X), int), "x"),
        (np.full_like(X, np.nan), np.zeros(len(X), int), "x"),
        (X, np.zeros(3, int), "y"),
        (X, np.full(len(X), 5), "y"),
        (X, np.full(len(X), 0.5), "y"),
    ],
)
def test_bad_data_are_named(x, y, name):
    with pytest.raises(ValueError, match=f"argument `{name}`"):
        AutoAttack(0.1).run(network(), x, y)
