"""An attack on the metric that chooses neighbors, blind to what is done with them."""

import keras
import numpy as np
from art.attacks.attack import EvasionAttack
from art.estimators.classification.classifier import ClassifierMixin
from art.estimators.estimator import BaseEstimator
from keras import ops

from lipot import backend, checks
from lipot.math.gradients import finite_gradient


class CodeAttack(EvasionAttack):
    r"""Moves an input so that its code moves far: untargeted PGD on a learned metric.

    $$ \max_{|\delta| \le \epsilon} |\psi(x + \delta) - \psi(x)|^2 $$

    by normalized gradient steps from a random start, keeping the step that moved the code most.

    Args:
        estimator: ART classifier of the model under attack, which gives the range of the inputs.
        metric: Keras model psi from inputs to codes.
        eps: Positive float, l2 radius.
        eps_step: Positive float, length of a step.
        max_iter: Positive int, number of steps.
        seed: Seed of the random start.
        batch_size: Positive int, inputs attacked at once.

    Reference:
        Gai, Wang and Zhang, "OTAD", section V.E, "DML attack".
    """

    attack_params = EvasionAttack.attack_params + [
        "eps",
        "eps_step",
        "max_iter",
        "seed",
        "batch_size",
    ]
    _estimator_requirements = (BaseEstimator, ClassifierMixin)

    def __init__(
        self, estimator, metric, *, eps=0.5, eps_step=0.1, max_iter=100, seed=0, batch_size=128
    ):
        super().__init__(estimator=estimator)
        self.metric = checks.instance("metric", metric, keras.layers.Layer, "a Keras model")
        self.eps = eps
        self.eps_step = eps_step
        self.max_iter = max_iter
        self.seed = seed
        self.batch_size = batch_size
        self._ascend = backend.compile_over(metric, _distance_and_gradient)
        self._check_params()

    def generate(self, x, y=None, **kwargs):
        """Moves inputs.

        Args:
            x: Inputs, array `(n, ...)`.
            y: Ignored.
            **kwargs: Ignored, as in ART.

        Returns:
            Array shaped like `x`.
        """
        x = np.asarray(x, "float32")
        rng = np.random.default_rng(self.seed)
        parts = [
            self._generate_batch(x[start : start + self.batch_size], rng)
            for start in range(0, len(x), self.batch_size)
        ]
        return np.concatenate(parts)

    def _generate_batch(self, x, rng):
        axes = tuple(range(1, x.ndim))
        moved = self._project(x + 0.1 * self.eps * _unit(rng.normal(size=x.shape), axes), x, axes)
        best, farthest = moved, np.full(len(x), -1.0)
        for _ in range(self.max_iter + 1):
            distances, gradient = (ops.convert_to_numpy(v) for v in self._ascend(moved, x))
            better = distances > farthest
            best = np.where(better.reshape(-1, *[1] * len(axes)), moved, best)
            farthest = np.maximum(distances, farthest)
            moved = self._project(moved + self.eps_step * _unit(gradient, axes), x, axes)
        return best

    def _project(self, moved, x, axes):
        shift = moved - x
        length = np.sqrt(np.sum(shift**2, axis=axes, keepdims=True))
        moved = x + shift * np.minimum(1.0, self.eps / np.maximum(length, 1e-12))
        if self.estimator.clip_values is not None:
            moved = np.clip(moved, *self.estimator.clip_values)
        return moved.astype("float32")

    def _check_params(self):
        for name in ("eps", "eps_step"):
            checks.positive_float(name, getattr(self, name))
        for name in ("max_iter", "batch_size"):
            checks.positive_int(name, getattr(self, name))
        checks.seed("seed", self.seed)


def _distance_and_gradient(codes, moved, x):
    target = ops.stop_gradient(codes(x))

    def distances(inputs):
        difference = codes(inputs) - target
        return ops.sum(ops.square(difference), axis=tuple(range(1, len(difference.shape))))

    _, gradient = backend.value_and_input_gradient(lambda z: ops.sum(distances(z)), moved)
    return distances(moved), finite_gradient(gradient)


def _unit(values, axes):
    length = np.sqrt(np.sum(values**2, axis=axes, keepdims=True))
    return values / np.maximum(length, 1e-12)
