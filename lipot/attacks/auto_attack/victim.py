"""The model under attack: its decisions, and compiled searches over its logits."""

import numpy as np
from keras import ops

from lipot import backend, batches, checks
from lipot.math.classes import as_two_classes, misclassified
from lipot.math.probabilities import may_be_probabilities

OUTPUTS = ("auto", "logits")


class Victim:
    """A Keras classifier as AutoAttack sees it, with all that was compiled to attack it.

    Handed to `AutoAttack.run` in place of the model, it lets attacks share their programs: those
    that differ in eps, seed or points alone compile nothing after the first. The programs live as
    long as the victim does, and are made anew where variables of the model are replaced.

    A model of one unit `f` has logits `(-f, f)`.

    Args:
        model: Built Keras model `(batch, ...) -> (batch, classes)` that returns logits.
        random: Whether it answers otherwise when it is asked again. Then no single answer ends a
            search: it goes on to its last step, returns where the loss is largest, and a point
            counts as broken where two more answers are wrong.

    Example:

    >>> import keras, numpy as np
    >>> from lipot.attacks import AutoAttack, Victim
    >>> victim = Victim(keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]))
    >>> x = np.random.default_rng(0).uniform(size=(5, 4)).astype("float32")
    >>> y = victim.logits(x).argmax(axis=1)
    >>> attacks = [AutoAttack(eps, steps=5, attacks=["apgd-ce"]) for eps in (0.1, 9.0)]
    >>> accuracies = [attack.run(victim, x, y).robust_accuracy for attack in attacks]
    >>> accuracies[0] >= accuracies[1]
    True
    """

    def __init__(self, model, random=False):
        self.model = model
        self.random = bool(random)
        self._searches = {}
        self._variables = self._variables_now()

    def logits(self, x):
        """Float32 logits by `model.predict`, the model's own arithmetic."""
        outputs = np.asarray(batches.predict(self.model, x, verbose=0))
        if outputs.ndim != 2:
            raise checks.refused(
                "model",
                "outputs of shape (batch, classes)",
                f"'{self.model.name}' with outputs of shape {outputs.shape}",
            )
        return ops.convert_to_numpy(as_two_classes(outputs.astype("float32")))

    def leads(self, x, y):
        """How far the label's logit lies above the largest other one, `(n,)`; NaN is -infinity."""
        logits = np.nan_to_num(self.logits(x), nan=-np.inf, posinf=np.inf, neginf=-np.inf)
        own = np.arange(logits.shape[1]) == y[:, None]
        with np.errstate(invalid="ignore"):
            lead = logits[own] - np.where(own, -np.inf, logits).max(axis=1)
        return np.where(np.isnan(lead), -np.inf, lead)

    @property
    def falls(self):
        """Callable `(logits, labels) -> bools` inside a search: which rows end it."""
        return _never if self.random else misclassified

    def search(self, key, build):
        """Returns the compiled search of a key; `build` makes it the first time.

        Args:
            key: Hashable, all that the search depends on beside the model.
            build: Callable without arguments.
        """
        variables = self._variables_now()
        if variables != self._variables:
            # Quantized, widened or frozen: programs over the old variables tell nothing of it.
            self._searches, self._variables = {}, variables
        if key not in self._searches:
            self._searches[key] = build()
        return self._searches[key]

    def compile(self, step, state_type, *, batch_size):
        """Compiles a step of an attack over states of any number of rows.

        Args:
            step: Callable `(logits, state, *settings) -> state`, where `logits` maps points to
                logits and can be differentiated.
            state_type: NamedTuple class of the state, whose fields are arrays of the same
                number of rows.
            batch_size: Rows of one call.

        Returns:
            Callable `(state, *settings) -> state` of NumPy arrays, which passes the rows on in
            batches and the settings, arrays of one dimension, as they are.
        """
        fields = len(state_type._fields)

        def flat(forward, *arrays):
            def logits(points):
                return as_two_classes(ops.cast(forward(points), "float32"))

            return tuple(step(logits, state_type(*arrays[-fields:]), *arrays[:-fields]))

        program = backend.compile_over_batches(self.model, flat)

        def call(state, *settings):
            parts = [
                _run(program, settings, [field[start : start + batch_size] for field in state])
                for start in range(0, len(state[0]), batch_size)
            ]
            return state_type(*(np.concatenate(field) for field in zip(*parts)))

        return call

    def _variables_now(self):
        return [(id(variable), variable.trainable) for variable in self.model.variables]


def _never(logits, labels):
    return ops.zeros_like(labels, dtype="bool")


def check_logits(model, logits, outputs):
    """Raises a ValueError where outputs are not finite, or look like probabilities.

    Args:
        model: The Keras model, for its name.
        logits: What `Victim.logits` returned of the clean points.
        outputs: `"auto"` to look, `"logits"` to trust.
    """
    if not np.all(np.isfinite(logits)):
        raise ValueError(
            f"Model '{model.name}' returns NaN or infinite outputs on finite inputs. "
            "Expected a model with finite weights."
        )
    if outputs == "logits":
        return
    one_unit = np.array_equal(logits[:, 0], -logits[:, -1]) and logits.shape[1] == 2
    values = logits[:, 1:] if one_unit else logits
    if may_be_probabilities(values):
        raise ValueError(
            f"Invalid value received for argument `model`. Model '{model.name}' seems to return "
            "probabilities, whose gradients vanish where it is sure. Expected a model that ends "
            "in logits: leave out the last softmax or sigmoid, or pass outputs='logits' to "
            f"AutoAttack if they are logits. Received: outputs such as {values[0]}"
        )


def _run(program, settings, fields):
    outputs = program(*settings, *backend.few_shapes(fields))
    return [np.asarray(ops.convert_to_numpy(output))[: len(fields[0])] for output in outputs]
