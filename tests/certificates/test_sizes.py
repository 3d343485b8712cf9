"""Broadcasting in graphs: counted, checked or refused, against Jacobians at many sizes."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import lipot
from tests.certificates.jacobians import ERROR, largest_jacobian_norm
from tests.helpers import to_numpy

WIDE = np.ones((5, 2))


@pytest.fixture(autouse=True)
def double_precision():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy(policy)


def model_of(function, *shapes):
    inputs = [keras.Input(shape, dtype="float64") for shape in shapes]
    return keras.Model(inputs if len(inputs) > 1 else inputs[0], function(*inputs))


def scaled(factor):
    """A layer that multiplies channels, along an axis of any size."""
    return layers.Rescaling(factor)


def observed(model, shape):
    return largest_jacobian_norm(lambda x: model(x, training=False), shape, samples=3)


# Bounded whatever the size: a function of a tensor (batch, size, 2), and its bound worked out.
OPEN = {
    "elementwise": (lambda x: x + ops.relu(x), 2.0),
    "layers": (lambda x: layers.Add()([x, layers.ReLU()(x), scaled(2.0)(x)]), 4.0),
    "slices of one kind": (lambda x: x[:, 1:] + ops.relu(x[:, 1:]), 2.0),
    "channels": (lambda x: x[..., :1] * np.array([[1.0, -2.0, 0.5]]), 2.0 * np.sqrt(3.0)),
    "choice": (lambda x: layers.Maximum()([x, -x]), np.sqrt(2.0)),
    "difference": (lambda x: ops.subtract(scaled(3.0)(x), x), 4.0),
}


@pytest.mark.parametrize("function, bound", OPEN.values(), ids=OPEN)
def test_an_unknown_size_that_all_operands_share(function, bound):
    model = model_of(function, (None, 2))
    assert lipot.lipschitz_constant(model) == pytest.approx(bound)
    for size in (2, 3, 7):
        assert observed(model, (size, 2)) <= bound * (1 + ERROR)


# One operand may have one value where another has many.
REPEATED = {
    "first": lambda x: ops.add(x[:, :1], x),
    "last": lambda x: x - x[:, -1:],
    "layer": lambda x: layers.Add()([x, x[:, :1]]),
    "layer of two slices": lambda x: layers.Average()([x[:, 1:3], x]),
    "maximum": lambda x: ops.maximum(x, x[:, :1]),
    "layer of a minimum": lambda x: layers.Minimum()([x[:, :1], x]),
    "every second": lambda x: x + x[:, ::2],
    "cropped": lambda x: x + layers.Cropping1D(1)(x),
    "in an inner model": lambda x: keras.Sequential([layers.Cropping1D((0, 2))])(x) + x,
}


@pytest.mark.parametrize("function", REPEATED.values(), ids=REPEATED)
def test_an_unknown_size_that_may_be_repeated_is_refused(function):
    model = model_of(function, (None, 2))
    with pytest.raises(ValueError, match="may be repeated along an axis of unknown size"):
        lipot.lipschitz_constant(model)


# Constants that say the size: an unknown one is either this or one value, repeated.
CONSTANTS = {
    "product": (lambda x: x * (3.0 * WIDE), 3.0 * np.sqrt(5.0)),
    "quotient": (lambda x: x / (0.5 * WIDE), 2.0 * np.sqrt(5.0)),
    "sum": (lambda x: x + WIDE, np.sqrt(5.0)),
    "difference": (lambda x: ops.subtract(WIDE[None], x), np.sqrt(5.0)),
    "choice": (lambda x: ops.maximum(x, -9.0 * WIDE), np.sqrt(5.0)),
}


def test_a_layer_that_adds_a_constant_is_refused():
    # Keras says that its output has the batch of the constant, one sample.
    model = model_of(lambda x: layers.Add()([x, ops.convert_to_tensor(WIDE[None])]), (None, 2))
    with pytest.raises(ValueError, match="joins or drops samples"):
        lipot.lipschitz_constant(model)


def test_a_graph_that_leaves_nothing_of_a_sample_is_refused():
    x = keras.Input((1, 3))
    model = keras.Model(x, keras.layers.Dense(2)(keras.layers.Flatten()(x[:, 1:])))
    with pytest.raises(ValueError, match="it gives no values at all"):
        lipot.certify(model, np.ones((2, 1, 3)))


@pytest.mark.parametrize("function, bound", CONSTANTS.values(), ids=CONSTANTS)
def test_a_constant_that_repeats_a_tensor_counts_its_copies(function, bound):
    model = model_of(function, (None, 2))
    assert lipot.lipschitz_constant(model) == pytest.approx(bound)
    assert observed(model, (1, 2)) == pytest.approx(bound, rel=ERROR)
    # The same tensor with its size declared.
    assert lipot.lipschitz_constant(model_of(function, (1, 2))) == pytest.approx(bound)
    exact = lipot.lipschitz_constant(model_of(function, (5, 2)))
    assert exact == pytest.approx(bound / np.sqrt(5.0))


SHAPES = [((1, 3), (4, 3)), ((4, 1), (4, 3)), ((1, 1), (4, 3)), ((4, 3), (1, 3)), ((1, 3), (4, 1))]
FUNCTIONS = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: ops.subtract(x, y),
    "maximum": lambda x, y: ops.maximum(x, y),
    "minimum": lambda x, y: ops.minimum(x, y),
    "Add": lambda x, y: layers.Add()([x, y]),
    "Subtract": lambda x, y: layers.Subtract()([x, y]),
    "Average": lambda x, y: layers.Average()([x, y]),
    "Maximum": lambda x, y: layers.Maximum()([x, y]),
}


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_two_slices_of_known_sizes(function, shapes):
    sizes = [int(np.prod(shape)) for shape in shapes]

    def joined(x):
        parts = x[:, : sizes[0]], x[:, sizes[0] :]
        return function(*(ops.reshape(p, (-1, *shape)) for p, shape in zip(parts, shapes)))

    model = model_of(joined, (sum(sizes),))
    constant = lipot.lipschitz_constant(model)
    assert observed(model, (sum(sizes),)) <= constant * (1 + ERROR)


# Where axis 0 of an operand is no longer that of the result.
MIXED = {
    "sum": lambda x: ops.add(x[:, 0], x),
    "maximum": lambda x: ops.maximum(x[:, 0], x),
    "layer": lambda x: layers.Add()([x[:, 0], x]),
    "constant of a higher rank": lambda x: x * np.ones((1, 1, 2, 2)),
    "sum with a constant of a higher rank": lambda x: x + np.ones((1, 2, 2, 2)),
    "layer with a constant": lambda x: layers.Add()([x, ops.ones((2, 2), "float64")]),
}


@pytest.mark.parametrize("function", MIXED.values(), ids=MIXED)
def test_operands_that_mix_the_samples_are_refused(function):
    model = model_of(function, (2, 2))
    for prove in (lipot.lipschitz_constant, lambda m: lipot.certify(m, np.ones((2, 2, 2)))):
        with pytest.raises(ValueError, match="different ranks|joins or drops samples"):
            prove(model)


def test_a_merge_layer_shared_between_ranks_is_refused():
    # Built for operands of one rank, it no longer moves the batch to the front.
    shared = layers.Add()
    model_of(lambda x: shared([x, x]), (4,))
    model = model_of(lambda x, y: shared([x, y]), (4,), (4, 4))
    with pytest.raises(ValueError, match="different ranks"):
        lipot.lipschitz_constant(model)


def test_one_sample_for_a_whole_batch_is_refused():
    one = keras.Input(batch_shape=(1, 4), dtype="float64")
    many = keras.Input((4,), dtype="float64")
    with pytest.raises(ValueError, match="joins or drops samples"):
        lipot.lipschitz_constant(keras.Model([one, many], ops.add(one, many)))


@pytest.mark.parametrize(
    "function",
    [lambda x: x * np.nan, lambda x: x / np.array([0.0, 1.0]), lambda x: np.inf * x],
)
def test_constants_that_are_not_finite_are_refused(function):
    with pytest.raises(ValueError, match="Expected finite constants"):
        lipot.lipschitz_constant(model_of(function, (2, 2)))


@pytest.mark.parametrize("function", [lambda x: x[:, True], lambda x: x[:, None]])
def test_indices_that_may_move_the_batch_are_refused(function):
    with pytest.raises(ValueError, match="GetItem"):
        lipot.lipschitz_constant(model_of(function, (2, 2)))


# A graph inside another one has the sizes of the outer one.


def test_an_inner_model_of_open_sizes_takes_those_of_the_outer_one():
    def image(x):
        x = layers.MaxPooling2D(3, strides=1, padding="same")(x)
        return x[:, :1] + x

    inner = model_of(image, (None, None, 1))
    with pytest.raises(ValueError, match="fixed input shape"):
        lipot.lipschitz_constant(inner)
    outer = model_of(lambda x: inner(inner(x)), (4, 5, 1))
    flat = model_of(lambda x: image(image(x)), (4, 5, 1))
    constant = lipot.lipschitz_constant(outer)
    assert constant == pytest.approx(lipot.lipschitz_constant(flat))
    assert observed(outer, (4, 5, 1)) <= constant * (1 + ERROR)


def test_an_inner_model_counts_its_copies_at_the_outer_size():
    inner = model_of(lambda x: x + np.ones((6, 2)), (None, 2))
    assert lipot.lipschitz_constant(model_of(inner, (6, 2))) == pytest.approx(1.0)
    assert lipot.lipschitz_constant(model_of(inner, (1, 2))) == pytest.approx(np.sqrt(6.0))


def test_a_residual_branch_that_changes_an_open_size_is_refused():
    for layer_class in (lipot.layers.TransportResidual, lipot.layers.LipschitzResidual):
        shrinking = model_of(layer_class(layers.Cropping1D((0, 1))), (None, 2))
        with pytest.raises(ValueError, match="unknown size"):
            lipot.lipschitz_constant(shrinking)
        keeping = model_of(layer_class(layers.ReLU()), (None, 2))
        assert lipot.lipschitz_constant(keeping) <= 2.0 * (1 + 1e-6)


def test_a_certificate_has_the_sizes_of_its_data():
    def network(x):
        x = layers.GlobalAveragePooling1D()(ops.add(x, x[:, :1]))
        return layers.Dense(2)(x)

    model = model_of(network, (None, 2))
    x = np.random.default_rng(0).normal(size=(6, 5, 2))
    certificate = lipot.certify(model, x)
    features = keras.Model(model.inputs, model.layers[-1].input)
    norm = observed(features, (5, 2))
    assert norm <= certificate.lipschitz * (1 + ERROR)
    np.testing.assert_array_equal(certificate.predictions, to_numpy(model(x)).argmax(axis=1))


@pytest.mark.parametrize(
    "join",
    [
        lambda x: x[:, 64:65] + x[:, 64:],
        lambda x: x[:, ::100] + x[:, :1],
        lambda x: layers.Maximum()([x[:, :1], x[:, ::100]]),
        lambda x: x[:, 70:][:, 70:71] + x[:, 140:],
    ],
)
def test_slices_that_agree_on_small_sizes_alone_are_refused(join):
    inputs = keras.Input((None, 1))
    with pytest.raises(ValueError, match="repeated along an axis of unknown size"):
        lipot.lipschitz_constant(keras.Model(inputs, join(inputs)))


def strided(step):
    return lipot.layers.PadConv2D(1, 1, strides=(step, 1), use_bias=False)


def cut(x):
    """A branch that keeps up to 64 values and shortens what is longer."""
    branch = keras.Input((None, 1))
    return keras.Model(branch, branch[:, -64:64])(x)


@pytest.mark.parametrize(
    ("shape", "join"),
    [
        ((None, 1, 1), lambda x: strided(70)(x) + strided(4200)(x)),
        ((None, 1, 1), lambda x: strided(70)(x) + strided(71)(x)),
        ((None, 1), lambda x: x + cut(x)),
        ((None, 1), lambda x: x[:, :5] + x[:, :6]),
        ((None, 1), lambda x: layers.UpSampling1D(2)(layers.AveragePooling1D(2)(x)) + x),
    ],
)
def test_sizes_that_agree_up_to_a_number_are_refused(shape, join):
    inputs = keras.Input(shape)
    with pytest.raises(ValueError, match="repeated along an axis of unknown size|one image size"):
        lipot.lipschitz_constant(keras.Model(inputs, join(inputs)))


@pytest.mark.parametrize("kind", [lipot.layers.LipschitzResidual, lipot.layers.TransportResidual])
def test_a_branch_that_shortens_long_inputs_alone_is_refused(kind):
    branch = keras.Input((None, 1))
    inputs = keras.Input((None, 1))
    layer = kind(keras.Model(branch, branch[:, -64:64]))
    with pytest.raises(ValueError, match="repeated along an axis of unknown size"):
        lipot.lipschitz_constant(keras.Model(inputs, layer(inputs)))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (lambda x: x[:, ::2][:, ::3], lambda x: x[:, ::6]),
        (lambda x: x[:, 1:][:, ::2], lambda x: x[:, ::2]),
        (lambda x: x[:, 2:][:, 3:], lambda x: x[:, 5:]),
        (lambda x: x[:, :5], lambda x: ops.relu(x[:, :5])),
        (lambda x: x[:, 3::4], lambda x: x[:, 1:][:, 2::4]),
    ],
)
def test_open_sizes_are_compared_as_functions_of_the_inputs(first, second):
    """What is said of all sizes is tried at many."""
    inputs = keras.Input((None, 2))
    left, right = first(inputs), second(inputs)
    sizes = keras.Model(inputs, [left, right])
    agree = all(
        len({tuple(to_numpy(part).shape) for part in sizes(np.zeros((1, n, 2)))}) == 1
        for n in range(6, 60)
    )
    model = keras.Model(inputs, left + right)
    if agree:
        assert lipot.lipschitz_constant(model) == pytest.approx(2.0)
    else:
        with pytest.raises(ValueError, match="repeated along an axis of unknown size"):
            lipot.lipschitz_constant(model)


def test_a_network_of_strided_blocks_has_a_constant_for_all_sizes():
    def conv(filters, size, strides=1):
        return lipot.layers.OrthogonalConv2D(filters, size, strides=strides)

    inputs = keras.Input((None, None, 2))
    kept = conv(4, 3)(inputs)
    for strides in (1, 2, 2):
        block = conv(4 * strides, 3)(conv(4 * strides, 3, strides)(kept))
        around = conv(4 * strides, strides, strides)(kept) if strides > 1 else kept
        kept = layers.Average()([block, around])
    assert lipot.lipschitz_constant(keras.Model(inputs, kept)) <= 1.0 + 1e-4


def test_a_shared_model_of_other_sizes_gives_other_sizes():
    """What nothing is known of inside it is not the same in two of its calls."""
    z = keras.Input((None, 1))
    inner = keras.Model(z, z[:, -200:200])
    inputs = keras.Input((None, 1))
    with pytest.raises(ValueError, match="repeated along an axis of unknown size"):
        lipot.lipschitz_constant(keras.Model(inputs, inner(inputs) + inner(inputs[:, 1:])))
    same = keras.Model(inputs, inner(inputs) + inner(ops.relu(inputs)))
    assert lipot.lipschitz_constant(same) == pytest.approx(2.0)
