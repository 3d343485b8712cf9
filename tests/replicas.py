"""Trains the same things on any number of devices: `python -m tests.replicas 2 fit` prints them.

The devices of a framework are fixed once it starts, so that each number of them is a process of
its own; `on_devices` runs one, once for all tests. `python -m tests.replicas 2 ragged GOT HKR`
trains with some losses alone.
"""

import contextlib
import functools
import itertools
import json
import os
import subprocess
import sys

import keras
import numpy as np

from tests.public_classes import make, public_classes

SAMPLES, FEATURES, CLASSES = 21, 5, 3
RNG = np.random.default_rng(0)
X = RNG.uniform(0.2, 0.8, size=(SAMPLES, FEATURES)).astype("float32")
SHIFT = 0.2 * RNG.normal(size=X.shape).astype("float32")
# Class 2 is in few rows, so that some replicas never see it.
Y = np.array([0, 2, 1, 2, 0, 0, 1, 1, 0, 1, 0, 1, 0, 0, 1, 2, 2, 1, 0, 0, 1])
WEIGHTS = RNG.integers(0, 4, size=SAMPLES).astype("float32")
# Of two replicas, 4 and 3 rows; of four, 2, 2, 2 and 1. Each size of a batch is traced anew.
EQUAL = (slice(0, 7), slice(7, 14), slice(14, 21))
# Two replicas hold as many rows, then 3 and 2; four, in the second batch, 2, 2, 1 and none. On JAX
# devices share the first and the last batch.
RAGGED = (slice(0, 8), slice(8, 13), slice(13, 21))
STEPS, RATE = 20, 0.05
# The labels of each loss that does not take one-hot rows.
BINARY = {"HKR", "KR", "HingeMargin", "TauBinaryCrossentropy"}
NUMBERS = {"TauSparseCategoricalCrossentropy", "TripletLoss", "ContrastiveLoss"}


def close(ours, theirs, tolerance):
    ours, theirs = np.asarray(ours, "float64"), np.asarray(theirs, "float64")
    assert ours.shape == theirs.shape
    assert np.all(np.isfinite(theirs))
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


