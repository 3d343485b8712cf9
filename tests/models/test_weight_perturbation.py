import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

from lipot import losses
from lipot.attacks import FGSM, PGD, TRADESPGD
from lipot.callbacks import AdversarialWeightPerturbation
from lipot.models.adversarial_model import AdversarialModel

JIT = "auto" if keras.backend.backend() == "jax" else False
# Where nothing depends on the compiled step, tracing takes longer than the steps.
EAGER = keras.backend.backend() == "tensorflow"
RNG = np.random.default_rng(0)
X = RNG.uniform(size=(16, 5)).astype("float32")
Y = np.arange(16) % 3


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    return (x / 16).astype("float32").reshape(-1, 8, 8, 1)[:128], y[:128]


def model_of(layers, attack=None, terms=None, optimizer=None, eager=False):
    terms = terms or [losses.AdversarialCrossentropy()]
    robust = AdversarialModel(keras.Sequential(layers), attack, terms)
    optimizer = optimizer or keras.optimizers.SGD(0.5)
    robust.compile(optimizer, jit_compile=JIT, run_eagerly=eager)
    return robust


def linear(**kwargs):
    return model_of([keras.Input((5,)), keras.layers.Dense(3, **kwargs)])


def perceptron(eager=EAGER):
    keras.utils.set_random_seed(3)
    layers = [keras.Input((5,)), keras.layers.Dense(7, "tanh"), keras.layers.Dense(3)]
    return model_of(layers, eager=eager)


def convolutional(attack, terms, **kwargs):
    layers = [
        keras.Input((8, 8, 1)),
        keras.layers.Conv2D(4, 3, strides=2),
        keras.layers.BatchNormalization(),
        keras.layers.ReLU(),
        keras.layers.Flatten(),
        keras.layers.Dense(10),
    ]
    return model_of(layers, attack, terms, **kwargs)


def fit(robust, *callbacks, x=X, y=Y, **kwargs):
    options = {"batch_size": len(x), "shuffle": False, "verbose": 0, **kwargs}
    return robust.fit(x, y, callbacks=list(callbacks), **options)


def crossentropy(x, weights, bias):
    """Mean cross-entropy of a linear network, and its gradients."""
    logits = x @ weights + bias
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    error = (p - np.eye(3)[Y]) / len(x)
    return -np.mean(np.log(p[np.arange(len(x)), Y])), x.T @ error, error.sum(axis=0)


@pytest.mark.smoke
def test_a_step_is_the_papers_by_hand():
    robust = linear()
    w, b = (np.array(v, "float64") for v in robust.classifier.get_weights())
    fit(robust, AdversarialWeightPerturbation(gamma=0.2))
    _, ascent, _ = crossentropy(X, w, b)
    moved = w + 0.2 * np.linalg.norm(w) * ascent / np.linalg.norm(ascent)
    _, at_w, at_b = crossentropy(X, moved, b)
    found = robust.classifier.get_weights()
    np.testing.assert_allclose(found[0], w - 0.5 * at_w, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[1], b - 0.5 * at_b, rtol=1e-4, atol=1e-5)
    # Without the callback the step is another one, or nothing was shown.
    assert np.abs(crossentropy(X, w, b)[1] - at_w).max() > 1e-3


def test_every_kernel_moves_along_its_own_slope():
    """The slopes of two layers by finite differences of the loss."""
    robust = perceptron()
    before = [np.array(v, "float64") for v in robust.classifier.get_weights()]

    def loss(weights):
        hidden = np.tanh(X @ weights[0] + weights[1])
        return crossentropy(hidden, weights[2], weights[3])[0]

    def slopes(weights):
        found = [np.zeros_like(w) for w in weights]
        for layer, index in ((i, at) for i, w in enumerate(weights) for at in np.ndindex(w.shape)):
            sides = []
            for shift in (1e-5, -1e-5):
                moved = [w.copy() for w in weights]
                moved[layer][index] += shift
                sides.append(loss(moved))
            found[layer][index] = (sides[0] - sides[1]) / 2e-5
        return found

    worse = [
        w + 0.3 * np.linalg.norm(w) * g / np.linalg.norm(g) if w.ndim == 2 else w
        for w, g in zip(before, slopes(before))
    ]
    fit(robust, AdversarialWeightPerturbation(gamma=0.3))
    for w, g, found in zip(before, slopes(worse), robust.classifier.get_weights()):
        np.testing.assert_allclose(found, w - 0.5 * g, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("attack", "terms"),
    [
        pytest.param(
            TRADESPGD(0.1, steps=2),
            lambda: [losses.TRADES(), losses.GOT(label_matching=True)],
            marks=pytest.mark.slow,
        ),
        (
            PGD(0.1, steps=2),
            lambda: [
                losses.AdversarialCrossentropy(),
                losses.SlicedWasserstein(),
                losses.OptimalJacobian(weight=0.01),
            ],
        ),
        pytest.param(
            FGSM(0.1),
            lambda: [losses.MART(), losses.ALP(), losses.RandomJacobian(weight=0.01)],
            marks=pytest.mark.slow,
        ),
        pytest.param(
            FGSM(0.1),
            lambda: [
                losses.SinkhornDivergence(),
                losses.AdversarialLoss(
                    keras.losses.SparseCategoricalCrossentropy(from_logits=True)
                ),
            ],
            marks=pytest.mark.slow,
        ),
    ],
    ids=["got-trades", "otjr", "mart-alp-jacobian", "sat"],
)
def test_it_composes_with_every_paired_loss(digits, attack, terms):
    x, y = digits
    robust = convolutional(attack, terms(), optimizer=keras.optimizers.Adam(0.01))
    awp = AdversarialWeightPerturbation(gamma=0.05)
    history = fit(robust, awp, x=x, y=y, batch_size=64, epochs=3).history
    assert set(history) == {"loss", "robust_accuracy", *(t.name for t in robust.terms)}
    assert np.isfinite(history["loss"]).all()
    assert history["loss"][-1] < history["loss"][0]


