"""Whatever Keras does for a stock model in training it does for every model of ours.

Each is trained beside a network of stock layers with the same weights, once in float32 and once
with a scaled loss: with a regularizer, a frozen layer, sample weights, a last batch that is smaller
than the others, and validation. Losses, metrics and weights must come out the same.
"""

import keras
import numpy as np
import pytest

from lipot import losses, models
from lipot.attacks import PGD
from lipot.callbacks import AdversarialWeightPerturbation
from lipot.models import AdversarialModel, CIPNet, OTClassifier

RNG = np.random.default_rng(0)
POINTS, FEATURES, CLASSES = 20, 6, 3
X = RNG.uniform(size=(POINTS, FEATURES)).astype("float32")
Y = np.arange(POINTS) % CLASSES
WEIGHTS = RNG.uniform(0.0, 2.0, size=POINTS).astype("float32")
BACKEND = keras.backend.backend()
QUICK = {"run_eagerly": True} if BACKEND != "jax" else {"jit_compile": "auto"}


def decay():
    return keras.regularizers.L2(0.01)


def stock(normalized=True):
    """A stock classifier: a penalized layer, batch statistics, a frozen layer, a head."""
    frozen = keras.layers.Dense(5, "relu", name="frozen")
    frozen.trainable = False
    hidden = keras.layers.Dense(8, "tanh", kernel_regularizer=decay())
    middle = [keras.layers.BatchNormalization()] if normalized else []
    return keras.Sequential(
        [keras.Input((FEATURES,)), hidden, *middle, frozen, keras.layers.Dense(CLASSES)]
    )


def adversarial(attack=None):
    twin = stock()
    network = keras.models.clone_model(twin)
    network.set_weights(twin.get_weights())
    terms = [losses.AdversarialCrossentropy()]
    return AdversarialModel(network, attack, terms), network, twin


def pieces():
    """An OT-Classifier without a discriminator, which is its two networks."""
    twin = stock()
    parts = keras.models.clone_model(twin)
    parts.set_weights(twin.get_weights())
    encoder = keras.Sequential([keras.Input((FEATURES,)), *parts.layers[:-1]])
    classifier = keras.Sequential([keras.Input((5,)), parts.layers[-1]])
    return OTClassifier(encoder, classifier), parts, twin


def residual():
    """The training of OTAD, a residual network, beside the same of stock layers."""
    backbone = models.transport_resnet(FEATURES, blocks=1, weight=0.0, weight_decay=0.02)
    network = keras.Sequential(
        [keras.Input((FEATURES,)), backbone, keras.layers.Dense(CLASSES)], name="otad"
    )
    inputs = keras.Input((FEATURES,))
    dense = [keras.layers.Dense(FEATURES, a, kernel_regularizer=decay()) for a in ("relu", None)]
    outputs = inputs + dense[1](dense[0](inputs))
    twin = keras.Model(inputs, keras.layers.Dense(CLASSES)(outputs))
    network.layers[0].layers[0].branch.layers[0].trainable = dense[0].trainable = False
    twin.set_weights(_matched(twin, network))
    return network, network, twin


def interpolating():
    """The network that learns convex integration, beside the graph that calls it."""
    shapes = [(FEATURES,), (2, FEATURES), (2, FEATURES)]
    network, copy = (CIPNet(neighbors=2, width=8, blocks=1, heads=2) for _ in "ab")
    for one in (network, copy):
        one.project_features.kernel_regularizer = decay()
        one.build([(None, *shape) for shape in shapes])
        one.project_points.trainable = False
    copy.set_weights(network.get_weights())
    inputs = [keras.Input(shape) for shape in shapes]
    return network, network, keras.Model(inputs, copy(inputs))


def _matched(twin, network):
    """The weights of a network in the order of a twin that holds the same shapes."""
    left = [*network.get_weights()]
    found = []
    for weight in twin.get_weights():
        index = next(i for i, other in enumerate(left) if other.shape == weight.shape)
        found.append(left.pop(index))
    return found


