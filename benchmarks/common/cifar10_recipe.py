"""A network for CIFAR-10, the settings to train it with, and a training of a given time."""

import dataclasses
from collections.abc import Callable

import keras

from benchmarks.common.cifar10_batches import Batches, Shuffle
from benchmarks.common.time_budget import Clock
from lipot import callbacks, losses, optimizers


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A network and the settings it was found to do best with.

    Attributes:
        build: Makes the network.
        learning_rate: The largest of a training.
        tau: Temperature of the EMMA loss.
        eps: l2 radius that the loss asks for.
        batch_size: Images at a step.
        optimizer: Makes an optimizer of a learning rate.
    """

    build: Callable[[], keras.Model]
    learning_rate: float = 2e-3
    tau: float = 3.0
    eps: float = 0.3
    batch_size: int = 128
    optimizer: Callable[[float], keras.optimizers.Optimizer] = optimizers.ManifoldAdam

    def settings(self):
        """What a result file says of a row."""
        return {name: getattr(self, name) for name in ("learning_rate", "tau", "eps")}

    def trained(self, images, labels, *, minutes, seed, folder):
        """Trains for the time given, or goes on to, and returns what came of it.

        Args:
            images: Float images; they are cropped and mirrored at each step.
            labels: One-hot labels.
            minutes: Time of the training, over all its starts.
            seed: Seed of the network and of the order.
            folder: Where the training is kept after an epoch, at most once a minute.

        Returns:
            Tuple: the model, its history, and the `Clock` of the training.
        """
        keras.utils.set_random_seed(seed)
        model = self.build()
        loss = losses.EMMA(self.eps, head=model.layers[-1], tau=self.tau)
        model.compile(self.optimizer(self.learning_rate), loss, metrics=["accuracy"])
        batches = Batches(images, labels, None, batch_size=self.batch_size, seed=seed)
        clock = Clock()
        budget = callbacks.TimeBudget(minutes, self.learning_rate, warmup=0.03)
        backup = callbacks.Backup(folder, keeps=[budget, clock], seconds=60.0)
        history = model.fit(
            batches, epochs=10_000, verbose=2, callbacks=[Shuffle(batches), clock, budget, backup]
        )
        return model, history, clock
