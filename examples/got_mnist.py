"""Adversarial training with GOT on MNIST: transport of features and predictions.

    python examples/got_mnist.py [--images 60000 --epochs 100]

The defaults fit two cores (about ten minutes); the arguments above are the paper's. Stop it when
you like, even with kill -9: the same command continues from the last epoch.
"""

import argparse

import keras
import numpy as np
from art.attacks.evasion import ProjectedGradientDescent

from lipot import attacks, callbacks, datasets, losses
from lipot.interop import art
from lipot.models import AdversarialModel, carlini_wagner

parser = argparse.ArgumentParser()
parser.add_argument("--images", type=int, default=6400)
parser.add_argument("--epochs", type=int, default=6)
parser.add_argument("--backup", default="runs/got_mnist")
options = parser.parse_args()

keras.utils.set_random_seed(0)
data = datasets.load("mnist")
x, y = data.x_train[: options.images], data.y_train[: options.images]

robust = AdversarialModel(
    carlini_wagner(),
    attack=attacks.PGD(eps=0.3, step_size=0.01, steps=40),
    losses=[
        losses.AdversarialCrossentropy(clean_weight=1.0),
        losses.GOT(weight=10.0, theta=0.1, label_matching=True),
    ],
)
robust.compile(keras.optimizers.Adam(1e-3), metrics=["accuracy"])
robust.fit(
    x,
    y,
    batch_size=128,
    epochs=options.epochs,
    callbacks=[callbacks.Backup(options.backup)],
)

estimator = art.classifier(robust.classifier, clip_values=data.clip_values)
attack = ProjectedGradientDescent(
    estimator, norm=np.inf, eps=0.3, eps_step=0.01, max_iter=40, batch_size=500, verbose=False
)
x, y = data.x_test[:1000], data.y_test[:1000]
for name, inputs in (("clean", x), ("PGD-40 at 0.3", attack.generate(x, y))):
    print(f"{name}: {np.mean(estimator.predict(inputs).argmax(axis=1) == y):.1%}")
