"""What is refused before training: probabilities for logits, and data outside the range."""

import keras
import numpy as np
import pytest
from keras import ops

from lipot import certify, losses
from lipot.attacks import FGSM
from lipot.models import OTAD, OTClassifier, Purified, SelfEnsemble, StraightThrough
from lipot.models.adversarial_model import AdversarialModel
from lipot.purifiers import MedianFilter
from tests.helpers import to_numpy
from tests.models.test_adversarial_model import classifier, quick_compile
from tests.purifiers import purifier_cases


@pytest.fixture
def digits():
    x = np.random.default_rng(0).integers(0, 17, (128, 8, 8, 1)) / 16
    return x.astype("float32"), np.arange(128) % 10


def ends():
    x = keras.Input((4,))
    logits = keras.layers.Dense(3)(x)
    stock = keras.layers
    inner = keras.Sequential([keras.Input((4,)), stock.Dense(3), stock.Softmax()])
    return {
        "layer": keras.Model(x, stock.Softmax()(logits)),
        "operation": keras.Model(x, ops.softmax(logits)),
        "sigmoid": keras.Model(x, ops.sigmoid(logits)),
        "activation": keras.Model(x, stock.Activation("softmax")(logits)),
        "before dropout": keras.Model(x, stock.Dropout(0.5)(stock.Softmax()(logits))),
        "inner model": keras.Sequential([keras.Input((4,)), inner]),
        "unbuilt": keras.Sequential([stock.Dense(3), stock.Softmax()]),
        "lambda": keras.Sequential([keras.Input((4,)), stock.Dense(3), stock.Lambda(ops.softmax)]),
    }


@pytest.mark.parametrize("end", ends())
def test_probabilities_of_every_form_are_refused(end):
    with pytest.raises(ValueError, match="returns logits"):
        AdversarialModel(ends()[end], None, [losses.TRADES()])


def test_logarithms_of_probabilities_are_logits():
    x = keras.Input((4,))
    network = keras.Model(x, ops.log_softmax(keras.layers.Dense(3)(x)))
    AdversarialModel(network, None, [losses.TRADES()])