CASES = {
    "AdversarialModel": adversarial,
    "AWP": adversarial,
    "OTClassifier": pieces,
    "OTAD": residual,
    "CIPNet": interpolating,
}


def data(name):
    if name != "CIPNet":
        return X, Y
    near = RNG.normal(size=(2, POINTS, 2, FEATURES)).astype("float32")
    return [X, near[0], near[1]], RNG.normal(size=X.shape).astype("float32")


def trained(model, name, x, y, callbacks=()):
    """The history of two epochs, sample weights and all."""
    regression = name == "CIPNet"
    own = isinstance(model, AdversarialModel | OTClassifier)
    loss = None if own else keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    settings = {} if isinstance(model, OTClassifier) else {"loss": "mse" if regression else loss}
    if not isinstance(model, OTClassifier):
        settings["weighted_metrics"] = ["mae" if regression else "accuracy"]
    model.compile(keras.optimizers.SGD(0.1, momentum=0.5), **settings, **QUICK)
    return model.fit(
        x,
        y,
        sample_weight=WEIGHTS,
        batch_size=8,
        epochs=2,
        shuffle=False,
        verbose=0,
        validation_data=(x, y, WEIGHTS[::-1]),
        validation_batch_size=8,
        callbacks=list(callbacks),
    ).history


QUICK_CASES = [("float32", name) for name in CASES]
QUICK_CASES += [("mixed_float16", name) for name in ("AWP", "OTClassifier")]
SLOW_CASES = [
    pytest.param("mixed_float16", name, marks=pytest.mark.slow)
    for name in ("AdversarialModel", "OTAD", "CIPNet")
]


@pytest.mark.parametrize(("policy", "name"), QUICK_CASES + SLOW_CASES)
def test_training_is_that_of_a_stock_twin(name, policy):
    if BACKEND == "jax" and name == "OTClassifier" and policy == "mixed_float16":
        pytest.skip("Asked on TensorFlow.")
    keras.utils.set_random_seed(1)
    keras.config.set_dtype_policy(policy)
    try:
        model, network, twin = CASES[name]()
        x, y = data(name)
        # So small a move changes nothing but the way that the step is computed.
        callbacks = [AdversarialWeightPerturbation(1e-6)] if name == "AWP" else []
        before = twin.get_weights()
        expected = trained(twin, name, x, y)
        found = trained(model, name, x, y, callbacks)
    finally:
        keras.config.set_dtype_policy("float32")
    if policy == "mixed_float16":
        assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    tolerance = 1e-4 if policy == "float32" else 2e-2
    assert set(expected) <= set(found)
    if isinstance(model, AdversarialModel):
        # Its prediction is that of inference; the twin's metrics see the training pass.
        expected.pop("accuracy")
    for key in expected:
        np.testing.assert_allclose(found[key], expected[key], rtol=tolerance, err_msg=key)
    after = _matched(twin, network) if name == "OTAD" else network.get_weights()
    moved = [np.abs(new - old).max() for new, old in zip(twin.get_weights(), before)]
    assert min(moved) == 0.0 < 0.01 < max(moved)
    for ours, theirs in zip(after, twin.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def test_the_attack_sees_what_the_stock_twin_would():
    """Under attack the loss is that of a stock model on the attacked inputs, penalty included."""
    model, network, twin = adversarial(PGD(0.1, steps=2, random_start=False))
    x_adv = keras.ops.convert_to_numpy(model.attack(lambda z: network(z, training=False), X, Y))
    model.compile("sgd", **QUICK)
    twin.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), **QUICK)
    found = model.evaluate(X, Y, batch_size=8, verbose=0, return_dict=True)
    expected = twin.evaluate(x_adv, Y, batch_size=8, verbose=0)
    assert found["loss"] == pytest.approx(expected, rel=1e-5)
    assert float(sum(network.losses)) > 0.0
