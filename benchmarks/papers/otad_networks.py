"""The defences that OTAD's paper compares on MNIST, each a saved model that classifies images."""

from pathlib import Path

import keras

from benchmarks.common.networks import fast_precision
from benchmarks.measure.training import purifiers
from benchmarks.otad import mnist as of_otad
from benchmarks.transport.training import train
from lipot import layers, losses, models, recipes
from lipot.attacks import FGSM, PGD

SHAPE = (28, 28, 1)
CLASSES = 10
# The radius of adversarial training in the paper's comparison.
EPS = 0.1
# What the benchmark of purifiers calls them.
_PURIFIERS = {"median filter": "MedianFilter", "STL": "SparseTransform", "APE-GAN": "APEGAN"}


def defence(name, data, run):
    """Returns the trained defence of a row, from the folder that all tables share.

    Args:
        name: Name of the row.
        data: The `Dataset` to train on where that was not done.
        run: The `Run` of the row.
    """
    network = _kept(name, data, run)
    if name != "OTAD":
        return network
    model = models.OTAD(
        network.get_layer("backbone"),
        network.get_layer("head"),
        CLASSES,
        embedding=keras.layers.Flatten(),
    )
    return model.adapt(data.x_train, batch_size=1000)


def _kept(name, data, run):
    file = _folder(name, run) / "network.keras"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        keras.utils.set_random_seed(run.seed)
        METHODS[name](name, data, run).save(file)
    return keras.saving.load_model(file)


def _folder(name, run):
    """One folder of networks for all tables, beside theirs: that of the settings that train."""
    keys = ("epochs", "purifier_epochs", "batch_size", "otad_epochs")
    settings = "-".join(str(run.settings[key]) for key in keys)
    row = name.replace(" ", "_")
    return Path(run.folder).parents[2] / "otad-networks" / settings / row / str(run.seed)


def _fit(name, model, x, y, run, epochs):
    train(
        model,
        x,
        y,
        steps=int(epochs * len(x) / run.settings["batch_size"]),
        batch_size=run.settings["batch_size"],
        seed=run.seed,
        folder=_folder(name, run) / "training",
        chunk=200,
        after=run.checkpoint,
    )


def _plain(name, data, run):
    network = models.carlini_wagner()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.Adam(1e-3), loss)
    _fit(name, network, data.x_train, data.y_train, run, run.settings["epochs"])
    return network


def _adversarial(attack):
    def build(name, data, run):
        with fast_precision():
            trained = models.carlini_wagner()
            robust = models.AdversarialModel(
                trained, attack(EPS), [losses.AdversarialCrossentropy()]
            )
        robust.compile(keras.optimizers.Adam(1e-3))
        _fit(name, robust, data.x_train, data.y_train, run, run.settings["epochs"])
        network = models.carlini_wagner()
        network.set_weights(trained.get_weights())
        return network

    return build


def _skew_orthogonal(name, data, run):
    """SOC+: skew orthogonal convolutions, Householder activations, the certificate in the loss."""
    body = []
    for filters in (16, 32):
        body += [layers.SkewOrthogonalConv2D(filters, 3, strides=2), layers.Householder()]
    body += [keras.layers.Flatten(), layers.SpectralDense(256), layers.Householder()]
    head = layers.SpectralDense(CLASSES)
    network = keras.Sequential([keras.Input(SHAPE), *body, head])
    loss = losses.CertificateRegularizedCrossentropy(gamma=0.5)
    network.compile(keras.optimizers.Adam(1e-3), loss)
    _fit(name, network, data.x_train, data.y_train_onehot, run, run.settings["epochs"])
    return network


def _linf_distance(name, data, run):
    settings = {key: run.settings[key] for key in ("epochs", "batch_size")}
    return recipes.train_linf_dist(data, **settings)


def _otad(name, data, run):
    """The residual network behind OTAD; OTAD itself is made of it and the data."""
    network = of_otad.build("resnet")
    epochs, batch_size = run.settings["otad_epochs"], run.settings["batch_size"]
    rate = keras.optimizers.schedules.CosineDecay(0.02, epochs * (len(data.x_train) // batch_size))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.SGD(rate, momentum=0.9), loss)
    _fit(name, network, data.x_train, data.y_train, run, epochs)
    return network


def _purified(name, data, run):
    """A purifier in front of the network that knows nothing of attacks."""
    classifier = _kept("no defence", data, run)
    called = _PURIFIERS[name]
    purifier = purifiers.MADE[called](classifier, False)
    purifier(data.x_train[:1])
    if called in purifiers.RATES:
        purifier.compile(purifiers.optimizer_of(called))
        epochs = run.settings["purifier_epochs"]
        _fit(name, purifier, data.x_train, data.y_train, run, epochs)
    return models.Purified(purifier, classifier)


METHODS = {
    "OTAD": _otad,
    "PGD-AT": _adversarial(lambda eps: PGD(eps, steps=10)),
    "l-infinity distances": _linf_distance,
    "SOC+": _skew_orthogonal,
    "APE-GAN": _purified,
    "STL": _purified,
    "median filter": _purified,
    "FGSM-AT": _adversarial(FGSM),
    "no defence": _plain,
}
