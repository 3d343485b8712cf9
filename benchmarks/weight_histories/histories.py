"""Ways in which the weights of a model come to be what they are."""

import keras
import numpy as np
from keras import ops

from lipot import backend


class Subject:
    """A model, points and labels to train it with, a twin of its own weights, and a folder."""

    def __init__(self, model, x, rng, folder):
        self.model, self.rng, self.folder = model, rng, folder
        self.x = x[:32]
        self.units = model.output_shape[-1]
        self.y = rng.integers(max(2, self.units), size=len(self.x))

    def noisy(self, array):
        if not np.issubdtype(array.dtype, np.floating):
            return array
        scale = 0.1 * (np.std(array) + 0.1)
        return (array + scale * self.rng.normal(size=array.shape)).astype(array.dtype)

    def twin(self):
        twin = keras.models.clone_model(self.model)
        for variable in twin.trainable_variables:
            variable.assign(self.noisy(_numpy(variable)))
        twin(self.x)
        return twin

    def compile(self, **arguments):
        binary = keras.losses.BinaryCrossentropy(from_logits=True)
        several = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        optimizer = keras.optimizers.SGD(0.05, clipnorm=1.0, **arguments)
        self.model.compile(optimizer, binary if self.units == 1 else several)

    def fit(self, callbacks=(), epochs=2):
        self.model.fit(
            self.x,
            self.y,
            batch_size=16,
            epochs=epochs,
            validation_data=(self.x, self.y),
            callbacks=list(callbacks),
            verbose=0,
        )


def _numpy(variable):
    return ops.convert_to_numpy(ops.cast(variable.value, variable.dtype))


def assign(subject):
    for variable in subject.model.trainable_variables:
        variable.assign(subject.noisy(_numpy(variable)))


def assign_one(subject):
    variables = subject.model.trainable_variables
    if variables:
        variable = variables[int(subject.rng.integers(len(variables)))]
        variable.assign(subject.noisy(_numpy(variable)))


def set_weights(subject):
    edited = []
    for variable in subject.model.weights:
        value = subject.noisy(_numpy(variable))
        # A variance, as of a batch normalization, stays one.
        edited.append(np.abs(value) if "variance" in variable.path else value)
    subject.model.set_weights(edited)


def halve(subject):
    subject.model.set_weights([0.5 * w for w in subject.model.get_weights()])


def load_weights(subject):
    file = subject.folder / "twin.weights.h5"
    subject.twin().save_weights(file)
    subject.model.load_weights(file)


def load_by_name(subject):
    file = subject.folder / "twin.h5"
    subject.twin().save(file)
    subject.model.load_weights(file, by_name=True, skip_mismatch=True)


def moving_averages(subject):
    subject.compile(use_ema=True, ema_momentum=0.5)
    subject.fit()


def swapped_averages(subject):
    subject.compile(use_ema=True, ema_momentum=0.5)
    subject.fit([keras.callbacks.SwapEMAWeights(swap_on_epoch=True)])


def best_restored(subject):
    subject.compile()
    stop = keras.callbacks.EarlyStopping(
        monitor="val_loss", mode="max", baseline=1e9, patience=1, restore_best_weights=True
    )
    subject.fit([stop], epochs=3)


def twin_assigned(subject):
    twin = subject.twin()
    for mine, its in zip(subject.model.trainable_variables, twin.trainable_variables, strict=True):
        mine.assign(_numpy(its))


def twin_set(subject):
    subject.model.set_weights(subject.twin().get_weights())


def freeze_and_thaw(subject):
    for trainable in (False, True):
        for layer in subject.model.layers[1::2]:
            layer.trainable = trainable
        subject.compile()
        subject.fit(epochs=1)


def own_loop(subject):
    """A step of gradient descent by `optimizer.apply`."""
    model, optimizer = subject.model, keras.optimizers.SGD(0.05, clipnorm=1.0)
    weights = [_numpy(v).astype("float32") for v in model.trainable_variables]
    if not weights:
        return
    ends = np.cumsum([w.size for w in weights])[:-1].tolist()
    states = [v.value for v in model.non_trainable_variables]

    def split(vector):
        parts = ops.split(vector, ends) if ends else [vector]
        shaped = [ops.reshape(part, w.shape) for part, w in zip(parts, weights)]
        return [ops.cast(p, v.dtype) for p, v in zip(shaped, model.trainable_variables)]

    def loss(vector):
        outputs, _ = model.stateless_call(split(vector), states, subject.x, training=True)
        return ops.sum(ops.square(ops.cast(outputs[:, 0], "float32") - 1.0))

    flat = np.concatenate([w.ravel() for w in weights])
    _, gradient = backend.value_and_input_gradient(loss, flat)
    optimizer.apply(split(gradient), model.trainable_variables)


def prune(subject):
    for variable in subject.model.trainable_variables:
        value = _numpy(variable)
        if value.ndim > 1:
            variable.assign(np.where(np.abs(value) < np.median(np.abs(value)), 0.0, value))


def condense(subject):
    for layer in subject.model.layers:
        if hasattr(layer, "condense"):
            layer.condense()


def balance(subject):
    """Moves the bias of the head, so that not all points are of one class."""
    head = subject.model.layers[-1]
    squashed = head.activation not in (None, keras.activations.linear)
    if head.bias is not None and not squashed:
        outputs = ops.cast(subject.model(subject.x), "float32")
        head.bias.assign(head.bias.value - ops.cast(ops.median(outputs, axis=0), head.bias.dtype))


def train_call(subject):
    subject.model(subject.x, training=True)


def predict(subject):
    subject.model.predict(subject.x, verbose=0)


def call(subject):
    subject.model(subject.x)


HISTORIES = (
    assign,
    assign_one,
    set_weights,
    halve,
    load_weights,
    load_by_name,
    moving_averages,
    swapped_averages,
    best_restored,
    twin_assigned,
    twin_set,
    freeze_and_thaw,
    own_loop,
    prune,
    condense,
    train_call,
)
# What fills a memory of the kernel, if there is one.
ANSWERS = (predict, call)


def live_through(subject):
    """Takes a model through a few histories in random order; returns their names."""
    names = []
    for _ in range(int(subject.rng.integers(2, 6))):
        for some in (ANSWERS, HISTORIES):
            event = some[int(subject.rng.integers(len(some)))]
            event(subject)
            names.append(event.__name__)
    # An attack has nothing to find where one class is everywhere.
    balance(subject)
    return names
