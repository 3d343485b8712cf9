"""The contract with Keras's inside: what fails here has moved in this version of Keras."""

import inspect
import itertools

import keras
import numpy as np
import pytest
from keras import layers, ops

import lipot
from lipot.backend import keras_graph, operation_kinds
from tests.helpers import to_numpy

VERSION = f"Keras {keras.__version__}: adapt lipot/backend/keras_graph.py"


def run(model, values):
    """Runs a model by its steps alone, as a certificate walks it."""
    core = keras_graph.graph_core(model)
    assert core is not None, VERSION
    known = {id(tensor): value for tensor, value in zip(core.inputs, values)}
    for step in keras_graph.steps(core):
        assert all(id(tensor) in known for tensor in step.inputs), VERSION
        args, kwargs = step.arguments(known)
        found = keras.tree.flatten(step.operation(*args, **kwargs))
        assert len(found) == len(step.outputs), VERSION
        known.update((id(tensor), value) for tensor, value in zip(step.outputs, found))
    return [to_numpy(known[id(tensor)]) for tensor in core.outputs]


def check(model, *shapes, call=lambda model, values: model(values)):
    rng = np.random.default_rng(0)
    values = [ops.convert_to_tensor(rng.normal(size=s).astype("float32")) for s in shapes]
    expected = keras.tree.flatten(call(model, values if len(values) > 1 else values[0]))
    found = run(model, values)
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected):
        np.testing.assert_allclose(ours, to_numpy(theirs), atol=1e-6, err_msg=VERSION)


def operations(model):
    return [step.operation for step in keras_graph.steps(keras_graph.graph_core(model))]


class Summed(layers.Layer):
    """Two inputs and an argument by name, two outputs."""

    def call(self, first, *, second, factor=1.0):
        return first + factor * second, first - second


def test_a_sequential_model():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.ReLU()])
    check(model, (2, 4))
    assert operations(model) == model.layers


def test_a_sequential_model_that_is_built_late():
    model = keras.Sequential([layers.Dense(3), layers.Dense(2)])
    assert keras_graph.graph_core(model) is None
    model(np.ones((2, 4), "float32"))
    check(model, (2, 4))


def test_nested_models_are_one_step_each():
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(4)])
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Add()([inner(inputs), inner(inner(inputs))]))
    check(model, (2, 4))
    assert operations(model).count(inner) == 3


def test_shared_layers_are_a_step_for_each_call_in_this_graph():
    shared, inputs = layers.Dense(4), keras.Input((4,))
    model = keras.Model(inputs, shared(shared(inputs)))
    shared(inputs)  # Outside the graph.
    check(model, (2, 4))
    assert operations(model) == [shared, shared]


def test_several_inputs_and_outputs_and_arguments_by_name():
    a, b = keras.Input((4,)), keras.Input((4,))
    total, difference = Summed()(layers.Dense(4)(a), second=b, factor=3.0)
    model = keras.Model([a, b], [difference, total, a])
    check(model, (2, 4), (2, 4))
    step = keras_graph.producer(total)
    assert step.kwargs["factor"] == 3.0 and step.inputs[1] is b and len(step.outputs) == 2


def test_inputs_by_name():
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    named = keras.Model({"left": a, "right": b}, ops.subtract(a, b))
    check(named, (2, 4), (2, 4), call=lambda m, v: m({"left": v[0], "right": v[1]}))
    assert keras_graph.inputs_by_name(named) == {"left", "right"}
    assert keras_graph.inputs_by_name(keras.Model([a, b], a + b)) is None
    assert keras_graph.inputs_by_name(layers.Dense(2)) is None
    inputs = keras.Input((4,))
    outer = keras.Model(inputs, named({"right": inputs, "left": 2.0 * inputs}))
    check(outer, (2, 4))


# The word for an operation, and code that makes one.
KINDS = {
    "x + y": ("sum", lambda x: x + x),
    "x + 1": ("sum", lambda x: x + 1.0),
    "1 - x": ("difference", lambda x: 1.0 - x),
    "ops.add": ("sum", lambda x: ops.add(x, x)),
    "ops.subtract": ("difference", lambda x: ops.subtract(x, x)),
    "-x": ("negation", lambda x: -x),
    "ops.relu": ("relu", ops.relu),
    "2 * x": ("product", lambda x: 2.0 * x),
    "ops.multiply": ("product", lambda x: ops.multiply(x, x)),
    "x / 2": ("quotient", lambda x: x / 2.0),
    "ops.divide": ("quotient", lambda x: ops.divide(x, 2.0)),
    "ops.true_divide": ("quotient", lambda x: ops.true_divide(x, 2.0)),
    "ops.maximum": ("maximum", lambda x: ops.maximum(x, 0.0)),
    "ops.minimum": ("minimum", lambda x: ops.minimum(x, x)),
    "ops.concatenate": ("concatenation", lambda x: ops.concatenate([x, x], axis=-1)),
    "activations.relu": ("bent", lambda x: keras.activations.relu(x)),
    "ops.reshape": ("reshape", lambda x: ops.reshape(x, (-1, 2, 2))),
    "x[:, 0]": ("slice", lambda x: x[:, 0]),
    "x ** 2": (None, lambda x: x**2),
    "layers.Add": (None, lambda x: layers.Add()([x, x])),
}