def test_probabilities_that_no_graph_shows_are_refused_by_the_first_batch(digits):
    class Squashed(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = classifier()

        def call(self, x):
            return ops.softmax(self.inner(x))

    robust = AdversarialModel(Squashed(), None, [losses.AdversarialCrossentropy()])
    quick_compile(robust, "sgd")
    with pytest.raises(ValueError, match="that are probabilities"):
        robust.fit(*digits, verbose=0)


def generated(x, y):
    for start in range(0, len(x), 64):
        yield x[start : start + 64], y[start : start + 64]


class Batches(keras.utils.PyDataset):
    def __init__(self, x, y):
        super().__init__()
        self.batches = list(generated(x, y))

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        return self.batches[index]


@pytest.mark.parametrize("form", ["arrays", "generator", "py dataset", "tf.data"])
def test_data_outside_the_range_of_the_attack_are_refused(digits, form):
    x, y = digits[0][:128], digits[1][:128]
    robust = AdversarialModel(classifier(), FGSM(0.1), [losses.AdversarialCrossentropy()])
    quick_compile(robust, "sgd", metrics=["accuracy"])

    def data(scale):
        if form == "tf.data":
            source = pytest.importorskip("tensorflow.data").Dataset
            return (source.from_tensor_slices((scale * x, y)).batch(64),)
        make = {"generator": generated, "py dataset": Batches}.get(form, lambda *pair: pair)
        made = make(scale * x, y)
        return made if form == "arrays" else (made,)

    for call in (robust.fit, robust.evaluate):
        with pytest.raises(ValueError, match="clip_max=1.0.*Received: inputs from 0 to 255"):
            call(*data(255.0), verbose=0)
    validation = data(255.0) if form == "arrays" else data(255.0)[0]
    before = robust.get_weights()
    with pytest.raises(ValueError, match="Received: inputs from 0 to 255") as caught:
        robust.fit(x, y, validation_data=validation, verbose=0)
    assert caught.value.__notes__ == ["It was found in `validation_data`."]
    for weight, new in zip(before, robust.get_weights(), strict=True):
        np.testing.assert_array_equal(new, weight)
    # No batch is lost to the look at the first one.
    expected = robust.evaluate(x, y, batch_size=64, verbose=0, return_dict=True)
    found = robust.evaluate(*data(1.0), verbose=0, return_dict=True)
    assert found == pytest.approx(expected, rel=1e-5)
    if form == "generator":
        (validation,), robust.optimizer.learning_rate = data(1.0), 0.0
        history = robust.fit(
            x, y, batch_size=64, validation_data=validation, validation_steps=2, verbose=0
        ).history
        for name, value in expected.items():
            assert history[f"val_{name}"] == [pytest.approx(value, rel=1e-3)]


def test_a_single_batch_outside_the_range_is_refused_too(digits):
    robust = AdversarialModel(classifier(), FGSM(0.1), [losses.AdversarialCrossentropy()])
    quick_compile(robust, "sgd")
    for call in (robust.train_on_batch, robust.test_on_batch):
        with pytest.raises(ValueError, match="clip_max=1.0"):
            call(255.0 * digits[0][:8], digits[1][:8])


@pytest.mark.parametrize("shift", [-1, 1])
def test_class_numbers_that_no_output_has_are_refused(digits, shift):
    robust = AdversarialModel(classifier(), None, losses.TRADES())
    quick_compile(robust, "sgd")
    x, y = digits
    for call in (robust.fit, robust.evaluate):
        with pytest.raises(ValueError, match="class numbers from 0 to 9"):
            call(x, y + shift, verbose=0)


@pytest.mark.parametrize("form", [np.asarray, ops.convert_to_tensor, lambda y: [y]])
@pytest.mark.parametrize("call", ["train_on_batch", "test_on_batch"])
def test_a_single_batch_with_numbers_of_no_class_is_refused(digits, call, form):
    robust = AdversarialModel(classifier(), None, losses.TRADES())
    quick_compile(robust, "sgd")
    x, y = digits[0][:8], digits[1][:8]
    # The first call looks at the logits too, those that follow at inputs and labels alone.
    for labels in (y + 3, np.where(np.arange(8) == 7, 10, y), y - 1):
        with pytest.raises(ValueError, match="class numbers from 0 to 9"):
            getattr(robust, call)(x, form(labels))


@pytest.mark.parametrize("call", ["train_on_batch", "test_on_batch"])
def test_of_a_dict_all_rows_of_a_single_batch_are_checked(digits, call):
    robust = robust_classifier()
    x = np.where(np.arange(40)[:, None, None, None] == 39, 255.0, digits[0][:40])
    with pytest.raises(ValueError, match="clip_max=1.0"):
        getattr(robust, call)({"pixels": x}, digits[1][:40])


def test_only_the_first_single_batch_costs_a_pass_more(digits):
    robust, passes = robust_classifier(), []
    call = robust.call
    robust.call = lambda x: passes.append(keras.ops.shape(x)) or call(x)
    x, y = digits[0][:8], digits[1][:8]
    robust.train_on_batch(x, y)
    first = len(passes)
    robust.train_on_batch(x, y)
    robust.train_on_batch(x, y)
    # Where steps are no programs each is a pass of its own.
    steps = 2 if keras.backend.backend() == "torch" else 0
    assert first > steps // 2 and len(passes) == first + steps


def robust_classifier():
    robust = AdversarialModel(classifier(), FGSM(0.1), [losses.AdversarialCrossentropy()])
    quick_compile(robust, "sgd")
    return robust


@pytest.mark.parametrize("form", [lambda x: [x], lambda x: {"pixels": x}])
def test_one_array_may_come_in_a_list_or_a_dict(digits, form):
    keras.utils.set_random_seed(0)
    alone = robust_classifier().fit(*digits, verbose=0).history
    keras.utils.set_random_seed(0)
    assert robust_classifier().fit(form(digits[0]), digits[1], verbose=0).history == alone


def test_several_arrays_and_no_labels_are_refused_by_name(digits):
    x, y = digits
    with pytest.raises(ValueError, match="argument `x`. Expected one array .* Received: 2 arrays"):
        robust_classifier().fit([x, x], y, verbose=0)
    model = robust_classifier()
    for begin in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match="argument `y`. Expected labels"):
            begin(x, verbose=0)
    # On JAX a step that raises would have cost it the weights.
    assert model.predict(x[:1], verbose=0).shape == (1, 10)


