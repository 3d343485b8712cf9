"""Losses over a batch and its adversarial counterpart: the record they read and their base."""

import keras
from keras import ops

from lipot.backend import pullback
from lipot.layers.base import FixedArguments
from lipot.losses.parameter import non_negative
from lipot.math import replicas, transport
from lipot.math.divergences import one_hot_labels


class _once:
    """`functools.cached_property` without its lock.

    The replicas of TensorFlow are threads that wait for each other wherever rows are gathered:
    one that holds a lock there would wait forever for another that waits for the lock.
    """

    def __init__(self, compute):
        self._compute = compute

    def __set_name__(self, owner, name):
        self._name = name

    def __get__(self, batch, owner=None):
        value = vars(batch)[self._name] = self._compute(batch)
        return value


class PairedBatch:
    """One batch seen clean and attacked. Each piece is computed when first read, and once.

    Args:
        network: Callable from inputs to `(logits, features)`; features may be `None`.
        x: Clean inputs.
        y: Integer or one-hot labels.
        x_adv: Adversarial inputs shaped like `x`, or `x` itself when there is no attack.
        variables: Every variable `network` reads (needed by JAX alone).
        training: Whether the batch trains a model.

    Attributes:
        logits: `(batch, classes)`, of the clean inputs, in float32.
        logits_adv: `(batch, classes)`, of the adversarial inputs.
        features: `(batch, d)`, flattened input of the last layer or output of a named layer.
        features_adv: `(batch, d)`, of the adversarial inputs.
        labels: `(batch, classes)`, one-hot.
    """

    def __init__(self, network, x, y, x_adv, variables=(), training=False):
        self.training = training
        self.x = x
        self.y = y
        self.x_adv = x_adv
        self._network = network
        self._variables = variables
        self._sliced = {}

    @_once
    def _clean(self):
        def outputs(x):
            logits, features = self._network(x)
            return ops.cast(logits, "float32"), _flat(features)

        return pullback(outputs, self.x, self._variables)

    @_once
    def _adversarial(self):
        if self.x_adv is self.x:
            return self._clean[:2]
        logits, features = self._network(self.x_adv)
        return ops.cast(logits, "float32"), _flat(features)

    @property
    def logits(self):
        return self._clean[0]

    @property
    def logits_adv(self):
        return self._adversarial[0]

    @property
    def features(self):
        return self._clean[1]

    @property
    def features_adv(self):
        return self._adversarial[1]

    @_once
    def labels(self):
        return one_hot_labels(self.y, self.logits_adv.shape[-1])

    def pull(self, cotangent):
        """Computes `J(x)^T cotangent` for the Jacobian of the clean logits, `(batch, ...)`."""
        return self._clean[2](cotangent)

    def sliced_transport(self, projections, seed):
        """Transports the adversarial logits onto the clean ones along random lines.

        Two losses that ask for as many projections share one draw and one computation. The
        transport is that of the global batch, and these are its rows.

        Args:
            projections: Positive int, number of lines.
            seed: `keras.random.SeedGenerator` of the loss that asks first.

        Returns:
            A `lipot.math.transport.SlicedTransport`.
        """
        if projections not in self._sliced:
            whole = self.whole
            lines = transport.sphere_directions(self.logits.shape[-1], projections, seed)
            moved = transport.sliced_wasserstein(whole.logits_adv, whole.logits, lines)
            self._sliced[projections] = transport.SlicedTransport(*map(self.own, moved))
        return self._sliced[projections]

    @_once
    def whole(self):
        """The `WholeBatch`, for terms that compare examples with one another."""
        return WholeBatch(self)

    def own(self, values):
        """Takes the rows of this batch out of values `(global batch, ...)` of `whole`."""
        return replicas.own(values, ops.shape(self.x)[0])

    def draw(self, rows):
        """Draws something for each example, by a callable from a number of rows to a tensor."""
        return replicas.draw(rows, ops.shape(self.x)[0])


