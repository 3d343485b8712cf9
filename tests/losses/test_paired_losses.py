import keras
import numpy as np
import pytest
from keras import ops

from lipot import backend, losses
from lipot.attacks import Attack
from lipot.losses import PairedBatch
from lipot.models.adversarial_model import AdversarialModel
from tests.public_classes import make, public_classes

RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 5)).astype("float32")
SHIFT = 0.3 * RNG.normal(size=X.shape).astype("float32")
Y = np.array([0, 1, 2, 0, 1, 2, 2, 2])
WEIGHTS = RNG.normal(size=(5, 3)).astype("float32")
BIAS = np.array([0.1, -0.2, 0.3], "float32")
EVERY_LOSS = public_classes("losses", losses.PairedLoss)


def linear(x):
    return ops.add(ops.matmul(x, WEIGHTS), BIAS), x


def batch_of(x=X, x_adv=None, y=Y, network=linear):
    return PairedBatch(network, x, y, X + SHIFT if x_adv is None else x_adv)


def values(loss, batch):
    if not loss.built:
        loss.build((None, 5))
    return ops.convert_to_numpy(loss(batch))


def softmax(z):
    exponential = np.exp(z - z.max(axis=1, keepdims=True))
    return exponential / exponential.sum(axis=1, keepdims=True)


CLEAN = softmax(X @ WEIGHTS + BIAS)
ADV = softmax((X + SHIFT) @ WEIGHTS + BIAS)
ROWS = np.arange(len(Y))
KL = np.sum(CLEAN * np.log(CLEAN / ADV), axis=1)


def test_adversarial_crossentropy_by_hand():
    loss = losses.AdversarialCrossentropy(alpha=2.0, clean_weight=0.5)
    expected = -2.0 * np.log(ADV[ROWS, Y]) - 0.5 * np.log(CLEAN[ROWS, Y])
    np.testing.assert_allclose(values(loss, batch_of()), expected, rtol=1e-5)


def test_clean_pass_is_not_run_when_no_term_asks_for_it():
    calls = []

    def counting(x):
        calls.append(x)
        return linear(x)

    values(losses.AdversarialCrossentropy(), batch_of(network=counting))
    assert len(calls) == 1


def test_trades_by_hand():
    expected = -np.log(CLEAN[ROWS, Y]) + 6.0 * KL
    np.testing.assert_allclose(values(losses.TRADES(), batch_of()), expected, rtol=1e-4)


def test_trades_in_the_direction_of_got():
    backward = np.sum(ADV * np.log(ADV / CLEAN), axis=1)
    assert np.abs(backward - KL).max() > 0.01
    loss = losses.TRADES(alpha=2.0, direction="got")
    expected = -np.log(CLEAN[ROWS, Y]) + 2.0 * backward
    np.testing.assert_allclose(values(loss, batch_of()), expected, rtol=1e-4)


@pytest.mark.parametrize("smoothing", [1e-6, 0.1])
def test_mart_keeps_its_margin_with_smoothed_labels(smoothing):
    labels = (1.0 - smoothing) * np.eye(3)[Y] + smoothing / 3
    others = ADV.copy()
    others[ROWS, Y] = 0.0
    boosted = -np.sum(labels * np.log(ADV), axis=1) - np.log(1.0 - others.max(axis=1))
    expected = boosted + 5.0 * KL * (1.0 - np.sum(labels * CLEAN, axis=1))
    found = values(losses.MART(), batch_of(y=labels.astype("float32")))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_alp_by_hand():
    distance = np.linalg.norm(SHIFT @ WEIGHTS, axis=1)
    expected = -0.3 * np.log(ADV[ROWS, Y]) - 0.7 * np.log(CLEAN[ROWS, Y]) + 0.2 * distance
    loss = losses.ALP(alpha=0.3, lambda_=0.2)
    np.testing.assert_allclose(values(loss, batch_of()), expected, rtol=1e-4)


def test_mart_by_hand():
    others = ADV.copy()
    others[ROWS, Y] = 0.0
    boosted = -np.log(ADV[ROWS, Y]) - np.log(1.0 - others.max(axis=1))
    expected = boosted + 5.0 * KL * (1.0 - CLEAN[ROWS, Y])
    np.testing.assert_allclose(values(losses.MART(), batch_of()), expected, rtol=1e-4)


