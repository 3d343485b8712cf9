import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

import lipot
from lipot import models
from lipot.attacks import PGD
from lipot.models import OTClassifier, StandardNormal
from tests.helpers import check_serializable, to_numpy
from tests.models.linear_ot_classifier import OnesPrior


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    return (x / 16).astype("float32").reshape(-1, 8, 8, 1)[:640], y[:640]


def encoder(code_size=3):
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(32),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.Dense(code_size),
        ]
    )


def small(discriminator="lipschitz", **kwargs):
    critic = {
        "lipschitz": lambda: models.embedding_discriminator(3, units=16, layers=lipot),
        "clipped": lambda: models.embedding_discriminator(3, units=16, clip=0.05),
        None: lambda: None,
    }[discriminator]()
    return OTClassifier(encoder(), models.embedding_classifier(3, units=32), critic, **kwargs)


# What the paper's algorithm has, an optimizer for each step, does not fit Keras on JAX.
no_jax = pytest.mark.skipif(keras.backend.backend() == "jax", reason="one optimizer on JAX")
EITHER = ["one", pytest.param("three", marks=no_jax)]


def compile_each(model, optimizers, **settings):
    """Compiles with an optimizer for each step, as many as there are."""
    names = ("optimizer", "discriminator_optimizer", "encoder_optimizer")
    model.compile(**dict(zip(names, optimizers)), **settings)


def quick_compile(model, optimizers="one"):
    rates = (0.01, 0.005, 0.002)[: 1 if optimizers == "one" else 3]
    compile_each(model, map(keras.optimizers.Adam, rates), jit_compile="auto")


@pytest.mark.parametrize("optimizers", EITHER)
@pytest.mark.parametrize("kind", ["lipschitz", "clipped", None])
def test_every_kind_learns_through_fit(digits, kind, optimizers):
    model = small(kind)
    quick_compile(model, optimizers)
    history = model.fit(*digits, epochs=8, verbose=0).history
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    assert model.evaluate(*digits, verbose=0, return_dict=True)["accuracy"] > 0.8
    assert np.isfinite(history.get("divergence", 0.0)).all()
    assert ("divergence" in history) == (kind is not None)


def test_codes_follow_the_prior_when_the_divergence_weighs(digits):
    """Compares codes with the prior by POT's exact Wasserstein-1 distance, over three seeds."""
    ot, prior = pytest.importorskip("ot"), np.random.default_rng(0).normal(size=(640, 3))

    def distance(seed, kind, **kwargs):
        keras.utils.set_random_seed(seed)
        model = small(kind, **kwargs)
        # With momentum the two sides of a min-max run in circles.
        model.compile(keras.optimizers.Adam(0.01, beta_1=0.5))
        model.fit(*digits, epochs=40, verbose=0)
        codes = model.encoder.predict(digits[0], verbose=0)
        return ot.emd2([], [], ot.dist(codes, prior, "euclidean"))

    near = sum(distance(seed, "lipschitz", weight=1.0) for seed in range(3))
    assert near < 0.75 * sum(distance(seed, None) for seed in range(3))


@pytest.mark.parametrize("optimizers", EITHER)
def test_mixed_precision_takes_the_same_steps(digits, optimizers):
    count = 1 if optimizers == "one" else 3

    def trained(policy):
        keras.utils.set_random_seed(0)
        keras.config.set_dtype_policy(policy)
        try:
            model = small("clipped")
            compile_each(model, [keras.optimizers.SGD(0.1) for _ in range(count)])
        finally:
            keras.config.set_dtype_policy("float32")
        before = model.get_weights()
        model.fit(digits[0][:256], digits[1][:256], epochs=2, shuffle=False, verbose=0)
        return model, [new - old for old, new in zip(before, model.get_weights())]

    model, mixed = trained("mixed_float16")
    assert model.encoder.compute_dtype == "float16"
    names = ("optimizer", "discriminator_optimizer", "encoder_optimizer")[:count]
    for name in names:
        assert isinstance(getattr(model, name), keras.optimizers.LossScaleOptimizer)
    _, full = trained("float32")
    lengths = [[np.linalg.norm(part) for part in steps] for steps in (mixed, full)]
    np.testing.assert_allclose(*lengths, rtol=0.2, atol=1e-2)
    again = keras.saving.deserialize_keras_object(model.get_compile_config())
    assert isinstance(again[names[-1]], keras.optimizers.SGD if count == 3 else object)


