"""Every entry point that takes arrays decides its own computing type."""

import keras
import numpy as np
import pytest

import lipot
from lipot import models
from tests.helpers import to_numpy
from tests.models.linear_ot_classifier import linear_model
from tests.purifiers import purifier_cases

# Small whole numbers, which all types hold exactly.
WHOLE = np.random.default_rng(0).integers(0, 6, (40, 4))
TYPES = ["uint8", "int64", "float64", "float16"]


def parts():
    keras.utils.set_random_seed(0)
    backbone = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, "tanh")])
    return backbone, keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])


def otad(dtype="float32", kind=models.OTAD, **arguments):
    return kind(*parts(), neighbors=5, **arguments).adapt(WHOLE[:30].astype(dtype))


def network(*layers):
    # Seeds of its own: layers passed in have drawn theirs already.
    last = keras.layers.Dense(3, kernel_initializer=keras.initializers.GlorotUniform(seed=0))
    return keras.Sequential([keras.Input((4,)), *layers, last])


def straight_through(x, dtype):
    return models.StraightThrough(otad(dtype)).predict(x, verbose=0)


def with_metric(x, dtype):
    keras.utils.set_random_seed(0)
    metric = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    return otad(dtype, metric=metric).predict(x, verbose=0)


def with_embedding(x, dtype):
    return otad(dtype, embedding=keras.layers.Rescaling(0.5)).predict(x, verbose=0)


def cip_net(x, dtype):
    keras.utils.set_random_seed(0)
    net = models.CIPNet(neighbors=3, width=8, blocks=1, heads=2)
    return net([x, *(np.stack([WHOLE[:10]] * 3, axis=1).astype(dtype) for _ in range(2))])


def interpolation_data(x, dtype):
    stored = WHOLE[:30].astype(dtype)
    return models.InterpolationData(otad(dtype), stored, batch_size=8)[0][1]


def otad_certificate(x, dtype):
    return lipot.certify(otad(dtype), x).radius


def graph_certificate(x, dtype):
    hidden = keras.layers.Dense(
        5, "relu", kernel_initializer=keras.initializers.GlorotUniform(seed=1)
    )
    return lipot.certify(network(hidden), x).radius


def linear_certificate(x, dtype):
    return lipot.certify(network(), x).radius


def self_ensemble(x, dtype):
    return models.SelfEnsemble(network(models.RandomNoise(0.5, seed=0)), members=2)(x)


def noise_alone(x, dtype):
    return models.RandomNoise(0.5, seed=0)(x)


def adversarial_model(x, dtype):
    losses = [lipot.losses.AdversarialCrossentropy()]
    return models.AdversarialModel(network(), None, losses).predict(x, verbose=0)


def ot_classifier(x, dtype):
    keras.utils.set_random_seed(0)
    code = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    last = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    return models.OTClassifier(code, last).predict(x, verbose=0)


def evaluation(x, dtype):
    keras.utils.set_random_seed(0)
    report = lipot.evaluate(
        network(),
        x,
        [0] * len(x),
        2,
        0.2,
        ["pgd"],
        clip_values=(0.0, 6.0),
        sanity=False,
        views=False,
        progress=False,
    )
    return report.evaluations[0].certified_radius


def metric_network(x, dtype):
    keras.utils.set_random_seed(0)
    images = np.tile(x.reshape(10, 2, 2, 1), (1, 4, 4, 1))
    return models.metric_cnn((8, 8, 1), 4, filters=2)(images)


