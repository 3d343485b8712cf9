"""OTJR on CIFAR-10 with the paper's hyper-parameters, on a GPU, resumable.

    python examples/otjr_cifar10.py                 WideResNet-34-10, 100 epochs
    python examples/otjr_cifar10.py --reduced       a small network and few images, on two cores

Kill it at any time: the same command continues from the last epoch.
"""

import argparse

import keras
import numpy as np

from lipot import attacks, callbacks, datasets, losses
from lipot.models import AdversarialModel, wide_resnet


class Augmented(keras.utils.PyDataset):
    """Batches of images shifted by up to four pixels and flipped at random."""

    def __init__(self, x, y, batch_size):
        super().__init__()
        self.x, self.y, self.batch_size = np.pad(x, ((0, 0), (4, 4), (4, 4), (0, 0))), y, batch_size
        self.generator = np.random.default_rng(0)
        self.on_epoch_end()

    def __len__(self):
        return len(self.y) // self.batch_size

    def __getitem__(self, index):
        chosen = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        rows, columns = self.generator.integers(0, 9, (2, len(chosen)))
        images = np.stack(
            [self.x[i, r : r + 32, c : c + 32] for i, r, c in zip(chosen, rows, columns)]
        )
        flipped = self.generator.random(len(chosen)) < 0.5
        images[flipped] = images[flipped, :, ::-1]
        return images, self.y[chosen]

    def on_epoch_end(self):
        self.order = self.generator.permutation(len(self.y))


parser = argparse.ArgumentParser()
parser.add_argument("--reduced", action="store_true")
options = parser.parse_args()
depth, width, images, epochs, steps = (
    (10, 1, 512, 2, 3) if options.reduced else (34, 10, 50000, 100, 10)
)

keras.utils.set_random_seed(0)
data = datasets.load("cifar10")
batches = Augmented(data.x_train[:images], data.y_train[:images], batch_size=128)

robust = AdversarialModel(
    wide_resnet(depth, width),
    attack=attacks.PGD(eps=8 / 255, step_size=2 / 255, steps=steps),
    losses=[
        losses.AdversarialCrossentropy(),
        losses.SlicedWasserstein(weight=64, projections=32),
        losses.OptimalJacobian(weight=0.002, projections=32),
    ],
)
rate = keras.optimizers.schedules.PiecewiseConstantDecay(
    [75 * len(batches), 90 * len(batches)], [0.1, 0.01, 0.001]
)
robust.compile(keras.optimizers.SGD(rate, momentum=0.9, weight_decay=2e-4), metrics=["accuracy"])
backup = f"runs/otjr_cifar10_{depth}_{width}"
robust.fit(
    batches,
    epochs=epochs,
    callbacks=[callbacks.Backup(backup)],
)
count = 200 if options.reduced else 10000
print(robust.evaluate(data.x_test[:count], data.y_test[:count], return_dict=True, verbose=0))
if data.note:
    print(data.note)