@pytest.mark.parametrize("frozen", [["encoder"], ["discriminator"], ["encoder", "classifier"]])
def test_frozen_networks_stay_as_they_are_and_the_others_train(digits, frozen):
    model = small("lipschitz")
    networks = {name: getattr(model, name) for name in ("encoder", "classifier", "discriminator")}
    for name in frozen:
        networks[name].trainable = False
    quick_compile(model)
    before = {name: network.get_weights() for name, network in networks.items()}
    history = model.fit(digits[0][:64], digits[1][:64], verbose=0).history
    assert np.isfinite(history["loss"]).all()
    for name, network in networks.items():
        pairs = zip(before[name], network.get_weights())
        assert all(np.array_equal(old, new) for old, new in pairs) == (name in frozen), name


@pytest.mark.parametrize("optimizers", EITHER)
def test_regularizers_of_every_network_count(digits, optimizers):
    x, y = digits[0][:32], digits[1][:32]
    decay = keras.regularizers.L2(0.5)

    def dense(inputs, units):
        return keras.Sequential(
            [
                keras.Input(inputs),
                keras.layers.Flatten(),
                keras.layers.Dense(units, kernel_regularizer=decay, use_bias=False),
            ]
        )

    model = OTClassifier(dense((8, 8, 1), 3), dense((3,), 10), dense((3,), 1), weight=0.0)
    count = 1 if optimizers == "one" else 3
    compile_each(model, [keras.optimizers.SGD(0.1) for _ in range(count)])
    kernels = [network.get_weights()[0] for network in (model.encoder, model.classifier)]
    flat = x.reshape(32, -1)
    logits = flat @ kernels[0] @ kernels[1]
    crossentropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(y, logits)
    expected = float(crossentropy) + 0.5 * sum(np.sum(kernel**2) for kernel in kernels)
    critic = model.discriminator.get_weights()[0]
    if optimizers == "one":
        expected += 0.5 * np.sum(critic**2)
    evaluated = model.evaluate(x, y, verbose=0, return_dict=True)["loss"]
    assert evaluated == pytest.approx(expected, rel=1e-5)
    trained = model.train_on_batch(x, y, return_dict=True)["loss"]
    assert trained == pytest.approx(expected, rel=1e-5)
    # With no weight on the divergence the discriminator's one step is 0.1 * 2 * 0.5 w.
    np.testing.assert_allclose(model.discriminator.get_weights()[0], 0.9 * critic, rtol=1e-5)


def test_evaluate_computes_the_divergence(digits):
    model = small("lipschitz", prior=OnesPrior(3))
    quick_compile(model)
    history = model.fit(
        digits[0][:64], digits[1][:64], validation_data=(digits[0], digits[1]), verbose=0
    ).history
    score = lambda z: np.mean(model.discriminator.predict(z, batch_size=640, verbose=0))  # noqa: E731
    codes = model.encoder.predict(digits[0], verbose=0)
    expected = score(np.ones((640, 3), "float32")) - score(codes)
    assert abs(expected) > 1e-3
    assert history["val_divergence"][0] == pytest.approx(expected, rel=1e-3)


def test_the_loss_of_partial_batches_is_the_mean_over_examples(digits):
    x, y = digits[0][:70], digits[1][:70]
    # The loss holds the gap to the prior, which must be the same for both.
    model = small(prior=OnesPrior(3))
    quick_compile(model)
    whole = model.evaluate(x, y, batch_size=70, verbose=0, return_dict=True)["loss"]
    parts = model.evaluate(x, y, batch_size=64, verbose=0, return_dict=True)["loss"]
    assert parts == pytest.approx(whole, rel=1e-5)


def test_attacked_data_must_lie_in_the_range(digits):
    model = small(attack=PGD(0.1, steps=1))
    quick_compile(model)
    with pytest.raises(ValueError, match="clip_max=1.0"):
        model.fit(255.0 * digits[0], digits[1], verbose=0)


def test_a_softmax_in_the_classifier_is_refused():
    squashed = keras.Sequential([models.embedding_classifier(3), keras.layers.Softmax()])
    squashed.build((None, 3))
    with pytest.raises(ValueError, match="argument `classifier`.*a softmax"):
        OTClassifier(encoder(), squashed)