ENTRIES = {
    "call": lambda x, d: otad(d)(x),
    "predict": lambda x, d: otad(d).predict(x, verbose=0),
    "features": lambda x, d: otad(d).features(x),
    "network": lambda x, d: otad(d).network(x),
    "network_features": lambda x, d: otad(d).network_features(x),
    "relative_error": lambda x, d: otad(d).relative_error(x),
    "neighborhoods": lambda x, d: otad(d).neighborhoods(x).weights,
    "nearest": lambda x, d: otad(d).nearest(x).distances,
    "codes": lambda x, d: otad(d).codes(x),
    "queries": lambda x, d: otad(d).queries(x),
    "local_lipschitz": lambda x, d: otad(d).local_lipschitz(x, steps=1),
    "without_itself": lambda x, d: otad(d).without_itself(WHOLE[:10].astype(d))[1],
    "nearest_mean": lambda x, d: otad(d, models.NearestMean).predict(x, verbose=0),
    **{
        function.__name__: function
        for function in (
            *(straight_through, with_metric, with_embedding, cip_net, interpolation_data),
            *(otad_certificate, graph_certificate, linear_certificate, evaluation),
            *(self_ensemble, noise_alone, adversarial_model, ot_classifier, metric_network),
        )
    },
}


# A search through the interpolation for each type takes half a minute.
LONG = ("local_lipschitz",)


@pytest.mark.parametrize(
    "entry", [pytest.param(e, marks=pytest.mark.slow) if e in LONG else e for e in ENTRIES]
)
def test_the_answer_is_that_of_float32(entry):
    x = WHOLE[30:]
    expected = to_numpy(ENTRIES[entry](x.astype("float32"), "float32"))
    assert np.ptp(expected) > 0.0
    for dtype in TYPES:
        answer = to_numpy(ENTRIES[entry](x.astype(dtype), dtype))
        np.testing.assert_allclose(answer, expected, rtol=1e-5, atol=1e-5, err_msg=dtype)


def test_labels_of_whole_images():
    """The digits as bytes: each is its own neighbor and has its own class."""
    digits = lipot.datasets.load("digits")
    x = np.round(255.0 * digits.x_train[:100]).astype("uint8").reshape(100, 64)
    identity = keras.Sequential([keras.Input((64,)), keras.layers.Identity()])
    model = models.OTAD(identity, keras.layers.Identity(), neighbors=1).adapt(x)
    np.testing.assert_array_equal(model.predict(x, verbose=0), x)


def test_zeros_of_both_signs_are_one_point():
    x = np.array([[0.0, 1.0], [-0.0, 1.0], [2.0, 1.0], [2.0 + 1e-12, 1.0]])
    identity = keras.Sequential([keras.Input((2,)), keras.layers.Identity()])
    assert models.OTAD(identity, identity, neighbors=1).adapt(x).memory.size == 2


@pytest.fixture
def float64():
    # Where a policy was ever set, it does not follow `floatx`.
    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx(before[0])
    keras.config.set_dtype_policy(before[1])


def penalized(inputs, outputs):
    layer = keras.layers.Dense(outputs, kernel_regularizer="l2")
    return keras.Sequential([keras.Input((inputs,)), layer])


def check_trains(model, **compiled):
    model.compile(keras.optimizers.SGD(0.01), run_eagerly=True, **compiled)
    labels = np.eye(3)[WHOLE[:12, 0] % 3]
    history = model.fit(WHOLE[:12] / 6, labels, batch_size=12, verbose=0).history
    assert np.all(np.isfinite(history["loss"]))


@pytest.mark.parametrize("loss", [None, "stock", "hinge"])
def test_adversarial_training_in_float64(float64, loss):
    if loss == "stock":
        loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    elif loss == "hinge":
        loss = lipot.losses.MulticlassHKR(10.0)
    terms = [lipot.losses.AdversarialCrossentropy(), lipot.losses.GOT()]
    attack = lipot.attacks.PGD(0.05, steps=2)
    check_trains(models.AdversarialModel(penalized(4, 3), attack, terms), loss=loss)


@pytest.mark.parametrize("alternating", [False, True])
def test_an_ot_classifier_trains_in_float64(float64, alternating):
    nets = penalized(4, 2), penalized(2, 3), penalized(2, 1)
    rates = {}
    if alternating:
        names = "discriminator_optimizer", "encoder_optimizer"
        rates = {name: keras.optimizers.SGD(0.01) for name in names}
    check_trains(models.OTClassifier(*nets), **rates)