@pytest.mark.parametrize("kind, function", KINDS.values(), ids=KINDS)
def test_the_kind_of_each_operation(kind, function):
    inputs = keras.Input((4,))
    model = keras.Model(inputs, function(inputs))
    check(model, (2, 4))
    (operation,) = operations(model)
    assert keras_graph.operation_kind(operation) == kind, VERSION


def test_no_name_of_a_kind_is_that_of_two_operations_of_keras():
    def below(kind):
        return {kind}.union(*map(below, kind.__subclasses__()))

    stock = [c for c in below(keras.Operation) if keras_graph.is_stock(c)]
    names = [c.__name__ for c in stock if not issubclass(c, layers.Layer)]
    known = [*operation_kinds.KINDS, *itertools.chain(*operation_kinds.FAULTS.values())]
    # A version of Keras may lack some.
    assert {name: names.count(name) for name in known if names.count(name) > 1} == {}, VERSION
    assert len(set(known)) == len(known)


def test_the_axis_of_a_concatenation_and_the_index_of_a_slice():
    inputs = keras.Input((3, 4))
    joined = keras_graph.producer(ops.concatenate([inputs, inputs], axis=1)).operation
    assert keras_graph.concatenation_axis(joined) == 1
    assert keras_graph.producer(inputs[:, 1:]).args[1] == (slice(None), slice(1, None))


def test_the_producer_of_an_input_has_no_inputs():
    inputs = keras.Input((4,))
    assert keras_graph.producer(inputs).inputs == ()


def test_all_layers_finds_those_inside_layers():
    dense, activation = layers.Dense(4), lipot.layers.GroupSort2()
    residual = lipot.layers.TransportResidual(keras.Sequential([dense, activation]))
    model = keras.Sequential([keras.Input((4,)), residual])
    found = keras_graph.all_layers(model)
    assert found[0] is model
    assert {id(dense), id(activation), id(residual)} < {id(layer) for layer in found}
    assert len({id(layer) for layer in found}) == len(found)


def test_a_mask_hangs_on_the_tensor():
    tokens = keras.layers.Embedding(3, 2, mask_zero=True)(keras.Input((4,)))
    assert keras_graph.mask_of(tokens) is not None, VERSION
    assert keras_graph.mask_of(keras.Input((4,))) is None
    rows = keras.layers.Masking()(keras.ops.convert_to_tensor([[0.0], [2.0]]))
    assert keras.ops.convert_to_numpy(keras_graph.mask_of(rows)).tolist() == [False, True], VERSION
    assert keras_graph.mask_of(rows + 0.0) is None


def test_what_takes_training_and_what_trains_by_default():
    takes, defaults = keras_graph.takes_training, keras_graph.trains_by_default
    assert takes(layers.Dropout(0.5)) and not defaults(layers.Dropout(0.5))
    assert takes(layers.RandomFlip()) and defaults(layers.RandomFlip())
    assert not takes(layers.ReLU()) and not defaults(layers.ReLU())
    assert takes(keras.Sequential([layers.ReLU()]))
    # Keras itself goes by the same.
    for layer in (layers.Dropout(0.5), layers.ReLU(), layers.BatchNormalization()):
        assert takes(layer) == ("training" in inspect.signature(type(layer).call).parameters)


def test_weights_can_be_replaced_after_the_build():
    class Memory(layers.Layer):
        def build(self, input_shape):
            self.kernel = self.add_weight(shape=(2,), name="kernel")

    layer = Memory()
    layer.build((None, 4))
    with keras_graph.replacing_weights(layer):
        layer.kernel = layer.add_weight(shape=(5,), name="kernel")
    assert [tuple(weight.shape) for weight in layer.weights] == [(5,)], VERSION
    with pytest.raises(ValueError, match="cannot add new"):
        layer.extra = layer.add_weight(shape=(1,), name="extra")


def test_the_loss_of_a_custom_step_is_reported():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    keras_graph.update_loss(model, 3.0, 6)
    keras_graph.update_loss(model, 5.0, 2)
    assert {m.name: float(m.result()) for m in model.metrics}["loss"] == 3.5, VERSION


def test_a_name_that_has_moved_is_said_with_the_version():
    with pytest.raises(NotImplementedError, match=f"Keras {keras.__version__} has no `_loss_tra"):
        keras_graph.update_loss(object(), 1.0, 1)


def test_an_adam_tells_the_place_and_the_momentum_of_each_variable():
    variables = [keras.Variable(np.full(n, n, "float32")) for n in (2, 3)]
    adam = keras.optimizers.Adam(0.1)
    adam.build(variables)
    adam.apply([ops.ones(2), ops.ones(3)])
    for place, variable in enumerate(variables):
        assert keras_graph.index_in(adam, variable) == place, VERSION
        momentum = keras_graph.momentum_of(adam, place)
        np.testing.assert_allclose(to_numpy(momentum), np.full(variable.shape, 0.1), rtol=1e-6)


def test_losses_that_others_have_replaced_are_put_back():
    charge = layers.ActivityRegularization(l2=1.0)
    model = keras.Sequential([keras.Input((2,)), charge])
    model(np.ones((1, 2), "float32"))
    with keras_graph.added_losses_put_back():
        model(np.zeros((1, 2), "float32"))
        assert [float(loss) for loss in model.losses] == [0.0], VERSION
    assert [float(loss) for loss in model.losses] == [2.0], VERSION
