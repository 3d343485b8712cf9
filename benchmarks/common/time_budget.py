"""Training for a given time, and what it took."""

import time

from lipot.callbacks import TimeBudget


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
        callbacks=[TimeBudget(minutes, learning_rate, warmup)],
    )
    return {
        "minutes": (time.monotonic() - started[0]) / 60,
        "processor_minutes": (time.process_time() - started[1]) / 60,
        "epochs": len(history.epoch),
    }
