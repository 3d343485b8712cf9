import warnings

import keras
import numpy as np
import pytest
from keras import ops

from lipot import backend
from lipot.attacks import FGSM, PGD, TRADESPGD, AutoAttack
from lipot.attacks.ball import Ball
from lipot.math.divergences import (
    crossentropy,
    kl_divergence,
    one_hot_labels,
    steep_crossentropy,
)
from tests.helpers import check_serializable

CLASSES = [PGD, FGSM, TRADESPGD]
X = np.random.default_rng(0).uniform(size=(6, 4, 4, 1)).astype("float32")
Y = np.array([0, 1, 2, 0, 1, 2])


def small_network(normalized=False):
    layers = [keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(16, "tanh")]
    layers += [keras.layers.BatchNormalization()] if normalized else []
    return keras.Sequential([*layers, keras.layers.Dense(3)])


def shift(x_adv, norm):
    flat = (ops.convert_to_numpy(x_adv) - X).reshape(len(X), -1)
    return np.abs(flat).max(axis=1) if norm == "inf" else np.linalg.norm(flat, axis=1)


@pytest.mark.parametrize("norm", ["inf", 2])
@pytest.mark.parametrize("scale", [1e-30, 1e-13, 1e-8, 1.0, 1e10, 1e25])
def test_logits_of_any_scale_are_attacked_alike(norm, scale):
    dense = keras.layers.Dense(3, use_bias=False)
    model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), dense])
    kernel = np.random.default_rng(1).normal(size=(16, 3))
    dense.set_weights([scale * kernel])
    attack = PGD(0.3, norm=norm, random_start=False, clip_min=None, clip_max=None)
    np.testing.assert_allclose(shift(attack(model, X, Y), norm), 0.3, rtol=1e-4)


@pytest.mark.parametrize("norm", ["inf", 2])
@pytest.mark.parametrize("attack", [PGD, FGSM])
def test_an_infinite_slope_leads_somewhere(attack, norm):
    def forward(x):
        # Infinite where a pixel is black, and NaN where nothing depends on it.
        roots = ops.sqrt(x[:, :, 0, 0]) * ops.array([1.0, 1.0, 1.0, 0.0])
        return ops.stack([-ops.sum(roots, axis=1), ops.sum(roots, axis=1)], axis=1)

    x = np.full((2, 4, 1, 1), 0.5, "float32")
    x[:, ::3] = 0.0
    x_adv = ops.convert_to_numpy(attack(0.1, norm=norm, random_start=False)(forward, x, [0, 1]))
    assert np.all(np.isfinite(x_adv)) and np.all(x_adv[:, 3] == 0.0)
    assert x_adv[0, 0, 0, 0] > 0.04 and np.all(x_adv[1, 1:3] < 0.46)


@pytest.mark.parametrize("norm", ["inf", 2])
def test_a_batch_without_examples_is_attacked(norm):
    assert PGD(0.3, norm=norm)(small_network(), X[:0], Y[:0]).shape == (0, 4, 4, 1)


@pytest.mark.parametrize("attack", CLASSES)
@pytest.mark.parametrize("norm", ["inf", 2])
@pytest.mark.parametrize("random_start", [False, True])
def test_result_stays_in_the_ball_and_in_the_data_range(attack, norm, random_start):
    extra = {} if attack is TRADESPGD else {"random_start": random_start}
    x_adv = attack(0.3, norm=norm, **extra)(small_network(), X, Y)
    assert shift(x_adv, norm).max() <= 0.3 + 1e-5
    assert shift(x_adv, norm).min() > 0.01
    assert float(ops.min(x_adv)) >= 0.0 and float(ops.max(x_adv)) <= 1.0


