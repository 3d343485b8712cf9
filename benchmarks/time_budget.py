"""Training for a given time: the learning rate follows the clock."""

import math
import time

import keras


class TimeBudget(keras.callbacks.Callback):
    """Anneals the learning rate by a cosine over wall-clock time, and stops at its end.

    The rate first rises in a straight line for a share `warmup` of the time.
    """

    def __init__(self, seconds, learning_rate, warmup=0.0):
        super().__init__()
        self.seconds = seconds
        self.learning_rate = learning_rate
        self.warmup = warmup
        self.start = None

    def on_train_begin(self, logs=None):
        self.start = time.monotonic()

    def on_train_batch_begin(self, batch, logs=None):
        spent = min((time.monotonic() - self.start) / self.seconds, 1.0)
        rate = self.learning_rate * (0.001 + 0.999 * 0.5 * (1 + math.cos(math.pi * spent)))
        self.model.optimizer.learning_rate = rate * min(1.0, (spent + 1e-6) / (self.warmup + 1e-6))
        if spent >= 1.0:
            self.model.stop_training = True

    def on_train_batch_end(self, batch, logs=None):
        if time.monotonic() - self.start > self.seconds:
            self.model.stop_training = True


def fit_for(minutes, model, x, y, *, batch_size, learning_rate, warmup=0.0):
    """Trains a compiled model for the time given; returns what it took, for the result file.

    The budget is overrun by the time of one batch at most.
    """
    started = time.monotonic(), time.process_time()
    history = model.fit(
        x,
        y,
        batch_size=batch_size,
        epochs=10_000,
        verbose=2,
        callbacks=[TimeBudget(60 * minutes, learning_rate, warmup)],
    )
    return {
        "minutes": (time.monotonic() - started[0]) / 60,
        "processor_minutes": (time.process_time() - started[1]) / 60,
        "epochs": len(history.epoch),
    }
