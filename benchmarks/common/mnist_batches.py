"""Batches of MNIST of which some images are moved by a pixel."""

import keras
import numpy as np


class Batches(keras.utils.PyDataset):
    """Shuffled batches; a share of the images is moved by up to a pixel in each direction.

    Args:
        images: Float images `(n, h, w, 1)`, black around the edges.
        labels: Class numbers.
        batch_size: Images a batch.
        seed: Seed of order and moves.
        share: Share of the images that are moved.
    """

    def __init__(self, images, labels, *, batch_size, seed, share=0.5):
        super().__init__()
        self.images = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
        self.targets = np.eye(10, dtype="float32")[labels]
        self.size = images.shape[1:3]
        self.batch_size, self.seed, self.share = batch_size, seed, share
        self.epoch = -1
        self.on_epoch_end()

    def on_epoch_end(self):
        """Draws the order of the next epoch."""
        self.epoch += 1
        self.order = np.random.default_rng([self.seed, self.epoch]).permutation(len(self.images))

    def __len__(self):
        return len(self.images) // self.batch_size

    def __getitem__(self, index):
        chosen = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        generator = np.random.default_rng([self.seed, self.epoch, index])
        moved = generator.random((1, len(chosen), 1)) < self.share
        top, left = 1 + moved * generator.integers(-1, 2, (2, len(chosen), 1))
        rows, columns = (start + np.arange(n) for start, n in zip((top, left), self.size))
        images = self.images[chosen[:, None, None], rows[:, :, None], columns[:, None, :]]
        return images, self.targets[chosen]