@pytest.mark.parametrize("norm", ["inf", 2])
def test_pgd_raises_the_crossentropy_more_than_fgsm_and_noise(norm):
    network, labels = small_network(), one_hot_labels(Y, 3)

    def loss(x):
        return float(ops.mean(crossentropy(labels, network(x))))

    pgd = loss(PGD(0.3, steps=20, norm=norm)(network, X, Y))
    fgsm = loss(FGSM(0.3, norm=norm)(network, X, Y))
    noise = loss(PGD(0.3, norm=norm).random_point(ops.convert_to_tensor(X)))
    assert pgd >= fgsm - 1e-4 > noise > 0


def test_pgd_on_a_linear_model_is_the_known_optimum():
    # For logits W x the worst l-inf point of two classes is x + eps sign(w_1 - w_0) for y = 0.
    weights = np.random.default_rng(1).normal(size=(5, 2)).astype("float32")
    x = np.full((1, 5), 0.5, "float32")
    x_adv = PGD(0.1, 0.05, 10)(lambda z: ops.matmul(z, weights), x, np.array([0]))
    expected = x + 0.1 * np.sign(weights[:, 1] - weights[:, 0])
    np.testing.assert_allclose(ops.convert_to_numpy(x_adv), expected, atol=1e-6)


def standing(attack, scale):
    """The share of right predictions that stay so, of a linear model with logits times `scale`."""
    rng = np.random.default_rng(3)
    weights = rng.normal(size=(8, 2)).astype("float32")
    x = rng.uniform(0.35, 0.65, size=(200, 8)).astype("float32")
    y = np.argmax(x @ weights, axis=1)
    forward = lambda z: scale * ops.matmul(z, weights)  # noqa: E731
    x_adv = attack(forward, x, y)
    return np.mean(np.argmax(ops.convert_to_numpy(forward(x_adv)), axis=1) == y)


@pytest.mark.parametrize("norm", ["inf", 2])
def test_logits_of_every_scale_are_attacked_alike(norm):
    """At 1e3 the cross-entropy of these logits has a gradient of exactly zero."""
    found = [standing(PGD(0.05, norm=norm, seed=0), scale) for scale in (1.0, 1e3, 1e6)]
    assert 0.05 < found[0] < 0.95
    assert found[1:] == pytest.approx([found[0]] * 2, abs=0.01)


@pytest.mark.parametrize("direction", ["trades", "got"])
def test_sure_predictions_are_attacked_as_by_pgd(direction):
    expected = standing(PGD(0.05, seed=0), 1e6)
    found = standing(TRADESPGD(0.05, direction=direction, seed=0), 1e6)
    assert found == pytest.approx(expected, abs=0.02)


def test_directions_of_trades_differ():
    attacks = [TRADESPGD(0.3, direction=direction, seed=0) for direction in ("trades", "got")]
    clean, network = X, small_network()
    first, second = (ops.convert_to_numpy(attack(network, clean, None)) for attack in attacks)
    pairs = [(network(clean), network(x)) for x in (first, second)]
    backward = [float(ops.mean(kl_divergence(attacked, plain))) for plain, attacked in pairs]
    assert backward[1] >= backward[0]
    with pytest.raises(ValueError, match="`direction`"):
        TRADESPGD(0.3, direction="mart")


def test_steep_crossentropy_has_the_direction_of_the_crossentropy():
    logits = np.random.default_rng(5).normal(size=(6, 4)).astype("float32")

    def gradients(labels):
        labels = ops.convert_to_tensor(labels)
        return [
            ops.convert_to_numpy(
                backend.value_and_input_gradient(lambda z: ops.sum(function(labels, z)), logits)[1]  # noqa: B023
            )
            for function in (crossentropy, steep_crossentropy)
        ]

    plain, steep = gradients(np.eye(4, dtype="float32")[[0, 1, 2, 3, 0, 1]])
    scales = np.linalg.norm(plain, axis=1, keepdims=True) / np.linalg.norm(
        steep, axis=1, keepdims=True
    )
    np.testing.assert_allclose(steep * scales, plain, atol=1e-6)
    plain, steep = gradients(np.full((6, 4), 0.25, "float32"))
    np.testing.assert_array_equal(steep, plain)


