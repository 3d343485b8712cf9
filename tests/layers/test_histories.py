"""However the weights came to be what they are, the network is the one those weights describe.

Each public layer with a kernel goes through a list of histories. After each, everything that
answers for the layer is compared with a fresh layer that never had another weight.
"""

import keras
import numpy as np
import pytest
from keras import ops

import lipot
from lipot import backend, layers
from tests.helpers import to_numpy
from tests.layers.kernel_cases import CASES, kernel_layers

CLASSES = 3


def first_case(name):
    if name not in CASES:
        pytest.fail(
            f"lipot.layers.{name} has an `inference_kernel`: give it in CASES of kernel_cases.py "
            "its arguments and an input shape, and its weights are changed in every way."
        )
    return CASES[name][0]


def classifier(layer, shape, classes=CLASSES):
    head = keras.layers.Dense(classes, name="head")
    return keras.Sequential([keras.Input(shape), layer, keras.layers.Flatten(), head])


def new_layer(name, arguments):
    return getattr(layers, name)(**arguments, name="kept")


def fresh(model):
    """A model that never had other weights, out of configurations and trainable weights alone."""
    kept, head = model.layers[0], model.layers[-1]
    layer = type(kept).from_config({**kept.get_config(), "trainable": True})
    copy = classifier(layer, model.input_shape[1:], head.units)
    # A frozen layer names no weight trainable, its copy does.
    for new, old in zip(layer.weights, kept.weights, strict=True):
        if new.trainable:
            # On JAX a shared array is gone once a program of the one has donated it.
            new.assign(to_numpy(old.value))
    for new, old in zip(copy.layers[-1].weights, head.weights, strict=True):
        new.assign(to_numpy(old.value))
    return copy


def slow(name):
    return pytest.param(name, marks=pytest.mark.slow)


class Subject:
    """A model on its way through the histories, and all that answers for it."""

    def __init__(self, name, arguments, shape, folder):
        self.make = lambda: classifier(new_layer(name, arguments), shape)
        self.arguments = name, arguments
        self.rng = np.random.default_rng(0)
        self.folder, self.shape = folder, shape
        self.x = self.rng.normal(size=(4, *shape)).astype("float32") / np.prod(shape) ** 0.5
        self.y = np.arange(4) % CLASSES
        self.start(self.make())

    def start(self, model):
        """Takes a model, and a program compiled over it which must see every later weight."""
        self.model = model
        self.program = backend.compile_over(model, lambda forward, x: forward(x))

    @property
    def layer(self):
        return self.model.layers[0]

    def answers(self):
        """Outputs by every way through the model itself; each fills what it may remember."""
        return {
            "predict": self.model.predict(self.x, verbose=0),
            "model(x)": to_numpy(self.model(self.x)),
            "compiled": to_numpy(self.program(self.x)),
        }

    def copies(self):
        """Outputs of what is made of the model."""
        file = self.folder / "model.keras"
        # Without the optimizer, which on JAX may have lost its averages, see `fit`.
        keras.Model(self.model.inputs, self.model.outputs).save(file)
        loaded = keras.saving.load_model(file, safe_mode=True)
        return {
            "save and load": to_numpy(loaded(self.x)),
            "to_keras": to_numpy(lipot.to_keras(self.model)(self.x)),
        }

    def differences(self):
        """Whatever does not say what a fresh layer says, with how far it is off."""
        reference = fresh(self.model)
        expected = to_numpy(reference(self.x, training=False))
        scale = max(1.0, np.abs(expected).max())
        found = {name: error(y, expected) / scale for name, y in self.answers().items()}
        bound = reference.layers[0].lipschitz_bound
        found["lipschitz_bound"] = error(self.layer.lipschitz_bound, bound) / bound
        certificate, true = (lipot.certify(m, self.x, self.y) for m in (self.model, reference))
        found["predictions"] = error(certificate.predictions, expected.argmax(axis=1))
        found["radius"] = error(certificate.radius, true.radius)
        found |= {name: error(y, expected) / scale for name, y in self.copies().items()}
        return {name: value for name, value in found.items() if not value <= 1e-6}

    def noisy(self, array):
        return (array + 0.3 * self.rng.normal(size=array.shape)).astype(array.dtype)

    def other(self):
        """A model of the same kind with weights of its own, which has answered already."""
        model = self.make()
        for weight in model.trainable_weights:
            weight.assign(self.noisy(to_numpy(weight.value)))
        model(self.x)
        return model

    def fit(self, **arguments):
        if keras.backend.backend() == "jax":
            # Keras shares the averages with the weights, whose arrays `predict` gives away.
            self.compile()
        self.model.fit(self.x, self.y, batch_size=2, verbose=0, **arguments)

    def compile(self):
        # A learning rate that no fit makes better, and that no layer blows up with.
        optimizer = keras.optimizers.SGD(0.3, use_ema=True, ema_momentum=0.5)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self.model.compile(optimizer, loss)