def test_the_loss_in_the_logs_is_that_at_the_worse_weights():
    robust = perceptron()
    plain = fit(perceptron()).history["loss"][0]
    losses_of = [
        fit(perceptron(), AdversarialWeightPerturbation(gamma)).history["loss"][0]
        for gamma in (1e-4, 0.1, 0.3)
    ]
    assert plain < losses_of[0] < losses_of[1] < losses_of[2]
    assert losses_of[0] == pytest.approx(plain, rel=1e-3)
    # Evaluation and validation are at the weights as they are.
    held = robust.evaluate(X, Y, batch_size=16, verbose=0, return_dict=True)["loss"]
    robust.perturb_weights(0.3)
    again = robust.evaluate(X, Y, batch_size=16, verbose=0, return_dict=True)["loss"]
    assert held == again == pytest.approx(plain, rel=1e-5)


def test_the_next_fit_is_free_of_it():
    twins = [perceptron(eager=False), perceptron(eager=False)]
    fit(twins[0], AdversarialWeightPerturbation(0.3))
    twins[1].set_weights(twins[0].get_weights())
    for twin in twins:
        fit(twin)
    for one, other in zip(*(twin.get_weights() for twin in twins)):
        np.testing.assert_array_equal(one, other)


def test_a_training_that_broke_off_leaves_nothing_behind():
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise KeyboardInterrupt

    robust = perceptron()
    with pytest.raises(KeyboardInterrupt):
        fit(robust, AdversarialWeightPerturbation(0.3), Stop())
    if keras.backend.backend() == "jax":
        return  # Keras leaves a model that was stopped so without its weights.
    twin = perceptron()
    twin.set_weights(robust.get_weights())
    for model in (robust, twin):
        fit(model)
    for one, other in zip(robust.get_weights(), twin.get_weights()):
        np.testing.assert_array_equal(one, other)


def test_it_starts_at_an_epoch():
    plain = fit(perceptron(), epochs=3).history["loss"]
    late = fit(
        perceptron(eager=False), AdversarialWeightPerturbation(0.3, start=2), epochs=3
    ).history["loss"]
    np.testing.assert_allclose(late[:2], plain[:2], rtol=1e-6)
    assert late[2] > plain[2] + 0.01


def test_statistics_and_random_state_are_those_of_one_pass(digits):
    x, y = digits
    layers = [
        keras.Input((8, 8, 1)),
        keras.layers.Flatten(),
        keras.layers.BatchNormalization(momentum=0.5, center=False, scale=False),
        keras.layers.Dropout(0.5, seed=1),
        keras.layers.Dense(10),
    ]
    seeds = []
    for callbacks in ([], [AdversarialWeightPerturbation(0.1)]):
        copies = [keras.layers.deserialize(keras.layers.serialize(p)) for p in layers[1:]]
        robust = model_of([layers[0], *copies], eager=EAGER)
        fit(robust, *callbacks, x=x, y=y)
        mean = np.array(robust.classifier.layers[1].moving_mean)
        np.testing.assert_allclose(mean, 0.5 * x.reshape(len(x), -1).mean(axis=0), atol=1e-5)
        seeds.append(np.array(robust.classifier.layers[2].seed_generator.state))
    if keras.backend.backend() != "torch":
        np.testing.assert_array_equal(*seeds)


@pytest.mark.slow
def test_mixed_precision_moves_the_same_way(digits):
    x, y = digits

    def trained(policy):
        keras.utils.set_random_seed(0)
        keras.config.set_dtype_policy(policy)
        try:
            robust = convolutional(FGSM(0.1), [losses.TRADES()], eager=EAGER)
        finally:
            keras.config.set_dtype_policy("float32")
        before = robust.classifier.get_weights()
        fit(robust, AdversarialWeightPerturbation(0.1), x=x, y=y, batch_size=32, epochs=2)
        return [new - old for old, new in zip(before, robust.classifier.get_weights())]

    half, full = trained("mixed_float16"), trained("float32")
    for one, other in zip(half, full):
        assert np.linalg.norm(one - other) < 0.2 * np.linalg.norm(other) + 1e-3


def test_another_model_is_refused_by_name():
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="lipot.AdversarialModel.*Received: a Sequential"):
        model.fit(X, np.eye(3)[Y], verbose=0, callbacks=[AdversarialWeightPerturbation()])


@pytest.mark.parametrize("arguments", [{"gamma": 0.0}, {"start": -1}])
def test_bad_arguments_are_named(arguments):
    with pytest.raises(ValueError, match=f"argument `{next(iter(arguments))}`"):
        AdversarialWeightPerturbation(**arguments)