@pytest.mark.parametrize("attack", CLASSES)
def test_inputs_outside_the_data_range_are_refused(attack):
    with pytest.raises(ValueError, match="clip_max=1.0.*from 0 to 254"):
        attack(0.3)(small_network(), 255.0 * np.round(X) * 254 / 255, Y)
    with pytest.raises(ValueError, match="clip_min=0.0.*from -1"):
        attack(0.3)(small_network(), np.round(X) - 1.0, Y)
    attack(8.0, clip_max=255.0)(small_network(), 255.0 * X, Y)
    attack(0.3, clip_min=None, clip_max=None)(small_network(), 255.0 * X - 9.0, Y)
    with pytest.raises(ValueError, match="`x`. Expected numbers. Received: NaN"):
        attack(0.3)(small_network(), np.where(X > 0.5, np.nan, X), Y)
    # Rounding is no other range.
    attack(0.3)(small_network(), np.round(X) * 1.0001, Y)


def test_l2_step_follows_the_gradient():
    weights = np.random.default_rng(2).normal(size=(5, 2)).astype("float32")
    x = np.full((1, 5), 0.5, "float32")
    x_adv = FGSM(0.1, norm=2)(lambda z: ops.matmul(z, weights), x, np.array([0]))
    direction = weights[:, 1] - weights[:, 0]
    expected = x + 0.1 * direction / np.linalg.norm(direction)
    np.testing.assert_allclose(ops.convert_to_numpy(x_adv), expected, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_a_gradient_of_zero_leads_nowhere(dtype):
    gradient = ops.convert_to_tensor([[0.0, 0.0], [6e-5, -8e-5]], dtype)
    for norm, step in (("inf", [1.0, -1.0]), (2, [0.6, -0.8])):
        found = ops.cast(Ball(norm, 0.0, 1.0).steepest(gradient), "float32")
        np.testing.assert_allclose(ops.convert_to_numpy(found), [[0.0, 0.0], step], atol=5e-3)


def test_trades_form_raises_the_divergence():
    network = small_network()
    x_adv = TRADESPGD(0.3, steps=10)(network, X, None)
    noise = PGD(0.3).random_point(ops.convert_to_tensor(X))
    found, by_chance = (ops.mean(kl_divergence(network(X), network(z))) for z in (x_adv, noise))
    assert float(found) > 2 * float(by_chance)


def test_random_points_fill_the_l2_ball():
    x = ops.zeros((4000, 2))
    attack = PGD(2.0, norm=2, clip_min=None, clip_max=None, seed=0)
    radius = np.linalg.norm(ops.convert_to_numpy(attack.random_point(x)), axis=1)
    # In two dimensions half of the ball's area lies within eps / sqrt(2).
    assert radius.max() <= 2.0 + 1e-5
    assert np.mean(radius < np.sqrt(2)) == pytest.approx(0.5, abs=0.03)


def test_attack_changes_no_batch_statistics_and_no_weight():
    network = small_network(normalized=True)
    before = network.get_weights()
    PGD(0.3)(lambda z: network(z, training=False), X, Y)
    for old, new in zip(before, network.get_weights()):
        np.testing.assert_array_equal(old, new)


def test_result_is_cut_from_differentiation():
    network = small_network()

    def loss(x):
        return ops.sum(PGD(0.3, random_start=False)(network, x, Y))

    _, gradient = backend.value_and_input_gradient(loss, X)
    assert not ops.convert_to_numpy(gradient).any()


def test_same_seed_same_attack():
    network = small_network()
    first, again, other = (
        ops.convert_to_numpy(PGD(0.3, seed=seed)(network, X, Y)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0


def test_compiled_attack_equals_the_eager_one():
    network, attack = small_network(), PGD(0.3, random_start=False)
    eager = ops.convert_to_numpy(attack(network, X, Y))
    compiled = backend.compile_over(network, attack)(X, Y)
    np.testing.assert_allclose(ops.convert_to_numpy(compiled), eager, atol=1e-5)


@pytest.mark.parametrize("attack", CLASSES)
def test_round_trip(attack):
    check_serializable(attack(0.25, norm=2, clip_min=None, seed=3))


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"eps": 0.0}, "eps"),
        ({"eps": float("nan")}, "eps"),
        ({"eps": 0.1, "norm": 1}, "norm"),
        ({"eps": 0.1, "clip_min": 1.0, "clip_max": 0.0}, "clip_min"),
        ({"eps": 0.1, "clip_min": "0"}, "clip_min"),
        ({"eps": 0.1, "clip_min": float("nan")}, "clip_min"),
        ({"eps": 0.1, "clip_max": float("inf")}, "clip_max"),
        ({"eps": 0.1, "steps": 0}, "steps"),
        ({"eps": 0.1, "step_size": -0.1}, "step_size"),
        ({"eps": 0.1, "random_start": "yes"}, "random_start"),
    ],
)
def test_bad_arguments_are_named(arguments, name):
    with pytest.raises(ValueError, match=f"argument `{name}`"):
        PGD(**arguments)