class Counting(keras.layers.Layer):
    """Counts how often it runs."""

    calls = 0

    def call(self, inputs):
        Counting.calls += 1
        return 2.0 * inputs


@pytest.mark.parametrize("entry", ["call", "neighborhoods", "without_itself", "features"])
def test_a_query_is_embedded_once(entry):
    x = WHOLE[:30].astype("float32")
    model = otad(embedding=Counting())
    model.run_eagerly = True
    Counting.calls = 0
    (model if entry == "call" else getattr(model, entry))(x)
    assert Counting.calls == 1


def test_stored_points_are_embedded_once():
    Counting.calls = 0
    model = models.OTAD(*parts(), embedding=Counting())
    model.adapt(WHOLE.astype("float32"))
    # All of them in one batch, and the call that builds the model.
    assert Counting.calls == 2


@pytest.mark.parametrize("floatx", ["float16", "bfloat16"])
def test_models_count_samples_in_float32_whatever_floatx_is(floatx):
    standard = keras.config.floatx()
    keras.config.set_floatx(floatx)
    try:
        terms = [lipot.losses.AdversarialCrossentropy(), lipot.losses.TRADES()]
        built = [models.AdversarialModel(network(), None, terms), linear_model()]
        built += [purifier_cases.ape_gan(), purifier_cases.defense_gan()]
        metrics = [metric for model in built for metric in model.metrics]
        assert len(metrics) == 7
        for metric in metrics:
            # Counts of float16 stop at 2048, those of bfloat16 at 256.
            for _ in range(9):
                metric.update_state(keras.ops.ones(257, "float32"))
            assert float(metric.result()) == 1.0 and float(metric.count) == 2313.0, metric.name
    finally:
        keras.config.set_floatx(standard)


def whole_numbers(units):
    layers = [keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), keras.layers.Dense(units)]
    return keras.Sequential([keras.Input((8, 8, 1), dtype="uint8"), *layers])


ATTACKED = {
    "classifier": lambda attack: models.AdversarialModel(
        whole_numbers(3), attack, [lipot.losses.AdversarialCrossentropy()]
    ),
    "encoder": lambda attack: models.OTClassifier(whole_numbers(4), network(), attack=attack),
    "classifier of a purifier": lambda attack: purifier_cases.ape_gan().train_against(
        whole_numbers(3)
    ),
}


@pytest.mark.parametrize("name", ATTACKED)
def test_what_rounds_its_inputs_has_nothing_an_attack_could_follow(name):
    argument = name.partition(" ")[0]
    with pytest.raises(ValueError, match=f"`{argument}`.*floating point inputs.*dtype uint8"):
        ATTACKED[name](lipot.attacks.FGSM(8.0, clip_max=255.0))
    assert models.OTClassifier(whole_numbers(4), network()).attack is None


class Overflowing(keras.layers.Layer):
    def call(self, inputs):
        return keras.ops.where(inputs > 0.5, float("nan"), inputs)


def overflowing(*layers):
    return keras.Sequential([keras.Input((2,)), *layers])


@pytest.mark.parametrize("log", ["robust_accuracy", "accuracy"])
def test_logits_that_are_no_numbers_are_right_for_no_class(log):
    # The largest of them is the first, for backends.
    broken = overflowing(Overflowing())
    term = lipot.losses.AdversarialCrossentropy()
    model = {
        "robust_accuracy": lambda: models.AdversarialModel(broken, None, [term]),
        "accuracy": lambda: models.OTClassifier(overflowing(keras.layers.Identity()), broken),
    }[log]()
    model.compile("sgd")
    x = np.array([[0.2, 0.1], [0.9, 0.1], [0.9, 0.9]], "float32")
    assert model.test_on_batch(x, np.zeros(3, int), return_dict=True)[log] == pytest.approx(1 / 3)