@pytest.mark.parametrize("lead", [5.0, 16.0, 1e4])
def test_mart_pushes_a_sure_mistake_however_sure_it_is(lead):
    logits = ops.convert_to_tensor([[0.0, lead, 0.0]])

    def loss(z):
        return losses.MART(lambda_=0.0)(PairedBatch(lambda x: (x, x), z, np.array([0]), z))[0]

    value, gradient = backend.value_and_input_gradient(loss, logits)
    # With p = 1 / (e^l + 2): the cross-entropy -log p, and -log(1 - (1 - 2 p)) = -log(2 p).
    share = 1.0 / (np.exp(min(lead, 500.0)) + 2.0)
    expected = 2.0 * (lead + np.log1p(2.0 * np.exp(-lead))) - np.log(2.0)
    np.testing.assert_allclose(float(value), expected, rtol=1e-5)
    slope = np.array([-1.5 + 2.0 * share, 2.0 - 4.0 * share, -0.5 + 2.0 * share])
    # PyTorch takes it from exponentials of differences of logits, which hold their digits alone.
    rounding = max(1e-4, lead * 2.0**-23)
    np.testing.assert_allclose(ops.convert_to_numpy(gradient)[0], slope, atol=rounding)


def test_adversarial_loss_is_the_keras_loss_of_the_adversarial_logits():
    loss = losses.AdversarialLoss(keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    expected = -np.log(ADV[ROWS, Y])
    np.testing.assert_allclose(values(loss, batch_of()), expected, rtol=1e-4)


def test_random_jacobian_is_the_squared_frobenius_norm_on_average():
    # The Jacobian of the linear network is W^T for every example.
    loss = losses.RandomJacobian(seed=3)
    x = np.zeros((4000, 5), "float32")
    draws = values(loss, PairedBatch(linear, x, np.zeros(4000, int), x))
    error = draws.std() / np.sqrt(len(draws))
    assert error < 0.05 * draws.mean()
    assert abs(draws.mean() - np.sum(WEIGHTS**2)) < 4 * error


def test_optimal_jacobian_by_hand():
    # One line along (1, 0): every example moves along the first logit, or not at all.
    loss = losses.OptimalJacobian(projections=1)
    batch = batch_of()
    line = np.array([[1.0], [0.0], [0.0]], "float32")
    batch._sliced[1] = losses.paired.transport.sliced_wasserstein(
        batch.logits_adv, batch.logits, line
    )
    expected = 3 * np.sum(WEIGHTS[:, 0] ** 2)
    np.testing.assert_allclose(values(loss, batch), expected, rtol=1e-5)


def test_jacobian_penalty_trains_the_weights():
    layer = keras.layers.Dense(3, activation="tanh")
    layer.build((None, 5))
    loss = losses.RandomJacobian(seed=0)
    kernel = ops.convert_to_numpy(layer.kernel)
    direction = np.random.default_rng(4).normal(size=kernel.shape).astype("float32")

    def penalty(weights):
        # The same seed for every call, hence the same random directions.
        loss.seed_generator.state.assign([0, 0])
        network = lambda x: (ops.tanh(ops.matmul(x, weights)), None)  # noqa: E731
        return ops.mean(loss(PairedBatch(network, X, Y, X)))

    _, gradient = backend.value_and_input_gradient(penalty, kernel)
    ahead, behind = penalty(kernel + 1e-2 * direction), penalty(kernel - 1e-2 * direction)
    expected = (float(ahead) - float(behind)) / 2e-2
    assert np.sum(ops.convert_to_numpy(gradient) * direction) == pytest.approx(expected, rel=1e-2)


def test_movements_are_computed_once_for_both_halves_of_otjr():
    batch = batch_of()
    sliced, jacobian = losses.SlicedWasserstein(seed=1), losses.OptimalJacobian(seed=2)
    values(sliced, batch), values(jacobian, batch)
    assert list(batch._sliced) == [32]
    values(losses.OptimalJacobian(projections=8), batch)
    assert list(batch._sliced) == [32, 8]


class Shift(Attack):
    def search(self, forward, x, y):
        return x + ops.convert_to_tensor(SHIFT)


def test_the_optimizer_ascends_the_potential_of_got():
    loss = losses.GOT(weight=1.0)
    classifier = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)])
    shift = Shift(1.0, clip_min=None, clip_max=None)
    robust = AdversarialModel(classifier, shift, [loss])
    classifier.set_weights([WEIGHTS, BIAS])
    start = ops.convert_to_numpy(loss.potential)
    direction = RNG.normal(size=start.shape).astype("float32")

    def objective(potential):
        loss.potential.assign(potential)
        return float(ops.mean(loss(batch_of())))

    slope = (objective(start + 1e-2 * direction) - objective(start - 1e-2 * direction)) / 2e-2
    loss.potential.assign(start)
    # A descent step of rate one subtracts the gradient: to ascend is to see minus the slope.
    robust.compile(keras.optimizers.SGD(1.0))
    robust.train_on_batch(X, Y)
    step = ops.convert_to_numpy(loss.potential) - start
    assert np.sum(step * direction) == pytest.approx(slope, rel=2e-2)


