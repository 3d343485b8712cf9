"""ART's attacks accept the estimator, and do on it what they do on ART's own."""

import art.attacks.evasion as evasion
import keras
import numpy as np
import pytest
from art.attacks.attack import EvasionAttack

from lipot.interop.art import auto_attack, classifier
from tests.interop.test_art_gradients import smooth_model

on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="ART writes this attack for TensorFlow."
)

# Other frameworks, other kinds of model (trees, Gaussian processes, speech, video, malware,
# object detection): no estimator of an image classifier in Keras serves them.
FOREIGN = {
    "AdversarialTexturePyTorch",
    "CarliniWagnerASR",
    "DPatch",
    "DecisionTreeAttack",
    "HighConfidenceLowUncertainty",
    "ImperceptibleASR",
    "ImperceptibleASRPyTorch",
    "RobustDPatch",
}

STEPS = {"eps": 0.1, "eps_step": 0.03, "max_iter": 5, "verbose": False}
QUIET = {"verbose": False}
RESTARTED = {**STEPS, "nb_random_init": 1}

# Class and settings of attacks whose result is a function of the estimator and of NumPy's seed.
SAME_AS_ART = {
    "FGSM": (evasion.FastGradientMethod, {"eps": 0.1}),
    "BIM": (evasion.BasicIterativeMethod, STEPS),
    "PGD-inf": (evasion.ProjectedGradientDescentNumpy, STEPS),
    "PGD-2": (evasion.ProjectedGradientDescentNumpy, {**STEPS, "norm": 2, "eps": 0.5}),
    "AutoPGD": (evasion.AutoProjectedGradientDescent, RESTARTED),
    "AutoPGD-ce": (
        evasion.AutoProjectedGradientDescent,
        {**RESTARTED, "loss_type": "cross_entropy"},
    ),
    "AutoPGD-dlr": (
        evasion.AutoProjectedGradientDescent,
        {**RESTARTED, "loss_type": "difference_logits_ratio"},
    ),
    "ACG": (evasion.AutoConjugateGradient, RESTARTED),
    "ReACG": (evasion.RescalingAutoConjugateGradient, RESTARTED),
    "DeepFool": (evasion.DeepFool, {"max_iter": 6, "batch_size": 8, **QUIET}),
    "DeepFool-3": (evasion.DeepFool, {"max_iter": 6, "nb_grads": 3, "batch_size": 8, **QUIET}),
    "CW-2": (
        evasion.CarliniL2Method,
        {"max_iter": 5, "binary_search_steps": 3, "initial_const": 1.0, "batch_size": 8, **QUIET},
    ),
    "EAD": (
        evasion.ElasticNet,
        {"max_iter": 5, "binary_search_steps": 2, "initial_const": 1.0, "batch_size": 8, **QUIET},
    ),
    "NewtonFool": (evasion.NewtonFool, {"max_iter": 5, "batch_size": 8, **QUIET}),
    "JSMA": (evasion.SaliencyMapMethod, {"theta": 0.5, "gamma": 0.2, "batch_size": 8, **QUIET}),
    "Square": (evasion.SquareAttack, {"eps": 0.2, "max_iter": 20, **QUIET}),
    "Zoo": (evasion.ZooAttack, {"max_iter": 3, "nb_parallel": 4, "use_resize": False, **QUIET}),
    "Pixel": (evasion.PixelAttack, {"th": 3, "es": 1, "max_iter": 2, **QUIET}),
}
TENSORFLOW_ONLY = {"AutoPGD-ce", "AutoPGD-dlr"}

# Attacks whose path along the decision boundary the last bit of a prediction decides, or that
# draw from a generator of their own.
ON_THEIR_OWN = {
    "CW-inf": (evasion.CarliniLInfMethod, {"max_iter": 2, "batch_size": 8, **QUIET}),
    "HopSkipJump": (evasion.HopSkipJump, {"max_iter": 2, "max_eval": 50, "init_eval": 5, **QUIET}),
    "Boundary": (evasion.BoundaryAttack, {"targeted": False, "max_iter": 3, **QUIET}),
    "SignOPT": (
        evasion.SignOPTAttack,
        {"targeted": False, "max_iter": 2, "num_trial": 5, "query_limit": 50, "k": 5, **QUIET},
    ),
    "UAP": (evasion.UniversalPerturbation, {"attacker": "fgsm", "max_iter": 2, **QUIET}),
}


@pytest.fixture
def few(batch):
    return batch[0][:5], batch[1][:5]


def generate(attack, *arrays, **kwargs):
    np.random.seed(0)
    return attack.generate(*arrays, **kwargs)


@pytest.mark.parametrize("name", SAME_AS_ART)
def test_attacks_do_what_they_do_on_arts_estimator(name, estimator, reference, few):
    kind, settings = SAME_AS_ART[name]
    adversarial = generate(kind(estimator, **settings), *few)
    expected = generate(kind(reference, **settings), *few)
    assert adversarial.shape == few[0].shape
    np.testing.assert_allclose(adversarial, expected, atol=1e-3)


# On TensorFlow they are compared with ART's above.
ON_OTHER_BACKENDS = sorted(set(SAME_AS_ART) - TENSORFLOW_ONLY)


@pytest.mark.parametrize(
    "name", [] if keras.backend.backend() == "tensorflow" else ON_OTHER_BACKENDS
)
def test_attacks_run_on_every_backend(name, estimator, few):
    kind, settings = SAME_AS_ART[name]
    assert generate(kind(estimator, **settings), *few).shape == few[0].shape


