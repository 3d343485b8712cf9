"""Backups of a training, from which it goes on when it was stopped."""

import json
import os
import pathlib
import shutil
import time

import keras

from lipot import backend, checks, notices
from lipot.backend.keras_graph import start_at_epoch
from lipot.callbacks.configurable import Configurable
from lipot.files import settle, settle_names

_WEIGHTS, _PROGRESS = "model.weights.h5", "progress.json"


@keras.saving.register_keras_serializable(package="lipot")
class Backup(Configurable):
    """Keeps a training at the end of each epoch; the next `fit` with it goes on from there.

    Weights, the state of the optimizer, the number of the epoch and the progress of other callbacks
    are written together and appear at once, on the disk before the older ones are removed: a
    process may be killed, and a machine may lose its power, at any time. Unlike
    `keras.callbacks.BackupAndRestore`, no kill leaves weights of one epoch beside the number of
    another, and schedules by steps or time go on where they were.

    The order of the batches is drawn anew, so a resumed training is as good as an uninterrupted
    one, and not the same bit for bit. Of several workers the first one writes, and all of them read
    from the folder.

    Args:
        folder: Where to keep it; made if it is missing. It holds `epoch-N`, the newest alone.
        keeps: List of callbacks of lipot in the same `fit`, such as a `TimeBudget` or a
            `LossParamScheduler`, whose progress is kept too.
        seconds: Non-negative float, least time between two backups, for short epochs of large
            models. The last epoch is always kept.

    Example:

    >>> import keras, lipot, tempfile
    >>> import numpy as np
    >>> def train(epochs, folder):
    ...     model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    ...     model.compile("adam", "mse")
    ...     return model.fit(np.ones((8, 2)), np.ones(8), epochs=epochs, verbose=0,
    ...                      callbacks=[lipot.callbacks.Backup(folder)]).epoch
    >>> folder = tempfile.mkdtemp()
    >>> train(2, folder)
    [0, 1]
    >>> train(3, folder)
    [2]
    """

    def __init__(self, folder, keeps=(), seconds=0.0):
        super().__init__()
        self.folder = str(checks.folder("folder", folder))
        self.seconds = checks.nonnegative_float("seconds", seconds)
        expected = "a list of callbacks of lipot"
        checks.instance("keeps", keeps, list | tuple, expected)
        self.keeps = [checks.instance("keeps", one, Configurable, expected) for one in keeps]

    def on_train_begin(self, logs=None):
        self._written, self._waiting = time.monotonic(), None
        newest = _newest(self.folder)
        if newest is None:
            return
        # The state of an optimizer is loaded into variables that must be there.
        if not self.model.optimizer.built:
            self.model.optimizer.build(self.model.trainable_variables)
        self.model.load_weights(newest / _WEIGHTS)
        kept = json.loads((newest / _PROGRESS).read_text())
        self._restore(kept["callbacks"])
        start_at_epoch(self.model, kept["epochs"])
        if kept["epochs"] >= self.params["epochs"]:
            notices.warn(
                f"The backup in {self.folder} is of all {kept['epochs']} epochs: nothing is "
                "trained, and the model has the weights that are kept there. For another training "
                "choose another folder, or delete this one."
            )

    def on_epoch_end(self, epoch, logs=None):
        self._waiting = epoch
        # To save is a common act of all workers, whose clocks differ.
        if backend.worker() is not None or time.monotonic() - self._written >= self.seconds:
            self._write()

    def _write(self):
        epoch, self._waiting = self._waiting, None
        self._written = time.monotonic()
        worker = backend.worker() or 0
        folder = pathlib.Path(self.folder)
        done = folder / f"epoch-{epoch + 1}"
        draft = folder / f"draft-{worker}"
        if done.exists() and not (done / _PROGRESS).exists():
            raise checks.refused(
                "folder",
                "a folder that nothing else is written to",
                f"{self.folder}, which holds a '{done.name}' that is no backup",
            )
        for old in (draft, done) if worker == 0 else (draft,):
            shutil.rmtree(old, ignore_errors=True)
        draft.mkdir(parents=True)
        self.model.save_weights(draft / _WEIGHTS)
        if worker > 0:
            shutil.rmtree(draft)
            return
        callbacks = [
            {"class": _name(one), "progress": {name: getattr(one, name) for name in one.progress}}
            for one in self.keeps
        ]
        (draft / _PROGRESS).write_text(json.dumps({"epochs": epoch + 1, "callbacks": callbacks}))
        settle(draft)
        os.replace(draft, done)
        # Before the others are removed: a power failure leaves one of them too.
        settle_names(folder)
        for _, old in _epochs(folder):
            if old != done:
                shutil.rmtree(old)

    def on_train_end(self, logs=None):
        if self._waiting is not None:
            self._write()
        # Another `fit` of this model, without a backup, starts at its own first epoch.
        start_at_epoch(self.model, None)

    def _restore(self, kept):
        """Gives each callback its progress; several of a class take theirs in turn."""
        here = sorted(self.keeps, key=_name)
        there = sorted(kept, key=lambda one: one["class"])
        names = [_name(callback) for callback in here], [one["class"] for one in there]
        if names[0] != names[1]:
            raise checks.refused(
                "keeps",
                f"the callbacks that the backup in {self.folder} was written with, {names[1]}",
                str(names[0]),
            )
        for callback, one in zip(here, there):
            for name, value in one["progress"].items():
                setattr(callback, name, value)

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        keeps = [serialize(callback) for callback in self.keeps]
        return {"folder": self.folder, "keeps": keeps, "seconds": self.seconds}

    @classmethod
    def from_config(cls, config):
        deserialize = keras.saving.deserialize_keras_object
        keeps = [deserialize(callback) for callback in config["keeps"]]
        return cls(**{**config, "keeps": keeps})


def _name(callback):
    return type(callback).__name__


def _newest(folder):
    return max(_epochs(folder), default=(0, None))[1]


def _epochs(folder):
    """Pairs of the number of an epoch and its folder."""
    found = pathlib.Path(folder).glob("epoch-*/" + _PROGRESS)
    found = [(path.parent.name.partition("-")[2], path.parent) for path in found]
    # Others may keep something of each epoch beside it.
    return [(int(number), path) for number, path in found if number.isdecimal()]