def test_a_network_cannot_lower_got_by_inflating_its_features():
    # The cosine cost ignores the length of the features: only the potential could reward it.
    loss = losses.GOT(weight=1.0)
    loss.build((None, 5))
    loss.potential.assign(RNG.normal(size=(5, 1)))

    def term(scale):
        batch = batch_of(network=lambda x: (linear(x)[0], scale * ops.convert_to_tensor(x)))
        return ops.sum(loss(batch))

    _, gradient = backend.value_and_input_gradient(term, ops.ones(()))
    assert float(gradient) == pytest.approx(0.0, abs=1e-4)


def test_label_matching_only_allows_pairs_of_one_label():
    free, matched = losses.GOT(), losses.GOT(label_matching=True)
    for loss in (free, matched):
        loss.build((None, 5))
        loss.potential.assign(np.zeros((5, 1)))
    assert np.all(values(matched, batch_of()) >= values(free, batch_of()) - 1e-6)
    one_class = batch_of(y=np.ones(8, int))
    np.testing.assert_allclose(values(matched, one_class), values(free, one_class), rtol=1e-5)


@pytest.mark.parametrize("name", EVERY_LOSS)
@pytest.mark.parametrize("case", ["one example", "no movement", "one class", "zero logits"])
def test_degenerate_batches_give_finite_values_and_gradients(name, case):
    loss = make("losses", name)
    x, x_adv, y = X, X + SHIFT, Y
    if case == "one example":
        x, x_adv, y = X[:1], X[:1] + SHIFT[:1], Y[:1]
    elif case == "no movement":
        x_adv = X.copy()
    elif case == "one class":
        y = np.ones(8, int)
    else:
        x, x_adv = np.zeros_like(X), np.zeros_like(X)
    loss.build((None, 5))
    if "hkr" in type(getattr(loss, "loss", None)).__name__.lower():
        y = np.eye(3, dtype="float32")[y]

    def total(weights):
        def network(z):
            return ops.tanh(ops.matmul(z, weights)), z

        return ops.sum(loss(PairedBatch(network, ops.convert_to_tensor(x), y, x_adv)))

    value, gradient = backend.value_and_input_gradient(total, WEIGHTS)
    assert np.isfinite(float(value))
    assert np.isfinite(ops.convert_to_numpy(gradient)).all()


def test_nothing_moves_nothing_costs():
    same = batch_of(x_adv=X.copy())
    for loss in (losses.SlicedWasserstein(), losses.OptimalJacobian()):
        np.testing.assert_array_equal(values(loss, same), 0.0)


def test_label_out_of_range_makes_the_loss_nan():
    batch = batch_of(y=np.array([0, 1, 2, 0, 1, 2, 2, 3]))
    result = values(losses.AdversarialCrossentropy(), batch)
    assert np.isnan(result[-1]) and np.isfinite(result[:-1]).all()


@pytest.mark.parametrize(
    ("create", "name"),
    [
        (lambda: losses.AdversarialCrossentropy(alpha=-1.0), "alpha"),
        (lambda: losses.AdversarialCrossentropy(clean_weight="1"), "clean_weight"),
        (lambda: losses.AdversarialLoss("mse"), "loss"),
        (lambda: losses.TRADES(weight=float("nan")), "weight"),
        (lambda: losses.TRADES(direction="mart"), "direction"),
        (lambda: losses.ALP(alpha=1.5), "alpha"),
        (lambda: losses.MART(lambda_=None), "lambda_"),
        (lambda: losses.SinkhornDivergence(eps=0), "eps"),
        (lambda: losses.SinkhornDivergence(iterations=0), "iterations"),
        (lambda: losses.GOT(theta=-0.1), "theta"),
        (lambda: losses.GOT(feature_cost="cos"), "feature_cost"),
        (lambda: losses.GOT(label_cost="l2"), "label_cost"),
        (lambda: losses.SlicedWasserstein(projections=1.5), "projections"),
        (lambda: losses.OptimalJacobian(projections=0), "projections"),
    ],
)
def test_bad_arguments_are_named(create, name):
    with pytest.raises(ValueError, match=f"argument `{name}`"):
        create()


def test_a_paired_loss_in_compile_says_where_it_belongs():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.compile("sgd", losses.TRADES())
    with pytest.raises(TypeError, match="among the losses of a lipot.AdversarialModel"):
        model.fit(np.ones((4, 4)), np.eye(4, 3), verbose=0)