@pytest.mark.slow
def test_training_on_attacked_batches_is_more_robust(digits):
    attack = PGD(0.15, steps=10, seed=0)
    accuracy = {}
    for name, training_attack in (("clean", None), ("adversarial", PGD(0.15, steps=4))):
        keras.utils.set_random_seed(1)
        model = small(attack=training_attack)
        quick_compile(model)
        model.fit(*digits, epochs=10, verbose=0)
        x_adv = attack(lambda z: model(z, training=False), digits[0], digits[1])  # noqa: B023
        accuracy[name] = model.evaluate(x_adv, digits[1], verbose=0, return_dict=True)["accuracy"]
    assert accuracy["adversarial"] > accuracy["clean"] + 0.1


def test_saved_model_predicts_and_continues_the_same(digits, tmp_path):
    model = small(attack=PGD(0.1, steps=2))
    quick_compile(model)
    model.fit(digits[0][:64], digits[1][:64], verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_allclose(
        loaded.predict(digits[0], verbose=0), model.predict(digits[0], verbose=0), atol=1e-6
    )
    # Optimizers and random state travel along: the next epoch is the same.
    for copy in (model, loaded):
        copy.fit(digits[0][:64], digits[1][:64], shuffle=False, verbose=0)
    for old, new in zip(model.get_weights(), loaded.get_weights()):
        np.testing.assert_allclose(old, new, atol=1e-6)
    check_serializable(model)


def test_inference_model_shares_the_weights(digits):
    model = small()
    network = model.inference_model()
    np.testing.assert_allclose(
        network.predict(digits[0], verbose=0), model.predict(digits[0], verbose=0), atol=1e-6
    )
    assert network.layers[-1] is model.classifier


def test_priors_of_tensorflow_probability_are_accepted(digits):
    tfp = pytest.importorskip("tensorflow_probability")
    prior = tfp.distributions.MultivariateNormalDiag(loc=[0.0] * 3, scale_diag=[2.0] * 3)
    model = small(prior=prior)
    quick_compile(model)
    assert np.isfinite(model.fit(*digits, verbose=0).history["loss"]).all()


class Uniform:
    def __init__(self):
        self.seed_generator = keras.random.SeedGenerator(0)

    def sample(self, count):
        return keras.random.uniform((count, 3), seed=self.seed_generator)


def test_prior_without_config_trains_but_names_itself_when_saved(digits, tmp_path):
    model = small(prior=Uniform())
    quick_compile(model)
    model.fit(digits[0][:64], digits[1][:64], verbose=0)
    with pytest.raises(ValueError, match="prior of type Uniform"):
        model.save(tmp_path / "model.keras")
    model.inference_model().save(tmp_path / "inference.keras")


@pytest.mark.parametrize(
    ("create", "name"),
    [
        (lambda: OTClassifier("encoder", models.embedding_classifier(3)), "encoder"),
        (lambda: OTClassifier(keras.Sequential(), models.embedding_classifier(3)), "encoder"),
        (lambda: OTClassifier(encoder(), models.embedding_classifier(4)), "classifier"),
        (
            lambda: OTClassifier(
                encoder(), models.embedding_classifier(3), models.embedding_discriminator(4)
            ),
            "discriminator",
        ),
        (lambda: small(prior="normal"), "prior"),
        (lambda: small(prior=StandardNormal(7)), "prior"),
        (lambda: small(weight=-1.0), "weight"),
        (lambda: small(attack="pgd"), "attack"),
        (lambda: small(attack_delay=-1), "attack_delay"),
        (lambda: small(clean_share=1.0), "clean_share"),
    ],
)
def test_bad_arguments_are_named(create, name):
    with pytest.raises(ValueError, match=f"argument `{name}`"):
        create()


def test_random_noise_is_drawn_at_inference():
    layer = models.RandomNoise(0.5, seed=0)
    x = np.zeros((2000, 2), "float32")
    first, second = (np.array(layer(x, training=False)) for _ in range(2))
    assert np.std(first) == pytest.approx(0.5, rel=0.05)
    assert np.abs(first - second).max() > 0
    check_serializable(layer)


def test_self_ensemble_averages_probabilities():
    network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    ensemble = models.SelfEnsemble(network, members=3)
    # Without noise the average is the network itself.
    expected = keras.ops.log_softmax(network(x))
    np.testing.assert_allclose(to_numpy(ensemble(x)), to_numpy(expected), atol=1e-5)
    check_serializable(ensemble)


def test_random_self_ensemble_keeps_the_network_and_adds_noise():
    plain = models.carlini_wagner((16, 16, 1))
    noisy = models.random_self_ensemble(plain)
    assert noisy.count_params() == plain.count_params()
    assert sum(isinstance(layer, models.RandomNoise) for layer in noisy.layers) == 4


@pytest.mark.parametrize(
    "layer", [lipot.layers.SpectralConv2D(2, 3), keras.layers.SeparableConv2D(2, 3)]
)
def test_noise_goes_before_convolutions_of_every_kind(layer):
    network = keras.Sequential([keras.Input((6, 6, 1)), layer, keras.layers.Flatten()])
    noisy = models.random_self_ensemble(network)
    assert isinstance(noisy.layers[0], models.RandomNoise)


def test_a_network_without_convolutions_gets_no_noise_and_is_refused():
    network = keras.Sequential([keras.Input((6,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="argument `network`.*convolutions"):
        models.random_self_ensemble(network)
    with pytest.raises(ValueError, match="argument `network`"):
        models.SelfEnsemble("network")


def test_intrinsic_dimension_of_a_plane_in_space():
    pytest.importorskip("skdim")
    plane = np.random.default_rng(0).normal(size=(600, 2)) @ np.ones((2, 2))
    basis = np.linalg.qr(np.random.default_rng(1).normal(size=(20, 20)))[0][:, :3]
    points = np.random.default_rng(2).normal(size=(600, 3)) @ basis.T
    assert models.intrinsic_dimension(points) == pytest.approx(3.0, abs=0.4)
    assert models.intrinsic_dimension(plane) == pytest.approx(1.0, abs=0.2)
    with pytest.raises(ValueError, match="argument `x`"):
        models.intrinsic_dimension(points[:5])


def test_codes_are_drawn(digits, tmp_path):
    x, y = digits[0][:60], digits[1][:60]
    figure = models.plot_codes(small(), x, y, x[::-1])
    figure.savefig(tmp_path / "codes.png")
    assert [panel.get_title().split(":")[0] for panel in figure.axes[:2]] == [
        "clean codes",
        "adversarial codes",
    ]


@pytest.mark.parametrize("arguments", [("adam", "mse"), ("adam",)])
def test_a_loss_that_would_be_ignored_is_refused(arguments):
    settings = {} if len(arguments) == 2 else {"loss": keras.losses.CategoricalHinge()}
    with pytest.raises(ValueError, match="its own losses"):
        small().compile(*arguments, **settings)


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_slower_discriminator_leaves_the_scale_of_the_loss_alone(wrapped):
    """In half precision the loss is scaled, and divided by the scale, once."""
    policy = keras.config.dtype_policy()
    x, y = np.random.default_rng(0).uniform(size=(64, 6)).astype("float32"), np.arange(64) % 3
    moved = []
    keras.config.set_dtype_policy("mixed_float16")
    try:
        for rate in (1.0, 0.5):
            keras.utils.set_random_seed(0)
            parts = [
                keras.Sequential([keras.Input((size,)), keras.layers.Dense(units)])
                for size, units in ((6, 4), (4, 3), (4, 1))
            ]
            model = OTClassifier(*parts)
            optimizer = keras.optimizers.SGD(0.5)
            if wrapped:
                optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
            model.compile(optimizer, discriminator_rate=rate)
            before = model.encoder.get_weights()[0]
            model.fit(x, y, batch_size=16, shuffle=False, verbose=0)
            moved.append(np.abs(model.encoder.get_weights()[0] - before).max())
    finally:
        keras.config.set_dtype_policy(policy)
    np.testing.assert_allclose(moved[1], moved[0], rtol=0.1)


def test_averages_that_steps_of_another_optimizer_would_undo_are_refused():
    averaged = keras.optimizers.SGD(0.1, use_ema=True)
    with pytest.raises(ValueError, match="use_ema"):
        small().compile(averaged, discriminator_rate=0.5)
    if keras.backend.backend() != "jax":
        with pytest.raises(ValueError, match="encoder_optimizer.*use_ema"):
            small().compile("sgd", encoder_optimizer=averaged)
    small().compile(averaged)


def test_a_metric_under_the_name_of_a_log_is_refused():
    with pytest.raises(ValueError, match="`metrics`.*'accuracy'"):
        small().compile("adam", metrics=["accuracy"])
