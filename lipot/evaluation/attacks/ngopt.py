"""The Carlini-Wagner attack without gradients, by Nevergrad's NGOpt."""

import importlib.util
import warnings

import numpy as np
from art.attacks.attack import EvasionAttack
from art.estimators.classification.classifier import ClassifierMixin
from art.estimators.estimator import BaseEstimator
from art.utils import check_and_transform_label_format

from lipot import checks, extras
from lipot.evaluation.attacks.spec import EXHAUSTIVE, AttackSpec


class NGOptCarlini(EvasionAttack):
    r"""Minimizes the objective of Carlini and Wagner with a gradient-free optimizer.

    $$ |\delta|^2 + c \max\left(0,\; f_y(x + \delta) - \max_{j \ne y} f_j(x + \delta)
       + \kappa \right) $$

    Every input has an optimizer of its own, which sees outputs only; they ask in step, so that
    the classifier answers whole batches. The nearest misclassified point that an optimizer met
    is returned, or the input itself where it met none.

    Args:
        estimator: ART classifier, as from `lipot.interop.art.classifier`.
        sigma: Positive float, standard deviation of the mutations.
        budget: Positive int, queries for each input.
        constant: Positive float c, the weight of the misclassification.
        confidence: Non-negative float kappa, the margin to misclassify by.
        seed: Seed of the optimizers.

    Reference:
        Carlini and Wagner, "Adversarial examples are not easily detected", 2017; Gai, Wang and
        Zhang, "OTAD", section V.B: budget 850 and sigma 0.1, 0.15, 0.2 on MNIST.
    """

    attack_params = EvasionAttack.attack_params + [
        "sigma",
        "budget",
        "constant",
        "confidence",
        "seed",
    ]
    _estimator_requirements = (BaseEstimator, ClassifierMixin)

    def __init__(self, estimator, *, sigma=0.1, budget=850, constant=100.0, confidence=0.0, seed=0):
        super().__init__(estimator=estimator)
        self.sigma = sigma
        self.budget = budget
        self.constant = constant
        self.confidence = confidence
        self.seed = seed
        self._check_params()

    def generate(self, x, y=None, **kwargs):
        """Searches for misclassified points.

        Args:
            x: Inputs, array `(n, ...)`.
            y: True labels, integers or one-hot; the predictions by default.
            **kwargs: Ignored, as in ART.

        Returns:
            Array shaped like `x`.
        """
        x = np.asarray(x, "float32")
        labels = self._labels(x, y)
        searches = [self._optimizer(x[0], self.seed + row) for row in range(len(x))]
        best = x.copy()
        shortest = np.full(len(x), np.inf)
        for _ in range(self.budget):
            asked = [search.ask() for search in searches]
            shifts = np.stack([candidate.value for candidate in asked]).astype("float32")
            moved = self._clip(x + shifts)
            margins = self._margins(moved, labels)
            lengths = np.sum((moved - x) ** 2, axis=tuple(range(1, x.ndim)))
            wrong = (margins < 0.0) & (lengths < shortest)
            best[wrong], shortest[wrong] = moved[wrong], lengths[wrong]
            losses = lengths + self.constant * np.maximum(margins + self.confidence, 0.0)
            for search, candidate, loss in zip(searches, asked, losses):
                search.tell(candidate, float(loss))
        return best

    def _labels(self, x, y):
        if y is None:
            return np.argmax(self.estimator.predict(x), axis=1)
        classes = self.estimator.nb_classes
        return np.argmax(check_and_transform_label_format(y, nb_classes=classes), axis=1)

    def _optimizer(self, sample, seed):
        with extras.named():
            import nevergrad
        shift = nevergrad.p.Array(init=np.zeros(sample.shape)).set_mutation(sigma=self.sigma)
        shift.random_state = np.random.RandomState(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return nevergrad.optimizers.NGOpt(shift, budget=self.budget)

    def _margins(self, x, labels):
        logits = self.estimator.predict(x)
        rows = np.arange(len(x))
        own = logits[rows, labels].copy()
        logits = logits.copy()
        logits[rows, labels] = -np.inf
        return own - logits.max(axis=1)

    def _clip(self, x):
        if self.estimator.clip_values is None:
            return x
        return np.clip(x, *self.estimator.clip_values).astype("float32")

    def _check_params(self):
        for name in ("sigma", "constant"):
            checks.positive_float(name, getattr(self, name))
        checks.nonnegative_float("confidence", self.confidence)
        checks.positive_int("budget", self.budget)
        checks.seed("seed", self.seed)


def _build(target, norm, eps, *, budget, sigma):
    return NGOptCarlini(target, budget=budget, sigma=sigma, seed=int(np.random.randint(2**31)))


def _no_nevergrad(target, norm):
    if importlib.util.find_spec("nevergrad"):
        return None
    return "It needs Nevergrad: pip install 'lipot[reference]'."


SPEC = AttackSpec(
    "ngopt",
    _build,
    {"budget": 850, "sigma": 0.1},
    (2, "inf"),
    needs_gradient=False,
    cost=20000,
    obstacle=_no_nevergrad,
    suites=EXHAUSTIVE,
)
