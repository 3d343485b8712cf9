"""The compiled computations behind an attack: predictions, losses and input gradients."""

import copy

import numpy as np
from keras import ops

from lipot import backend
from lipot.interop.art.expectation import averaged
from lipot.math.gradients import finite_gradient

# Rows of one call: more gain nothing on a processor and cost memory.
_ROWS = 256

# Classes whose gradients come from one program: its size grows with them.
_CLASSES = 32


class Programs:
    """Predictions and gradients of a model, as functions from NumPy arrays to NumPy arrays.

    Each is compiled once, serves every batch size, and follows the model's weights.

    Args:
        logits: `Head` that returns logits.
        outputs: `Head` that returns what the model itself returns.
        loss: `AttackLoss`.
        preprocess: Callable from the user's inputs to the model's.
        eot_samples: Draws of a random model whose mean is what attacks see.
    """

    def __init__(self, logits, outputs, loss, preprocess, eot_samples=1):
        self.single_draw = logits, outputs
        self.logits_head = averaged(logits, logits.classes, eot_samples)
        self.outputs_head = averaged(outputs, outputs.units, eot_samples)
        self.preprocess = preprocess
        self.classes = logits.classes
        self.eot_samples = eot_samples
        self._loss_programs = {}
        self._compile_predictions(self.logits_head)
        self._compile_loss(loss)

    def with_eot_samples(self, samples):
        """Returns programs of the same model and loss that average over another number of draws."""
        return Programs(*self.single_draw, self._loss, self.preprocess, samples)

    def with_loss(self, loss):
        """Returns programs that climb another loss and share everything else."""
        other = copy.copy(self)
        other._compile_loss(loss)
        return other

    def with_probabilities(self):
        """Returns programs that predict the softmax of the logits and share the loss."""
        read = self.logits_head.read
        other = copy.copy(self)
        other._compile_predictions(
            self.logits_head._replace(read=lambda values: ops.softmax(read(values), axis=-1))
        )
        return other

    def predict(self, x):
        """Predictions: `(n, ...) -> (n, classes)`."""
        return self._by_rows(self.forward, _ROWS, (self.classes,), x)

    def class_gradient(self, x, labels):
        """Gradient of one prediction of each sample: `(n, ...), (n,) -> (n, ...)`."""
        return self._by_rows(self._row_gradient, _ROWS, x.shape[1:], x, labels)

    def class_gradients(self, x):
        """Gradients of all predictions: `(n, ...) -> (n, classes, ...)`."""
        if self.classes > _CLASSES:
            labels = np.arange(self.classes, dtype="int32")[:, None].repeat(len(x), axis=1)
            return np.stack([self.class_gradient(x, label) for label in labels], axis=1)
        return self._by_rows(self._jacobian, _ROWS, (self.classes, *x.shape[1:]), x)

    def _compile_predictions(self, head):
        def predict(forward, x):
            return head.read(forward(self.preprocess(x)))

        def row_gradient(forward, x, labels):
            cotangent = ops.one_hot(labels, self.classes, dtype="float32")
            gradient = backend.vjp(lambda inputs: predict(forward, inputs), x, cotangent)[1]
            return finite_gradient(gradient)

        def jacobian(forward, x):
            rows = backend.batch_jacobian(lambda inputs: predict(forward, inputs), x)[1]
            return finite_gradient(rows)

        self.prediction_head = head
        self.forward = backend.compile_over_batches(head.model, predict)
        self._row_gradient = backend.compile_over_batches(head.model, row_gradient)
        self._jacobian = backend.compile_over_batches(head.model, jacobian)

    def _compile_loss(self, loss):
        self._loss = loss
        # Attacks are built anew for each radius and batch. A Keras loss is another one each time.
        known = self._loss_programs if loss.reads_logits else {}
        if loss not in known:
            known[loss] = self._made(loss)
        self.losses, self.loss_gradient = known[loss]

    def _made(self, loss):
        head = self.logits_head if loss.reads_logits else self.outputs_head
        reduce = ops.mean if loss.reduction == "mean" else ops.sum

        def losses(forward, x, labels):
            return loss.per_sample(labels, head.read(forward(self.preprocess(x))))

        def gradient(forward, x, labels):
            def total(inputs):
                return reduce(losses(forward, inputs, labels))

            return finite_gradient(backend.value_and_input_gradient(total, x)[1])

        compiled = (losses, gradient)
        return tuple(backend.compile_over_batches(head.model, program) for program in compiled)

    def _by_rows(self, program, rows, row_shape, *arrays):
        n = len(arrays[0])
        if n == 0:
            return np.empty((0, *row_shape), "float32")
        parts = [
            _call(program, [array[start : start + rows] for array in arrays])
            for start in range(0, n, rows)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _call(program, arrays):
    outputs = program(*backend.few_shapes(arrays))
    return ops.convert_to_numpy(outputs)[: len(arrays[0])]