def test_labels_of_another_rank_are_taken_by_a_model_that_was_trained():
    x, y = np.random.default_rng(0).uniform(size=(6, 4)).astype("float32"), np.arange(6) % 3
    network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model = AdversarialModel(network, None, [losses.AdversarialCrossentropy()])
    model.compile("sgd")
    for begin in (model.train_on_batch, model.test_on_batch):
        for labels in (y.astype("float32"), np.eye(3, dtype="float32")[y]):
            assert np.all(np.isfinite(begin(x, labels)))


@pytest.mark.parametrize("form", ["float", "column", "generator", "py dataset"])
def test_numbers_of_no_class_are_refused(digits, form):
    x, y = digits[0], digits[1] + 1
    data = {
        "float": (x, y.astype("float64")),
        "column": (x, y[:, None].astype("float32")),
        "generator": (generated(x, y),),
        "py dataset": (Batches(x, y),),
    }[form]
    with pytest.raises(ValueError, match="argument `y`. Expected class numbers from 0 to 9"):
        robust_classifier().fit(*data, verbose=0)


@pytest.mark.parametrize("kind", [str, object, complex])
def test_labels_that_are_no_numbers_are_refused(digits, kind):
    x, y = digits[0], digits[1].astype(kind)
    with pytest.raises(ValueError, match="argument `y`. Expected class .*np.unique.* dtype"):
        robust_classifier().fit(x, y, verbose=0)


@pytest.mark.parametrize(
    "loss",
    [
        keras.losses.SparseCategoricalCrossentropy(),
        keras.losses.categorical_crossentropy,
        "sparse_categorical_crossentropy",
    ],
)
def test_losses_of_probabilities_are_refused(digits, loss):
    robust = robust_classifier()
    quick_compile(robust, "sgd", loss)
    with pytest.raises(ValueError, match="argument `loss`. Expected a loss of logits"):
        robust.fit(*digits, verbose=0)


def test_an_adversarial_loss_of_probabilities_is_refused():
    with pytest.raises(ValueError, match="argument `loss`. Expected a loss of logits"):
        losses.AdversarialLoss(keras.losses.SparseCategoricalCrossentropy())
    losses.AdversarialLoss(keras.losses.SparseCategoricalCrossentropy(from_logits=True))


def test_augmentation_inside_the_classifier_is_told():
    inside = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.RandomFlip(), classifier()])
    with pytest.warns(UserWarning, match="random_flip.*Augment in the data set"):
        AdversarialModel(inside, None, [losses.TRADES()])


def several_models(digits):
    """Models of other kinds that take one array."""
    network = classifier()
    backbone = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Rescaling(0.5)])
    otad = OTAD(backbone, classifier(), 3)
    otad.adapt(*(part[:20] for part in digits))
    return [
        Purified(MedianFilter(), network),
        purifier_cases.sparse_transform(),
        otad,
        StraightThrough(otad, network),
        SelfEnsemble(network, members=2),
    ]


