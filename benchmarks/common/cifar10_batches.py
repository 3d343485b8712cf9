"""Batches of CIFAR-10 for a training that may be killed, with generated images if there are any."""

import keras
import numpy as np

from benchmarks.common.image_moves import moved


class Batches(keras.utils.PyDataset):
    """Batches of cropped and mirrored images, half of them extra images if any.

    What an epoch holds depends on its number alone. The images are moved here and not by layers:
    Keras does not compile the training of a model with `RandomTranslation` on JAX.

    Args:
        images: Float images with values in [0, 1].
        labels: One-hot labels.
        extra: Pair of uint8 images and class numbers, or `None`.
        batch_size: Images a batch.
        seed: Seed of the order.
    """

    def __init__(self, images, labels, extra, *, batch_size, seed):
        super().__init__()
        self.images, self.labels, self.extra = images, labels, extra
        self.own = batch_size // 2 if extra else batch_size
        self.seed = seed
        self.start(0)

    def start(self, epoch):
        """Draws the order of an epoch."""
        self.epoch = epoch
        generator = np.random.default_rng([self.seed, epoch])
        self.order = generator.permutation(len(self.images))
        if self.extra:
            self.drawn = generator.integers(0, len(self.extra[0]), len(self) * self.own)

    def __len__(self):
        return len(self.images) // self.own

    def __getitem__(self, index):
        part = slice(index * self.own, (index + 1) * self.own)
        x, y = self.images[self.order[part]], self.labels[self.order[part]]
        if self.extra:
            images, labels = (values[self.drawn[part]] for values in self.extra)
            x = np.concatenate([x, images.astype("float32") / np.float32(255.0)])
            y = np.concatenate([y, np.eye(10, dtype="float32")[labels]])
        return moved(x, np.random.default_rng([self.seed, self.epoch, index])), y


def read_extra(file):
    """Images and class numbers of an `.npz` of generated data."""
    with np.load(file, allow_pickle=False) as arrays:
        images, labels = arrays["image"], arrays["label"]
    if images.dtype != np.uint8 or images.shape != (len(labels), 32, 32, 3):
        raise ValueError(
            f"{file} cannot be used. Expected `image` as uint8 of shape (n, 32, 32, 3) and n "
            f"labels. Received: {images.dtype} of shape {images.shape}, {len(labels)} labels"
        )
    return images, labels.reshape(-1)


class Shuffle(keras.callbacks.Callback):
    """Starts the batches of each epoch."""

    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def on_epoch_begin(self, epoch, logs=None):
        self.batches.start(epoch)