class WholeBatch:
    """What a `PairedBatch` and those of all other replicas hold, joined when first read.

    Under `tf.distribute` a replica sees its share of the global batch alone. A term that compares
    examples with one another reads this instead, and `PairedBatch.own` gives it back its rows:
    the terms of the replicas then add up to the term of the global batch, and their gradients do.

    Args:
        share: The `PairedBatch` of this replica.

    Attributes:
        logits: As in `PairedBatch`, with the rows of all replicas, and so are the others.
        logits_adv: Of the adversarial inputs.
        features: Of the clean inputs.
        features_adv: Of the adversarial inputs.
        labels: One-hot.
    """

    def __init__(self, share):
        self._share = share

    @_once
    def logits(self):
        return replicas.gather(self._share.logits)

    @_once
    def logits_adv(self):
        return replicas.gather(self._share.logits_adv)

    @_once
    def features(self):
        return replicas.gather(self._share.features)

    @_once
    def features_adv(self):
        return replicas.gather(self._share.features_adv)

    @_once
    def labels(self):
        return replicas.gather(self._share.labels)


@keras.saving.register_keras_serializable(package="lipot")
class PairedLoss(FixedArguments, keras.layers.Layer):
    """A term of the objective of `lipot.AdversarialModel`.

    Subclasses override `per_example`; they may own weights and random state, which is why a
    paired loss is a Keras layer, though it is called on a `PairedBatch` and never on tensors.
    Arguments other than `weight` are fixed once it is built: a compiled step would not see them
    change, unless they are `lipot.losses.parameter.Adjustable`, as `TRADES.alpha` is.

    Args:
        weight: Non-negative float, factor of the term in the objective; it may change while
            training runs, see `lipot.callbacks.WeightSchedule`.
        **kwargs: Arguments of `keras.layers.Layer`. The name is the metric's in the logs.

    Attributes:
        needs_features: Whether `per_example` reads the features of the batch.

    Example: how far an attack moves the logits, on a network that returns its inputs.

    >>> import lipot
    >>> class Shift(lipot.losses.PairedLoss):
    ...     def per_example(self, batch):
    ...         return ops.sum(ops.abs(batch.logits_adv - batch.logits), axis=-1)
    >>> x, x_adv = ops.convert_to_tensor([[1.0, 0.0]]), ops.convert_to_tensor([[0.5, 0.25]])
    >>> batch = lipot.losses.PairedBatch(lambda inputs: (inputs, None), x, [0], x_adv)
    >>> [float(value) for value in Shift(weight=2.0)(batch)]   # before its weight
    [0.75]
    """

    needs_features = False
    weight = non_negative()

    def __init__(self, weight=1.0, **kwargs):
        super().__init__(**kwargs)
        self.weight = weight

    def build(self, features_shape):
        """Creates the weights of the loss, if it has any.

        Args:
            features_shape: `(None, d)`, or `None` where no loss needs features.
        """
        self.built = True

    def __call__(self, batch, *others):
        """Computes the term for each example, before `weight`.

        Args:
            batch: A `PairedBatch`.
            *others: None: labels and outputs are in the batch.

        Returns:
            Tensor `(batch,)`, whose mean is the term.

        Raises:
            TypeError: It was given labels and outputs, as a loss of Keras is.
        """
        if others:
            raise TypeError(
                f"{type(self).__name__} reads a batch and its attacked twin, which `compile` does "
                "not know. Expected it among the losses of a lipot.AdversarialModel: "
                f"AdversarialModel(classifier, attack, [{type(self).__name__}()])."
            )
        return self.per_example(batch)

    def per_example(self, batch):
        """Returns the term of each example, `(batch,)`; what subclasses write."""
        raise TypeError(f"{type(self).__name__} must define per_example().")

    def get_config(self):
        return {**super().get_config(), "weight": float(self.weight)}


def _flat(features):
    if features is None:
        return None
    size = 1
    for dimension in features.shape[1:]:
        size *= dimension
    return ops.cast(ops.reshape(features, (-1, size)), "float32")
