"""A training that survives kill -9: it continues from its last finished chunk of steps."""

import pathlib

import numpy as np

CHUNK = 50


def train(
    model,
    x,
    y,
    *,
    steps,
    batch_size,
    seed,
    folder,
    chunk=CHUNK,
    augment=None,
    after=None,
    callbacks=(),
):
    """Trains a compiled model for a number of steps, saving after each chunk of them.

    The order of the examples depends on `seed` and the chunk alone, and the saved weights hold
    optimizer and random state, so a resumed training equals an uninterrupted one.

    Args:
        model: Compiled, built Keras model.
        x: Inputs.
        y: Labels.
        steps: Number of training steps in all.
        batch_size: Examples a step.
        seed: Seed of the order.
        folder: Where the state of the training is kept.
        chunk: Steps between two saves.
        augment: Optional function of the inputs of a chunk and the number of steps before it.
        after: Optional function of nothing, called after each save; what it raises ends the
            training.
        callbacks: Keras callbacks of each chunk.

    Returns:
        The logs of the last chunk; empty when everything was done before.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    done = max(
        (int(file.name.split(".")[0]) for file in folder.glob("[0-9]*.weights.h5")), default=0
    )
    if done:
        # Weights of an optimizer that is not built yet would be skipped.
        model.optimizer.build(model.trainable_variables)
        model.load_weights(_state(folder, done))
    logs = {}
    while done < steps:
        count = min(chunk, steps - done)
        indices = _order(len(x), seed, done, count * batch_size)
        images = x[indices] if augment is None else augment(x[indices], done)
        history = model.fit(
            images,
            y[indices],
            batch_size=batch_size,
            shuffle=False,
            verbose=0,
            callbacks=list(callbacks),
        )
        logs = {name: values[-1] for name, values in history.history.items()}
        done = _save(model, folder, done, done + count)
        shown = ", ".join(f"{name} {value:.4g}" for name, value in logs.items())
        print(f"  step {done}/{steps}: {shown}", flush=True)
        if after is not None:
            after()
    return logs


def _order(size, seed, start, count):
    """Returns the examples of one chunk: the first of a fresh permutation."""
    generator = np.random.default_rng([seed, start])
    rounds = -(-count // size)
    return np.concatenate([generator.permutation(size) for _ in range(rounds)])[:count]


def _save(model, folder, before, after):
    draft = folder / "draft.weights.h5"
    model.save_weights(draft)
    draft.replace(_state(folder, after))
    if before:
        _state(folder, before).unlink(missing_ok=True)
    return after


def _state(folder, done):
    return folder / f"{done}.weights.h5"
