"""Says when a training would do as well, or better, with logits that are all alike."""

import keras
import numpy as np
from keras import ops

from lipot import notices
from lipot.losses.paired import PairedBatch

# An objective so near to that of constant logits has learned nothing.
_NOTHING = 0.98
_ROWS = 16


class WarnsOfCollapse(keras.callbacks.Callback):
    """Warns where a term, or what a training ends with, costs more than constant logits do.

    A classifier whose logits are the same for all inputs has no distance between clean and attacked
    ones, and no Jacobian: it pays the cross-entropy of chance and nothing else. Where a term of
    the objective exceeds that, to say nothing is the better answer, and trainings give it.
    """

    def __init__(self):
        super().__init__()
        self._costs, self._objective, self._warned = None, None, set()

    def on_train_begin(self, logs=None):
        self._costs = _constant_costs(self.model)

    def on_epoch_end(self, epoch, logs=None):
        if self._costs is None or not logs or any(t.name not in logs for t in self.model.terms):
            return
        weights = {term.name: float(term.weight) for term in self.model.terms}
        compiled, costs = self._costs
        limit = compiled + sum(weights[name] * cost for name, cost in costs.items())
        for name, weight in weights.items():
            excess = weight * (logs[name] - costs[name])
            if excess > limit > 0.0 and name not in self._warned:
                self._warned.add(name)
                _warn(
                    f"epoch {epoch + 1}: `{name}` times its weight is {weight * logs[name]:.3g}, "
                    f"where constant logits cost {limit:.3g} in all: a network that says nothing "
                    "is cheaper. Lower the weight, or raise it slowly with "
                    "lipot.callbacks.WeightSchedule"
                )
        self._objective = (epoch, limit, self._objective_of(weights, logs))

    def _objective_of(self, weights, logs):
        """What the training has come to, as if all samples weighed the same, or `None`.

        Logged terms are means over the weights of samples, the loss is a sum over them.
        """
        if self.model.loss is None:
            return sum(weight * logs[name] for name, weight in weights.items())
        return None if self.model.has_met_weights else logs["loss"] - _penalty(self.model)

    def on_train_end(self, logs=None):
        if self._objective is None:
            return
        epoch, limit, objective = self._objective
        # After one epoch many a training that succeeds is there.
        if objective is not None and epoch > 0 and limit > 0.0 and objective > _NOTHING * limit:
            _warn(
                f"the loss of the last epoch is {objective:.4g}, and constant logits cost "
                f"{limit:.4g}: nothing has been learned. Try a smaller learning rate, a smaller "
                "radius, or weights that rise slowly (lipot.callbacks.WeightSchedule)"
            )


def _warn(message):
    notices.warn(f"AdversarialModel, {message}.")


def _penalty(model):
    """What the weights cost beside the losses; constant logits would pay it as well."""
    variables = [v for v in model.trainable_variables if v.regularizer is not None]
    return sum(_mean(variable.regularizer(variable)) for variable in variables)


def _constant_costs(model):
    """What constant logits pay: of the compiled loss and of each term, or `None` if unknown."""
    network = model.classifier
    shape, classes = getattr(network, "input_shape", None), model.classes
    if not isinstance(shape, tuple) or classes is None or None in shape[1:]:
        return None
    # Images may be large, and constant logits pay alike for every class.
    numbers = np.arange(min(classes, _ROWS))
    x = np.zeros((len(numbers), *shape[1:]), "float32")
    for labels in (numbers, np.eye(classes, dtype="float32")[numbers]):
        try:
            return _costs(model, x, labels)
        # Some losses take numbers, others rows; to watch a training must not stop it.
        except Exception:
            continue
    return None


def _costs(model, x, labels):
    logits = ops.zeros((len(x), model.classes))
    features = ops.ones((len(x), model.feature_size)) if model.feature_size else None
    batch = PairedBatch(
        # The logits depend on the inputs, with no slope, for the terms that differentiate them.
        lambda z: (logits + 0.0 * ops.sum(z), features),
        ops.convert_to_tensor(x),
        labels,
        ops.convert_to_tensor(x + 0.0),
    )
    # Inside, nothing that is drawn moves the random state of the training on.
    with keras.StatelessScope():
        costs = {term.name: _mean(term(batch)) for term in model.terms}
        compiled = 0.0
        if model.loss is not None:
            compiled = _mean(keras.losses.get(model.loss)(labels, logits))
    return compiled, costs


def _mean(values):
    # PyTorch warns of numbers that could still be differentiated.
    return float(ops.stop_gradient(ops.mean(values)))
