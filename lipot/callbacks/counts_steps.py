"""The base of callbacks that know or act by the number of the training step."""

from lipot import checks
from lipot.callbacks.configurable import Configurable


class CountsSteps(Configurable):
    """Counts training steps over all epochs, in `self.step`.

    A `fit` that goes on from a later epoch, as after `Backup` and `BackupAndRestore` or with an
    `initial_epoch`, goes on from that epoch's first step.

    Args:
        step: Non-negative int, first step, to resume a training. `Backup` keeps it.
    """

    progress = ("step",)

    def __init__(self, step=0):
        super().__init__()
        self.step = checks.nonnegative_int("step", step)
        self._ended = 0

    def on_epoch_begin(self, epoch, logs=None):
        self._ended = 0
        # Nothing was counted or restored; generators do not tell how many steps an epoch has.
        if self.step == 0:
            self.step = epoch * (self.params.get("steps") or 0)

    def on_train_batch_end(self, batch, logs=None):
        # One call covers several steps under `steps_per_execution`, the last of an epoch fewer
        # than it says.
        steps = (self.params or {}).get("steps")
        end = batch + 1 if steps is None else min(batch + 1, steps)
        # From the last end on: Keras may call what happens at a begin after the next one.
        self.step += end - self._ended
        self._ended = end


class ActsAtSteps(CountsSteps):
    """Acts before each training step: a subclass writes `_at_step(batch)`, and reads `self.step`.

    With `steps_per_execution` above 1 it acts once for so many steps, before the first of them.

    Args:
        step: Non-negative int, first step, to resume a training. `Backup` keeps it.
    """

    def on_train_batch_begin(self, batch, logs=None):
        self._at_step(batch)

    def _at_step(self, batch):
        """Acts before a training step; `batch` is its number within the epoch."""
        raise TypeError(f"{type(self).__name__} must define _at_step().")
