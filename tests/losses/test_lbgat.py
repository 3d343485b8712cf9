import keras
import numpy as np
import pytest

from lipot import losses
from lipot.attacks import FGSM
from lipot.callbacks import AdversarialWeightPerturbation
from lipot.losses import PairedBatch
from lipot.models import AdversarialModel

# Tracing takes longer than the steps; what is compiled is compiled in test_adversarial_model.py.
QUICK = {"jit_compile": "auto"} if keras.backend.backend() == "jax" else {"run_eagerly": True}
RNG = np.random.default_rng(0)
X = RNG.uniform(0.3, 0.7, size=(12, 5)).astype("float32")
SHIFT = 0.2 * RNG.normal(size=X.shape).astype("float32")
Y = np.arange(12) % 3
STUDENT = RNG.normal(size=(5, 3)).astype("float32")


def network(*layers):
    return keras.Sequential([keras.Input((5,)), *layers, keras.layers.Dense(3)])


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("frozen", [False, True])
def test_the_value_is_that_of_the_authors_by_hand(frozen):
    teacher = network()
    kernel, bias = teacher.get_weights()
    loss = losses.LBGAT(teacher, beta=6.0, frozen=frozen)
    batch = PairedBatch(lambda z: (keras.ops.matmul(z, STUDENT), None), X, Y, X + SHIFT)
    guide, clean, attacked = X @ kernel + bias, X @ STUDENT, (X + SHIFT) @ STUDENT
    p, q = softmax(clean), softmax(attacked)
    expected = np.mean((attacked - guide) ** 2, axis=1)
    expected = expected + 6.0 * np.sum(p * np.log(p / q), axis=1)
    if not frozen:
        expected = expected - np.log(softmax(guide)[np.arange(12), Y])
    np.testing.assert_allclose(keras.ops.convert_to_numpy(loss(batch)), expected, rtol=1e-4)


def trained(loss, *callbacks, attack=None):
    keras.utils.set_random_seed(1)
    student = network()
    robust = AdversarialModel(student, attack, [loss])
    robust.compile(keras.optimizers.SGD(0.5), **QUICK)
    before = student.get_weights(), loss.teacher.get_weights()
    robust.fit(X, Y, batch_size=12, verbose=0, callbacks=list(callbacks))
    return before, (student.get_weights(), loss.teacher.get_weights())


def test_a_step_moves_both_networks_along_the_gradients_by_hand():
    before, after = trained(losses.LBGAT(network()))
    (student, b), (teacher, c) = before
    gap = X @ student + b - X @ teacher - c
    slope = 2.0 * gap / gap.size
    wrong = (softmax(X @ teacher + c) - np.eye(3)[Y]) / 12
    np.testing.assert_allclose(after[0][0], student - 0.5 * X.T @ slope, rtol=1e-3, atol=1e-5)
    step = X.T @ (wrong - slope)
    np.testing.assert_allclose(after[1][0], teacher - 0.5 * step, rtol=1e-3, atol=1e-5)


def test_a_frozen_teacher_keeps_weights_and_statistics():
    teacher = network(keras.layers.BatchNormalization())
    before, after = trained(losses.LBGAT(teacher, frozen=True), attack=FGSM(0.1))
    for old, new in zip(before[1], after[1]):
        np.testing.assert_array_equal(old, new)
    assert np.abs(after[0][0] - before[0][0]).max() > 0


def test_a_trained_teacher_trains_under_weight_perturbation_and_is_saved(tmp_path):
    teacher = network(keras.layers.BatchNormalization())
    before, after = trained(
        losses.LBGAT(teacher, beta=1.0), AdversarialWeightPerturbation(), attack=FGSM(0.1)
    )
    # The kernel, and the moving mean of the normalization.
    for index in (0, 2):
        assert np.abs(after[1][index] - before[1][index]).max() > 0
    robust = AdversarialModel(network(), None, [losses.LBGAT(teacher)])
    robust.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    for old, new in zip(teacher.get_weights(), loaded.terms[0].teacher.get_weights()):
        np.testing.assert_array_equal(old, new)


def test_bad_teachers_are_named():
    softmaxed = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3, "softmax")])
    for teacher in ("network", softmaxed, keras.Sequential([keras.layers.Dense(3)])):
        with pytest.raises(ValueError, match="argument `teacher`"):
            losses.LBGAT(teacher)
    with pytest.raises(ValueError, match="returns logits. Received: at its end the layer .*dense"):
        losses.LBGAT(softmaxed)
    wide = keras.Sequential([keras.Input((5,)), keras.layers.Dense(4)])
    with pytest.raises(ValueError, match="as many logits as the classifier's 3. Received: 4"):
        trained(losses.LBGAT(wide))