def test_models_of_every_kind_take_one_array_in_a_list_or_a_dict(digits):
    x = digits[0][:4]
    for model in several_models(digits):
        alone = to_numpy(model(x))
        for form in ([x], {"pixels": x}):
            np.testing.assert_allclose(to_numpy(model(form)), alone, atol=1e-6)
        # One is enough: `predict` is traced for each form.
        np.testing.assert_allclose(model.predict({"pixels": x}, verbose=0), alone, atol=1e-4)


def test_purifiers_are_fitted_to_one_array_in_a_dict(digits):
    keras.utils.set_random_seed(0)
    purifier = purifier_cases.sparse_transform()
    purifier.compile("sgd")
    history = purifier.fit({"pixels": digits[0][:8]}, verbose=0).history
    assert np.isfinite(history["loss"]).all()


ROWS_OF_NO_CLASS = {
    "no class": np.zeros((128, 10)),
    "two classes": np.eye(10)[np.arange(128) % 10] + np.eye(10)[(np.arange(128) + 1) % 10],
    "scores": np.random.default_rng(0).normal(size=(128, 10)),
}


@pytest.mark.parametrize("rows", ROWS_OF_NO_CLASS)
def test_rows_that_are_no_distribution_are_refused(digits, rows):
    model = robust_classifier()
    with pytest.raises(ValueError, match="rows of probabilities that sum to 1.*Received: the row"):
        model.fit(digits[0], ROWS_OF_NO_CLASS[rows], verbose=0)


def test_rows_of_probabilities_and_of_signs_are_taken(digits):
    keras.utils.set_random_seed(0)
    one_hot, model = np.eye(10)[digits[1]], robust_classifier()
    found = [
        model.evaluate(digits[0], y, verbose=0, return_dict=True)["loss"]
        for y in (digits[1], one_hot, 2.0 * one_hot - 1.0, 0.999 * one_hot + 1e-4)
    ]
    np.testing.assert_allclose(found[1:3], found[0], rtol=1e-5)
    np.testing.assert_allclose(found[3], found[0], rtol=1e-2)


@pytest.mark.parametrize("form", [lambda y: [y], lambda y: {"digit": y}, lambda y: (y,)])
def test_labels_in_a_container_of_one_train_as_in_keras(form):
    x, y = np.random.default_rng(0).uniform(size=(50, 6)).astype("float32"), np.arange(50) % 3
    classifier = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    robust = AdversarialModel(classifier, None, losses.AdversarialCrossentropy())
    robust.compile("sgd")
    loss = robust.evaluate(x, y, verbose=0)[0]
    assert robust.evaluate(x, form(y), verbose=0)[0] == pytest.approx(loss)
    robust.fit(x, form(y), verbose=0)
    with pytest.raises(ValueError, match=r"argument `y`.*one array of labels.*2 arrays"):
        robust.fit(x, [y, y], verbose=0)


def test_what_was_trained_can_be_certified(digits):
    model = robust_classifier()
    model.fit(*digits, verbose=0)
    found, expected = (certify(each, digits[0][:8]) for each in (model, model.classifier))
    np.testing.assert_array_equal(found.radius, expected.radius)


def test_texts_and_several_weights_for_a_sample_are_refused(digits):
    x, y = digits
    adversarial = AdversarialModel(classifier(), None, [losses.TRADES()])
    encoded = keras.Sequential([keras.Input((10,)), keras.layers.Dense(10)])
    coded = OTClassifier(classifier(), encoded)
    purifier = purifier_cases.TRAINED["APEGAN"]()
    for model, labels in ((adversarial, y), (coded, y), (purifier, None)):
        quick_compile(model)
        with pytest.raises(ValueError, match=r"`x`. Expected numbers. Received: dtype <U"):
            model.fit(x.astype(str), labels, verbose=0)
        if labels is None:
            # Keras drops the weights of samples without labels.
            continue
        with pytest.raises(ValueError, match=r"`sample_weight`. Expected one weight for each"):
            model.fit(x, labels, sample_weight=np.ones((128, 2)), verbose=0)
        assert model.predict(x[:1], verbose=0).shape == (1, 10)
