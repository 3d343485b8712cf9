"""What JAX finds on four devices: `python -m tests.sharded 4 model` prints it.

`data` spreads each batch over the devices, `model` the weights, and `points` what an OTAD has
stored. With one device in their place, nothing is spread.
"""

import json
import re
import sys
import tempfile

import keras
import numpy as np

import lipot
from lipot.batches import predict
from tests.replicas import CLASSES, SHIFT, X, Y, hinge_network, spread

QUIET = {"sanity": False, "views": False, "progress": False, "clip_values": (0, 1)}
RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(size=(16, 6, 6, 4)).astype("float32")


def data(count):
    """What is asked of trained models, on a number of points that no device divides."""
    with spread(count):
        network = hinge_network()
        network.fit(X[:16], np.eye(CLASSES)[Y[:16]], batch_size=8, shuffle=False, verbose=0)
        found = {"network": answers(network), "OTAD": answers(adapted())}
        report = lipot.evaluate(network, X, Y, 2, [0.05], "quick", **QUIET)
        found["network"]["broken by"] = report.evaluations[0].broken_by[0.05].tolist()
        report = lipot.evaluate(adapted(), X, Y, 2, [0.05], ["fgsm"], batch_size=6, **QUIET)
        found["OTAD"]["broken by"] = report.evaluations[0].broken_by[0.05].tolist()
    return found


def adapted():
    """An OTAD, the points it stores on one device or spread as the distribution says."""
    double = keras.Sequential([keras.Input(X.shape[1:]), keras.layers.Rescaling(2.0)])
    drawn = keras.initializers.RandomNormal(seed=1)
    head = keras.layers.Dense(CLASSES, kernel_initializer=drawn)
    return lipot.OTAD(double, head, neighbors=3).adapt(X[:20])


def answers(model):
    """Outputs of a model and of what was saved of it, and its certificate."""
    with tempfile.TemporaryDirectory() as folder:
        model.save(f"{folder}/model.keras")
        loaded = keras.saving.load_model(f"{folder}/model.keras")
    found = {
        "predict": predict(model, X, 8, verbose=0).tolist(),
        "loaded": predict(loaded, X, 8, verbose=0).tolist(),
        "radius": lipot.certify(model, X, Y, batch_size=8).radius.tolist(),
    }
    if isinstance(model, lipot.OTAD):
        found["method"] = model.predict(X + SHIFT, batch_size=8, verbose=0).tolist()
        found["features"] = model.features(X + SHIFT, batch_size=8).tolist()
    return found


def model(count):
    """Trains a network whose kernels are spread, and says which part of each a device holds."""
    keras.utils.set_random_seed(0)
    layers = lipot.layers
    network = keras.Sequential(
        [
            keras.Input((6, 6, 4)),
            layers.SpectralConv2D(8, 3, name="convolution"),
            layers.OrthogonalConv2D(8, 3, name="blocks"),
            layers.GroupSort2(),
            keras.layers.Flatten(),
            layers.SpectralDense(16, name="tall"),
            layers.GroupSort2(),
            layers.SpectralDense(24, name="wide"),
            layers.FrobeniusDense(CLASSES, name="head"),
        ]
    )
    network = spread_over(network, count, least=64)
    optimizer = keras.optimizers.SGD(0.005, momentum=0.9)
    network.compile(optimizer, lipot.losses.MulticlassHKR(10.0))
    labels = np.eye(CLASSES)[Y[:16]]
    history = network.fit(IMAGES, labels, batch_size=8, epochs=5, shuffle=False, verbose=0)
    logits = predict(network, IMAGES[:7], 4, verbose=0)
    with tempfile.TemporaryDirectory() as folder:
        network.save(f"{folder}/model.keras")
        loaded = keras.saving.load_model(f"{folder}/model.keras")
    return {
        "history": history.history["loss"],
        "logits": logits.tolist(),
        "loaded": predict(loaded, IMAGES[:7], 4, verbose=0).tolist(),
        "radius": lipot.certify(network, IMAGES[:7]).radius.tolist(),
        "weights": [w.tolist() for w in network.get_weights()],
        "held": {
            name: held(variable)
            for layer in network.layers
            for name, variable in ((f"{layer.name} {v.name}", v) for v in layer.variables)
        },
        "slots": [held(v) for v in optimizer.variables if len(v.shape) > 1],
    }


def points(count):
    """Answers of an OTAD each of whose devices searches its own points."""
    otad = adapted()
    if count > 1:
        otad = spread_over(otad, count, least=20)
    return {**answers(otad), "held": [held(otad.memory.points), held(otad.memory.codes)]}


def spread_over(network, count, least):
    """The network again, as a user spreads it over a mesh of devices."""
    if count == 1:
        return network
    mesh = keras.distribution.DeviceMesh((count // 2, 2), ("batch", "model"), devices())
    layouts = lipot.models.layout_map(network, mesh, least=least)
    with tempfile.TemporaryDirectory() as folder:
        network.save(f"{folder}/model.keras")
        distribution = keras.distribution.ModelParallel(layout_map=layouts, batch_dim_name="batch")
        keras.distribution.set_distribution(distribution)
        return keras.saving.load_model(f"{folder}/model.keras")


def held(variable):
    """Shapes of a variable and of what one device holds of it."""
    return [list(variable.shape), list(variable.value.sharding.shard_shape(tuple(variable.shape)))]


def devices():
    return keras.distribution.list_devices()


def retraction(count):
    """Shapes of what devices send each other when a kernel is retracted whose rows they share."""
    import jax

    from lipot.math import stiefel

    mesh = keras.distribution.DeviceMesh((count,), ("model",), devices())
    found = {}
    for name, axes in (("rows", ("model", None)), ("columns", (None, "model"))):
        layout = keras.distribution.TensorLayout(axes, mesh).backend_layout
        run = jax.jit(stiefel.retract, in_shardings=layout, out_shardings=layout)
        text = run.lower(np.zeros((64, 16), "float32")).compile().as_text()
        pattern = r"= \(?f32\[([\d,]*)\][^=]* (all-\w+|collective-permute)(?:-start)?\("
        sent = {(kind, shape) for shape, kind in re.findall(pattern, text)}
        found[name] = sorted(sent)
    return found


if __name__ == "__main__":
    parts = {"data": data, "model": model, "points": points, "retraction": retraction}
    print(json.dumps(parts[sys.argv[2]](int(sys.argv[1]))))