def error(value, expected):
    return float(np.max(np.abs(np.asarray(value, "float64") - np.asarray(expected, "float64"))))


def gradient_step(subject, model, optimizer):
    """One step of a loop of one's own; on JAX without states, as its users write it."""
    weights = [to_numpy(w.value) for w in model.trainable_variables]
    flat = np.concatenate([w.ravel() for w in weights])
    ends = np.cumsum([w.size for w in weights])[:-1].tolist()
    states = [v.value for v in model.non_trainable_variables]

    def split(vector):
        return [ops.reshape(v, w.shape) for v, w in zip(ops.split(vector, ends), weights)]

    def loss(vector):
        outputs, _ = model.stateless_call(split(vector), states, subject.x, training=True)
        return ops.sum(ops.square(outputs[:, 0] - 1.0))

    _, gradient = backend.value_and_input_gradient(loss, flat)
    variables, gradients = model.trainable_variables, split(gradient)
    if keras.backend.backend() != "jax":
        return optimizer.apply(gradients, variables)
    optimizer.build(variables)
    values = [v.value for v in variables], [v.value for v in optimizer.variables]
    values, _ = optimizer.stateless_apply(values[1], gradients, values[0])
    for variable, value in zip(variables, values):
        variable.assign(value)


def assigned(subject):
    for weight in subject.layer.trainable_weights:
        weight.assign(subject.noisy(to_numpy(weight.value)))


def weights_set(subject):
    subject.layer.set_weights([subject.noisy(w) for w in subject.layer.get_weights()])


def all_weights_halved(subject):
    subject.model.set_weights([0.5 * w for w in subject.model.get_weights()])


def pruned(subject):
    for weight in subject.layer.trainable_weights:
        value = to_numpy(weight.value)
        weight.assign(np.where(np.abs(value) < np.median(np.abs(value)), 0.0, value))


def called_in_training(subject):
    subject.model(subject.x, training=True)


def weights_loaded(subject):
    file = subject.folder / "other.weights.h5"
    subject.other().save_weights(file)
    subject.model.load_weights(file)


def weights_loaded_by_name_with_another_head(subject):
    other = classifier(new_layer(*subject.arguments), subject.shape, CLASSES + 1)
    load_what_fits(subject, other)


def weights_loaded_that_fit_in_part(subject):
    # The biases of a layer for wider inputs fit, its kernel does not.
    shape = (*subject.shape[:-1], 2 * subject.shape[-1])
    load_what_fits(subject, classifier(new_layer(*subject.arguments), shape))


def load_what_fits(subject, other):
    """Loads the file of a model that has answered, into one that never has."""
    other(np.zeros((1, *other.input_shape[1:]), "float32"))
    other.save(subject.folder / "other.h5")
    subject.start(subject.make())
    subject.model.load_weights(subject.folder / "other.h5", by_name=True, skip_mismatch=True)


def weights_of_a_twin(subject):
    other = subject.other().trainable_variables
    for mine, its in zip(subject.model.trainable_variables, other, strict=True):
        mine.assign(to_numpy(its.value))


def all_weights_of_a_twin(subject):
    subject.model.set_weights(subject.other().get_weights())


def twin_that_shares_the_layer(subject):
    inputs = keras.Input(subject.shape)
    features = keras.layers.Flatten()(subject.layer(inputs))
    twin = keras.Model(inputs, keras.layers.Dense(2)(features))
    gradient_step(subject, twin, keras.optimizers.SGD(0.3))


def loop_of_ones_own(subject):
    optimizer = keras.optimizers.Adam(0.1)
    for _ in range(2):
        gradient_step(subject, subject.model, optimizer)


def condensed(subject):
    # A residual block has no kernel that it could be frozen to.
    if hasattr(subject.layer, "condense"):
        subject.layer.condense()


def averages_after_validation(subject):
    subject.compile()
    subject.fit(epochs=2, validation_data=(subject.x, subject.y))


def averages_swapped(subject):
    swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
    subject.fit(epochs=2, validation_data=(subject.x, subject.y), callbacks=[swap])


def averages_swapped_while_predicting(subject):
    subject.fit()
    swap = keras.callbacks.SwapEMAWeights()
    subject.model.predict(subject.x, verbose=0, callbacks=[swap])