@functools.cache
def on_devices(count, part, names=(), module="tests.replicas"):
    """What `python -m module count part names` prints, as a dictionary."""
    environment = {
        **os.environ,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "",
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={count}",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    command = [sys.executable, "-m", module, str(count), part, *names]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=3000)
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads(run.stdout.splitlines()[-1])


def losses_by_name():
    """An instance of every public loss, paired ones and others."""
    keras.utils.set_random_seed(11)
    names = {*public_classes("losses", keras.losses.Loss)}
    names |= {*public_classes("losses", keras.layers.Layer)} - {"PairedLoss"}
    return {name: make("losses", name) for name in sorted(names)}


def labels(name):
    """All labels, in the form that a loss reads."""
    if name in BINARY:
        return (Y[:, None] > 0).astype("float32")
    return Y if name in NUMBERS else np.eye(CLASSES, dtype="float32")[Y]


class Trial:
    """One loss that trains a small network by plain gradient descent."""

    def __init__(self, name, loss):
        self.paired = isinstance(loss, keras.layers.Layer)
        self.loss, self.labels = loss, labels(name)
        rng = np.random.default_rng(1)
        # No square root of 0: two samples must not have one code.
        start = [rng.normal(size=(FEATURES, 6)), rng.normal(size=(6, CLASSES))]
        self.weights = [keras.Variable(w.astype("float32")) for w in start]
        if self.paired and not loss.built:
            loss.build((None, 6))
        trained = list(loss.trainable_variables) if self.paired else []
        self.variables = self.weights + trained
        self.units = 1 if name in BINARY else CLASSES

    def network(self, x):
        features = keras.ops.tanh(keras.ops.matmul(x, self.weights[0]))
        logits = keras.ops.matmul(features, self.weights[1])
        return logits[:, : self.units], features

    def value(self, x, shift, y, weights):
        """The loss as training has it, and as a metric shows it."""
        from lipot.losses import PairedBatch
        from lipot.math import replicas

        if not self.paired:
            scores = self.network(x)[0]
            return self.loss(y, scores, weights), self.loss(y, scores)
        terms = self.loss(PairedBatch(self.network, x, y, x + shift))
        return replicas.even(replicas.mean(terms, weights)), replicas.total(replicas.mean(terms))


def strategy_of(count):
    """A `tf.distribute` strategy over so many devices; of one, what runs without any."""
    import tensorflow as tf

    if count == 1:
        return tf.distribute.get_strategy()
    cpu = tf.config.list_physical_devices("CPU")[0]
    device = tf.config.LogicalDeviceConfiguration()
    tf.config.set_logical_device_configuration(cpu, [device] * count)
    return tf.distribute.MirroredStrategy([f"CPU:{index}" for index in range(count)])


def descend(count, batches, names):
    """Twenty steps of some losses, or of every public one, batch by batch."""
    with spread(count) as strategy:
        losses = losses_by_name()
        trials = {name: Trial(name, losses[name]) for name in names or losses}
        run = _on_jax if strategy is None else functools.partial(_on_tensorflow, strategy)
        step = run(count, list(trials.values()))
        shares = [_rows(trials.values(), batch) for batch in batches]
        found = [step(shares[index % len(batches)]) for index in range(STEPS)]
    return {
        name: {
            "values": [step[place][0] for step in found],
            "metrics": [step[place][1] for step in found],
            "weights": [np.asarray(w).tolist() for w in trial.variables],
        }
        for place, (name, trial) in enumerate(trials.items())
    }


def _rows(trials, batch):
    """What each loss reads of a batch."""
    return [(X[batch], SHIFT[batch], trial.labels[batch], WEIGHTS[batch]) for trial in trials]


def _on_tensorflow(strategy, count, trials):
    """A step of all trials: their losses, and what each replica reads as metrics."""
    import tensorflow as tf

    # Plain gradient descent: one optimizer of all does what one of each would, and is traced once.
    variables = [variable for trial in trials for variable in trial.variables]
    optimizer = keras.optimizers.SGD(RATE)
    optimizer.build(variables)

    def step(shares):
        found, gradients = [], []
        for trial, share in zip(trials, shares):
            with tf.GradientTape() as tape:
                found.append(trial.value(*share))
            gradients += tape.gradient(found[-1][0], trial.variables)
        # TensorFlow may step while it still computes what no gradient waits for: those of a
        # loss that is linear in the scores do not need its value.
        with tf.control_dependencies([*itertools.chain(*found), *gradients]):
            optimizer.apply(gradients, variables)
        return found

    run = tf.function(lambda shares: strategy.run(step, args=(shares,)), autograph=False)

    def share(context, rows):
        size = -(-len(rows[0][0]) // count)
        first = int(context.replica_id_in_sync_group) * size
        return [tuple(tf.constant(a[first : first + size]) for a in arrays) for arrays in rows]

    def call(rows):
        spread_rows = functools.partial(share, rows=rows)
        found = run(strategy.experimental_distribute_values_from_function(spread_rows))
        local = [[strategy.experimental_local_results(v) for v in pair] for pair in found]
        return [(float(sum(value)), [float(v) for v in metric]) for value, metric in local]

    return call


def _on_jax(count, trials):
    """The same of `_on_tensorflow`, each trial a program whose batch is spread over devices."""
    programs = [_program(trial, count) for trial in trials]
    return lambda rows: [run(share) for run, share in zip(programs, rows)]


def _program(trial, count):
    import jax

    states = list(trial.loss.non_trainable_variables) if trial.paired else []
    variables = [*trial.variables, *states]

    @jax.jit
    def step(trained, kept, share):
        share = [_spread_rows(array) for array in share]

        def value(trained):
            pairs = list(zip(variables, [*trained, *kept]))
            with keras.StatelessScope(pairs) as scope:
                found, metric = trial.value(*share)
                after = [scope.get_current_value(state) for state in states]
            return found, (metric, after)

        (found, rest), gradients = jax.value_and_grad(value, has_aux=True)(trained)
        return found, *rest, [v - RATE * g for v, g in zip(trained, gradients)]

    def call(share):
        values = [v.value for v in variables]
        assert all(len(value.sharding.device_set) == count for value in values)
        trained, kept = values[: len(trial.variables)], values[len(trial.variables) :]
        found, metric, kept, trained = step(trained, kept, share)
        for variable, value in zip(variables, [*trained, *kept]):
            variable.assign(value)
        return float(found), [float(metric)]

    return call


def _spread_rows(array):
    """Spreads a batch over the devices; one that they do not divide, every device has whole."""
    mesh = keras.distribution.distribution().device_mesh
    if len(array) % mesh.shape[0]:
        return array
    axes = [mesh.axis_names[0], *[None] * (array.ndim - 1)]
    layout = keras.distribution.TensorLayout(axes, mesh)
    return keras.distribution.distribute_tensor(array, layout)


@contextlib.contextmanager
def spread(count):
    """What is made inside trains on so many devices; yields the strategy of TensorFlow."""
    if keras.backend.backend() == "jax":
        devices = keras.distribution.list_devices()
        assert len(devices) == count
        keras.distribution.set_distribution(keras.distribution.DataParallel(devices=devices))
        yield None
    else:
        strategy = strategy_of(count)
        with strategy.scope():
            yield strategy


def fit(count):
    """Stock `fit` of a hinge-KR network, of adversarial training and of an OT-Classifier."""
    import lipot

    # JAX shards a batch only where the devices divide it.
    jax = keras.backend.backend() == "jax"
    rows = slice(0, 16 if jax else SAMPLES)
    data = X[rows], np.eye(CLASSES, dtype="float32")[Y[rows]]
    settings = {"batch_size": 8, "epochs": 7, "shuffle": False, "verbose": 0}
    found = {}
    with spread(count):
        for name, model in _models(lipot, jax).items():
            keras.utils.set_random_seed(3)
            found[name] = {
                "history": model.fit(*data, **settings, validation_data=data).history,
                "weights": [w.tolist() for w in model.get_weights()],
            }
    return found


def hinge_network():
    """A small network that is trained by hinge-KR, compiled."""
    import lipot

    keras.utils.set_random_seed(7)
    width = [keras.Input((FEATURES,)), lipot.layers.SpectralDense(6), lipot.layers.GroupSort2()]
    metrics = ["accuracy", lipot.losses.MulticlassKR()]
    metrics.append(lipot.metrics.CategoricalProvableAvgRobustness())
    network = keras.Sequential([*width, lipot.layers.FrobeniusDense(CLASSES)])
    loss = lipot.losses.MulticlassHKR(10.0)
    network.compile(keras.optimizers.SGD(0.05), loss, metrics=metrics)
    return network


def _models(lipot, jax):
    losses, layers = lipot.losses, keras.layers
    found = {"hinge-KR": hinge_network()}
    terms = [loss for name, loss in losses_by_name().items() if isinstance(loss, losses.PairedLoss)]
    for name, attack in (
        ("PGD", lipot.attacks.PGD(0.05, steps=3, seed=1)),
        ("PGD, l2", lipot.attacks.PGD(0.2, steps=3, norm=2, seed=1)),
        ("TRADESPGD", lipot.attacks.TRADESPGD(0.05, steps=3, noise=0.02, seed=1)),
    ):
        network = [keras.Input((FEATURES,)), layers.Dense(6, "tanh"), layers.Dense(CLASSES)]
        chosen = terms if name == "PGD" else [losses.AdversarialCrossentropy()]
        model = lipot.AdversarialModel(keras.Sequential(network), attack, chosen)
        model.compile(keras.optimizers.SGD(1e-3 if name == "PGD" else 0.05))
        found[name] = model
    if not jax:
        found["OTClassifier"] = _ot_classifier(lipot)
    return found


def _ot_classifier(lipot):
    def network(inputs, units):
        penalty = keras.regularizers.L2(1e-2)
        layer = keras.layers.Dense(units, kernel_regularizer=penalty)
        return keras.Sequential([keras.Input((inputs,)), layer])

    prior = lipot.models.StandardNormal(2, seed=5)
    parts = network(FEATURES, 2), network(2, CLASSES), network(2, 1)
    model = lipot.OTClassifier(*parts, prior=prior)
    model.compile(
        keras.optimizers.SGD(0.05),
        discriminator_optimizer=keras.optimizers.SGD(0.05),
        encoder_optimizer=keras.optimizers.SGD(0.05),
    )
    return model


if __name__ == "__main__":
    count, part, names = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    batches = {"equal": EQUAL, "ragged": RAGGED}
    if part in batches:
        print(json.dumps(descend(count, batches[part], names)))
    else:
        print(json.dumps(fit(count)))
