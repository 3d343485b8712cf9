"""What a training took."""

import time

from lipot.callbacks.configurable import Configurable


class Clock(Configurable):
    """Minutes and steps of a training over all its starts: give it to a `Backup` to keep."""

    progress = ("minutes", "processor_minutes", "steps")

    def __init__(self):
        super().__init__()
        self.minutes = self.processor_minutes = 0.0
        self.steps = 0

    def on_train_begin(self, logs=None):
        self._last = time.monotonic(), time.process_time()

    def on_train_batch_end(self, batch, logs=None):
        now = time.monotonic(), time.process_time()
        self.minutes += (now[0] - self._last[0]) / 60
        self.processor_minutes += (now[1] - self._last[1]) / 60
        self.steps += 1
        self._last = now

    def spent(self):
        """What the training took, for the result file."""
        return {"minutes": self.minutes, "processor_minutes": self.processor_minutes}

    def get_config(self):
        return {}