def best_weights_restored(subject):
    # The first epoch counts as the best.
    stop = keras.callbacks.EarlyStopping(
        monitor="val_loss", mode="max", baseline=1e9, patience=1, restore_best_weights=True
    )
    subject.fit(epochs=3, validation_data=(subject.x, subject.y), callbacks=[stop])


def frozen_and_thawed(subject):
    subject.layer.trainable = False
    subject.compile()
    subject.fit()
    assert subject.differences() == {}, "while frozen"
    subject.layer.trainable = True
    subject.compile()
    subject.fit()


WITHOUT_TRAINING = (
    assigned,
    weights_set,
    all_weights_halved,
    pruned,
    called_in_training,
    weights_of_a_twin,
    all_weights_of_a_twin,
    weights_loaded,
    weights_loaded_by_name_with_another_head,
    loop_of_ones_own,
    twin_that_shares_the_layer,
    condensed,
    assigned,
)
# The first compiles: the others go on with its program.
TRAINING = (
    averages_after_validation,
    averages_swapped,
    averages_swapped_while_predicting,
    best_weights_restored,
    frozen_and_thawed,
)


def disagreements(subject, histories):
    """What disagrees after each history, by its name; one after the other on the same model."""
    # Whatever can be remembered of the first weights is.
    subject.answers()
    found = {}
    for history in histories:
        history(subject)
        differences = subject.differences()
        if differences:
            found[history.__name__] = differences
    return found


def test_every_layer_with_a_kernel_is_known():
    names = kernel_layers()
    assert {"SpectralDense", "OrthogonalConv2D", "SDPResidualConv2D"} <= set(names)
    assert set(CASES) <= set(names)


# Each goes through many histories, for ten seconds and more: by default a dense layer goes through
# all of them, and a convolution through one without training and one with it.
FEW = {"OrthogonalConv2D": (assigned, averages_after_validation)}
ALL = ["SpectralDense", *(slow(name) for name in kernel_layers() if name != "SpectralDense")]


@pytest.mark.parametrize("name", ALL)
def test_weights_changed_without_training(name, tmp_path):
    subject = Subject(name, *first_case(name), tmp_path)
    assert disagreements(subject, WITHOUT_TRAINING) == {}


@pytest.mark.parametrize("name", ALL)
def test_weights_changed_by_training(name, tmp_path):
    subject = Subject(name, *first_case(name), tmp_path)
    assert disagreements(subject, TRAINING) == {}


@pytest.mark.parametrize("name", FEW)
def test_weights_changed_in_a_few_ways(name, tmp_path):
    subject = Subject(name, *first_case(name), tmp_path)
    assert disagreements(subject, FEW[name]) == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "case"), [(name, case) for name in CASES for case in CASES[name][1:]], ids=str
)
def test_weights_changed_in_every_shape_of_the_layer(name, case, tmp_path):
    subject = Subject(name, *case, tmp_path)
    assert disagreements(subject, (assigned, all_weights_halved, loop_of_ones_own)) == {}


@pytest.mark.parametrize("name", ["SpectralDense", slow("FrobeniusDense"), slow("SpectralConv2D")])
def test_files_that_fit_in_part(name, tmp_path):
    subject = Subject(name, *first_case(name), tmp_path)
    assert disagreements(subject, (weights_loaded_that_fit_in_part,)) == {}


CONDENSABLE = [name for name in kernel_layers() if hasattr(getattr(layers, name), "condense")]


@pytest.mark.parametrize("name", CONDENSABLE)
def test_condensing_keeps_the_outputs(name, tmp_path):
    subject = Subject(name, *first_case(name), tmp_path)
    assigned(subject)
    before = to_numpy(fresh(subject.model)(subject.x))
    # What it remembers is not what it is condensed to.
    subject.model(subject.x)
    subject.layer.condense()
    np.testing.assert_allclose(to_numpy(subject.model(subject.x)), before, atol=1e-5)


@pytest.mark.parametrize("name", kernel_layers())
def test_the_weights_are_the_trainable_ones_and_the_states_of_training(name, tmp_path):
    """A kernel that is remembered is no weight: nobody could edit it, save it or load it."""
    subject = Subject(name, *first_case(name), tmp_path)
    subject.model(subject.x)
    layer = subject.layer
    remembered = to_numpy(layer.inference_kernel)
    for weight in layer.weights:
        same = not weight.trainable and tuple(weight.shape) == remembered.shape
        assert not same, weight.path