@pytest.mark.parametrize("attack", [PGD, AutoAttack])
def test_a_range_for_each_channel_is_sent_into_the_model(attack):
    with pytest.raises(ValueError, match="`clip_max`.*Normalization.*Received: 3 values"):
        attack(0.1, clip_min=0, clip_max=np.ones(3))
    assert attack(0.1, clip_min=-1, clip_max=np.float32(2)).get_config()["clip_max"] == 2.0


def test_what_an_attack_settles_itself_is_no_argument():
    with pytest.raises(TypeError, match="random_start"):
        TRADESPGD(0.1, random_start=False)
    with pytest.raises(TypeError, match="steps"):
        FGSM(0.1, steps=3)


def test_names_of_norms_are_read_and_stored_as_one():
    for name, norm in (("L2", 2), ("linf", "inf"), (np.inf, "inf")):
        for attack in (PGD(0.1, norm=name), AutoAttack(0.1, norm=name)):
            assert attack.norm == norm and attack.get_config()["norm"] == norm


def test_fast_training_starts_at_random_and_steps_further():
    """With a constant slope the step is added to the start, and both are cut off at the ball."""
    forward = lambda z: ops.stack([z[:, 0], -z[:, 0]], axis=1)  # noqa: E731
    x = np.full((400, 1), 0.5, "float32")
    attack = FGSM(0.1, step_size=0.125, random_start=True, seed=0)
    moved = ops.convert_to_numpy(attack(forward, x, np.zeros(400, int)))[:, 0] - 0.5
    # A start s in [-0.1, 0.1] ends at max(s - 0.125, -0.1), inside in three cases of eight.
    assert moved.min() == pytest.approx(-0.1) and moved.max() <= -0.025 + 1e-6
    assert 0.25 < np.mean(moved > -0.1 + 1e-6) < 0.5


def test_arguments_in_another_order_and_too_few_labels_are_named():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    x = np.full((10, 4), 0.5, "float32")
    attack = PGD(0.1, steps=1)
    with pytest.raises(ValueError, match="`y`. Expected one label for each of the 10 inputs"):
        attack(model, x, np.zeros(5, "int32"))
    with pytest.raises(ValueError, match="`forward`. Expected a callable"):
        attack(x, model, np.zeros(10, "int32"))


def test_a_radius_of_pixels_on_data_in_the_unit_cube_is_questioned():
    for attack in (PGD, FGSM, TRADESPGD, AutoAttack):
        with pytest.warns(UserWarning, match="eps=8 is more than all of that") as warned:
            attack(eps=8)
        assert warned[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PGD(eps=8, clip_max=255.0)
        PGD(eps=8, norm=2)
        PGD(eps=8, clip_min=None, clip_max=None)
        PGD(eps=1.0)
        PGD(eps=8 / 255, clip_max=255.0)
    # What measures would find such a radius harmless.
    with pytest.warns(UserWarning, match="less than 0.001 of that; 8/255 of it would be 8"):
        AutoAttack(eps=8 / 255, clip_max=255.0)
