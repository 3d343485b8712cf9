"""OTAD on scikit-learn's digits: train, adapt, predict, attack, certify.

    python examples/otad_digits.py

Takes under a minute. A residual network is trained with a transport energy; OTAD then answers
from its training points. The attacks are the authors' (through the backbone's slope) and the one
they could not run (through the solver itself).
"""

import keras
import numpy as np
from art.attacks.evasion import ProjectedGradientDescent

import lipot
from lipot import datasets
from lipot.interop.art import classifier
from lipot.models import OTAD, NearestMean, StraightThrough, transport_resnet

EPS = 0.75


def main():
    keras.utils.set_random_seed(0)
    digits = datasets.load("digits")
    x_train, x_test = (x.reshape(len(x), -1) for x in (digits.x_train, digits.x_test))

    backbone = transport_resnet(64, blocks=3, weight=1e-3)
    head = keras.Sequential([keras.Input((64,)), keras.layers.Dense(10)])
    network = keras.Sequential([backbone, head])
    network.compile(
        keras.optimizers.SGD(0.05, momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    network.fit(x_train, digits.y_train, batch_size=64, epochs=20, verbose=0)

    model = OTAD(backbone, head, neighbors=10, smoothness=2.0).adapt(x_train)
    mean = NearestMean(backbone, head, neighbors=10).adapt(x_train)

    print("accuracy on clean digits")
    for name, answer in [("network", network), ("nearest mean", mean), ("OTAD", model)]:
        print(f"  {name:13} {accuracy(answer, x_test, digits.y_test):6.1%}")

    behind = model.neighborhoods(x_test)
    print(f"neighborhoods that needed a larger L: {np.mean(behind.steps > 0):.1%}")
    print(f"relative error to the network's features: {np.mean(model.relative_error(x_test)):.3f}")

    x, y = x_test[:100], digits.y_test[:100]
    print(f"accuracy under l2 PGD of radius {EPS}, 20 steps, 100 digits")
    targets = {
        "network": (network, network),
        "OTAD, backbone's slope": (StraightThrough(model), model),
        "OTAD, true slope": (model, model),
    }
    for name, (attacked, answer) in targets.items():
        estimator = classifier(
            attacked, clip_values=(0.0, 1.0), input_shape=(64,), outputs="logits"
        )
        attack = ProjectedGradientDescent(
            estimator,
            norm=2,
            eps=EPS,
            eps_step=EPS / 5,
            max_iter=20,
            num_random_init=1,
            batch_size=100,
            verbose=False,
        )
        print(f"  {name:23} {accuracy(answer, attack.generate(x, y), y):6.1%}")

    certificate = lipot.certify(model, x, y)
    print(f"median certified radius: {np.median(certificate.radius):.4f}")
    print(f"certified accuracy at 0.01: {certificate.accuracy(0.01):.1%}")


def accuracy(model, x, y):
    return np.mean(np.argmax(model.predict(x, batch_size=360, verbose=0), axis=1) == y)


if __name__ == "__main__":
    main()
