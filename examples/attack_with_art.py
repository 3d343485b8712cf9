"""Attack a Keras classifier with the Adversarial Robustness Toolbox, through compiled gradients.

    python examples/attack_with_art.py

Trains a small CNN on the digits bundled with scikit-learn, runs four attacks in the l2 ball of
radius 0.5 and prints the accuracy that is left.
"""

import keras
import numpy as np
from art.attacks.evasion import AutoProjectedGradientDescent, CarliniL2Method, DeepFool

from lipot import datasets
from lipot.interop.art import auto_attack, classifier

EPS = 0.5

keras.utils.set_random_seed(0)
data = datasets.load("digits")
model = keras.Sequential(
    [
        keras.Input(data.x_train.shape[1:]),
        keras.layers.Conv2D(32, 3, activation="relu"),
        keras.layers.Flatten(),
        keras.layers.Dense(64, activation="relu"),
        keras.layers.Dense(10),
    ]
)
model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
model.fit(data.x_train, data.y_train, batch_size=64, epochs=10, verbose=0)

estimator = classifier(model, clip_values=data.clip_values)
attacks = {
    "Auto-PGD": AutoProjectedGradientDescent(
        estimator, norm=2, eps=EPS, eps_step=2 * EPS, max_iter=30, nb_random_init=1, verbose=False
    ),
    "DeepFool": DeepFool(estimator, max_iter=30, batch_size=128, verbose=False),
    "Carlini-Wagner": CarliniL2Method(
        estimator, binary_search_steps=5, initial_const=1.0, batch_size=128, verbose=False
    ),
    "AutoAttack": auto_attack(estimator, norm=2, eps=EPS, max_iter=30, restarts=1),
}

x, y = data.x_test[:100], data.y_test[:100]
print(f"{'clean':15} {np.mean(estimator.predict(x).argmax(axis=1) == y):.0%}")
for name, attack in attacks.items():
    adversarial = attack.generate(x, y)
    right = estimator.predict(adversarial).argmax(axis=1) == y
    # DeepFool and Carlini-Wagner look for the nearest mistake, however far it is.
    too_far = np.linalg.norm((adversarial - x).reshape(len(x), -1), axis=1) > EPS * (1 + 1e-4)
    print(f"{name:15} {np.mean(right | too_far):.0%}")
