"""OTJR on a 1-Lipschitz network: transport losses and a certificate in one training.

    python examples/otjr_1lipschitz.py

On the digits bundled with scikit-learn, in about a minute: the hinge-KR loss on adversarial
examples, sliced Wasserstein and the Jacobian along the movements, then certified accuracy.
"""

import keras

from lipot import attacks, certify, datasets, layers, losses
from lipot.models import AdversarialModel

keras.utils.set_random_seed(0)
data = datasets.load("digits")

classifier = keras.Sequential(
    [
        keras.Input((8, 8, 1)),
        keras.layers.Flatten(),
        layers.SpectralDense(128),
        layers.GroupSort2(),
        layers.SpectralDense(64),
        layers.GroupSort2(),
        layers.FrobeniusDense(10, disjoint_neurons=True),
    ]
)
robust = AdversarialModel(
    classifier,
    attack=attacks.PGD(eps=0.5, steps=5, norm=2),
    losses=[
        losses.AdversarialLoss(losses.MulticlassHKR(alpha=50.0, min_margin=0.5)),
        losses.SlicedWasserstein(weight=1.0),
        losses.OptimalJacobian(weight=0.01),
    ],
)
robust.compile(keras.optimizers.Adam(1e-3), metrics=["accuracy"])
robust.fit(data.x_train, data.y_train_onehot, batch_size=64, epochs=20, verbose=2)

certificate = certify(classifier, data.x_test, data.y_test)
for eps in (0.0, 0.25, 0.5, 1.0):
    print(f"certified accuracy at l2 radius {eps}: {certificate.accuracy(eps):.1%}")