@pytest.mark.parametrize("name", ON_THEIR_OWN)
def test_attacks_on_their_own_find_something(name, estimator, few):
    kind, settings = ON_THEIR_OWN[name]
    x, y = few[0][:3], few[1][:3]
    adversarial = generate(kind(estimator, **settings), x, y)
    assert np.abs(adversarial - x).max() > 0.0
    assert 0.0 <= adversarial.min() <= adversarial.max() <= 1.0


def test_pgd_lowers_the_accuracy_as_much_as_through_art(estimator, reference, digits):
    x, y = digits[0][:200], digits[1][:200]
    settings = {"norm": 2, "eps": 0.5, "eps_step": 0.1, "max_iter": 10, "verbose": False}
    accuracies = []
    for target in (estimator, reference):
        attack = evasion.ProjectedGradientDescent(target, **settings)
        adversarial = generate(attack, x, y)
        accuracies.append(np.mean(reference.predict(adversarial).argmax(axis=1) == y))
    assert 0.1 < accuracies[0] < 0.9
    assert abs(accuracies[0] - accuracies[1]) <= 0.01


def test_momentum_is_supported(estimator, few):
    attack = evasion.MomentumIterativeMethod(estimator, **STEPS)
    adversarial = generate(attack, *few)
    assert np.abs(adversarial - few[0]).max() == pytest.approx(0.1, abs=1e-5)


@pytest.mark.parametrize("kind", [evasion.SimBA, evasion.VirtualAdversarialMethod])
def test_attacks_on_probabilities(kind, estimator, few):
    attack = kind(estimator.with_probabilities(), max_iter=2, verbose=False)
    adversarial = generate(attack, few[0][:2], few[1][:2])
    assert np.abs(adversarial - few[0][:2]).max() > 0.0


@on_tensorflow
def test_attacks_that_differentiate_the_model_themselves(estimator, few):
    patch = evasion.AdversarialPatchTensorFlowV2(
        estimator, patch_shape=(4, 4, 1), max_iter=2, batch_size=8, verbose=False
    )
    values, _ = generate(patch, *few)
    assert values.shape == (4, 4, 1)
    features = evasion.FeatureAdversariesTensorFlowV2(
        estimator, delta=0.1, layer=0, max_iter=3, step_size=0.02, verbose=False
    )
    adversarial = generate(features, few[0], few[0][::-1].copy())
    assert np.abs(adversarial - few[0]).max() > 0.01


@on_tensorflow
def test_auto_attack_as_art_builds_it(estimator, few):
    attack = evasion.AutoAttack(estimator, norm=np.inf, eps=0.1, eps_step=0.1, batch_size=8)
    for part in attack.attacks:
        part.set_params(max_iter=5)
        part.verbose = False
    adversarial = generate(attack, *few)
    assert np.abs(adversarial - few[0]).max() <= 0.1 + 1e-5
    assert attack.best_attacks.shape == (5,)


@on_tensorflow
def test_every_attack_on_images_accepts_the_estimator(estimator):
    refused = {
        name
        for name, kind in vars(evasion).items()
        if isinstance(kind, type)
        and issubclass(kind, EvasionAttack)
        and not EvasionAttack.is_estimator_valid(estimator, kind._estimator_requirements)
    }
    assert refused == FOREIGN


def test_auto_attack_finds_what_arts_finds(estimator, reference, batch):
    settings = {"norm": np.inf, "eps": 0.12, "eps_step": 0.24, "batch_size": 40}
    theirs = evasion.AutoAttack(reference, **settings)
    for part in theirs.attacks:
        part.set_params(max_iter=10)
        part.verbose = False
        part.nb_random_init = part.nb_restarts = 1
    ours = auto_attack(estimator, norm=np.inf, eps=0.12, max_iter=10, restarts=1, queries=10)
    ours.attacks[2].set_params(max_iter=10)
    robust = [
        np.mean(reference.predict(generate(a, *batch)).argmax(axis=1) == batch[1].argmax(axis=1))
        for a in (ours, theirs)
    ]
    assert 0.1 < robust[0] < 0.9
    assert abs(robust[0] - robust[1]) <= 0.01


def test_auto_attack_stays_in_its_ball(estimator, batch):
    x, y = batch
    adversarial = generate(
        auto_attack(estimator, norm=2, eps=0.5, max_iter=10, restarts=1, queries=10), x, y
    )
    distances = np.linalg.norm((adversarial - x).reshape(len(x), -1), axis=1)
    assert distances.max() <= 0.5 * (1 + 1e-3)
    assert np.mean(estimator.predict(adversarial).argmax(axis=1) == y.argmax(axis=1)) < 0.9


def test_auto_attack_takes_the_names_of_norms(estimator):
    for name, norm in (("linf", np.inf), ("L2", 2), (1, 1), ("l1", 1)):
        attack = auto_attack(estimator, norm=name, eps=0.1)
        assert {attack.norm, *(part.norm for part in attack.attacks if hasattr(part, "norm"))} == {
            norm
        }
    with pytest.raises(ValueError, match="argument `norm`"):
        auto_attack(estimator, norm="l3", eps=0.1)


def test_auto_attack_on_two_classes_and_few_pixels():
    estimator = classifier(smooth_model(1), clip_values=(-1.0, 1.0))
    attack = auto_attack(estimator, norm=2, eps=1.0, max_iter=5, restarts=1)
    assert [type(part).__name__ for part in attack.attacks] == [
        "AutoProjectedGradientDescent",
        "DeepFool",
    ]
    x = np.random.default_rng(0).uniform(-0.5, 0.5, size=(6, 6)).astype("float32")
    y = estimator.predict(x).argmax(axis=1)
    adversarial = generate(attack, x, y)
    assert np.mean(estimator.predict(adversarial).argmax(axis=1) == y) < 1.0
