"""OT-Classifier on MNIST: classification from four numbers that follow a normal law.

    python examples/ot_classifier_mnist.py [--images 60000 --epochs 20]

Trains it on attacked images, prints its accuracy under PGD and draws clean and adversarial codes
into runs/codes.png.
"""

import argparse
import pathlib

import keras
import numpy as np
from art.attacks.evasion import ProjectedGradientDescent

import lipot
from lipot import attacks, datasets, models
from lipot.interop import art

parser = argparse.ArgumentParser()
parser.add_argument("--images", type=int, default=12800)
parser.add_argument("--epochs", type=int, default=5)
options = parser.parse_args()

keras.utils.set_random_seed(0)
data = datasets.load("mnist")

model = models.OTClassifier(
    models.embedding_encoder(code_size=4, filters=16),
    models.embedding_classifier(code_size=4),
    # 1-Lipschitz: the divergence is the Wasserstein-1 distance, and no weight is clipped.
    models.embedding_discriminator(code_size=4, units=64, layers=lipot),
    attack=attacks.PGD(eps=0.3, steps=10),
    attack_delay=50,
)
model.compile(keras.optimizers.Adam(1e-3, beta_1=0.5))
model.fit(
    data.x_train[: options.images],
    data.y_train[: options.images],
    batch_size=128,
    epochs=options.epochs,
)

x, y = data.x_test[:1000], data.y_test[:1000]
estimator = art.classifier(model.inference_model(), clip_values=data.clip_values)
attack = ProjectedGradientDescent(
    estimator, norm=np.inf, eps=0.2, eps_step=0.01, max_iter=40, batch_size=500, verbose=False
)
x_adv = attack.generate(x, y)
for name, inputs in (("clean", x), ("PGD-40 at 0.2", x_adv)):
    print(f"{name}: {np.mean(estimator.predict(inputs).argmax(axis=1) == y):.1%}")

pathlib.Path("runs").mkdir(exist_ok=True)
models.plot_codes(model, x, y, x_adv).savefig("runs/codes.png")
