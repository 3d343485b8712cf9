"""Tests of the learned convex combination of an input and a branch."""

import keras
import numpy as np
import pytest

import lipot
from lipot import layers
from lipot.layers import GroupSort2, LipschitzResidual, SpectralConv2D, SpectralDense
from tests.helpers import check_layer, to_numpy
from tests.lipschitz import check_bound


def sample(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def block(width=6, **arguments):
    return LipschitzResidual(
        [SpectralDense(width), GroupSort2(), SpectralDense(width)], **arguments
    )


def built(layer, shape, logit=0.0):
    layer.build((None, *shape))
    layer.alpha_logit.assign(logit)
    return layer


def test_it_is_the_convex_combination():
    layer, x = built(block(k_coef_lip=2.0), (6,), logit=np.log(3.0)), sample(5, 6)
    # sigmoid(log 3) = 3 / 4
    expected = 2.0 * (0.75 * x + 0.25 * to_numpy(layer.branch(x)))
    np.testing.assert_allclose(to_numpy(layer(x)), expected, atol=1e-6)


@pytest.mark.parametrize("logit", [-4.0, 0.3, 4.0])
def test_no_attack_beats_the_bound(logit):
    inner = [SpectralDense(6, dtype="float64"), GroupSort2(dtype="float64")]
    layer = built(LipschitzResidual(inner, k_coef_lip=0.7, dtype="float64"), (6,), logit)
    assert layer.lipschitz_bound == pytest.approx(0.7, rel=1e-5)
    check_bound(layer, (6,))


def test_the_bound_is_attained_where_the_branch_is_the_identity():
    layer = LipschitzResidual(keras.layers.Rescaling(1.0), dtype="float64")
    model = keras.Sequential([keras.Input((4,), dtype="float64"), layer])
    assert lipot.lipschitz_constant(model) == pytest.approx(1.0, rel=2e-6)
    assert layer.lipschitz_bound == pytest.approx(1.0, rel=2e-6)
    unknown = built(LipschitzResidual(keras.layers.Lambda(lambda x: x)), (4,))
    with pytest.raises(ValueError, match="No Lipschitz bound is known for layer 'lambda"):
        _ = unknown.lipschitz_bound


def test_a_steep_branch_weighs_in_the_bound():
    layer = LipschitzResidual(SpectralDense(4, k_coef_lip=5.0))
    model = keras.Sequential([keras.Input((4,)), layer])
    layer.alpha_logit.assign(np.log(3.0))
    # 3/4 + 5/4
    assert layer.lipschitz_bound == pytest.approx(2.0, rel=1e-5)
    assert lipot.lipschitz_constant(model) == pytest.approx(2.0, rel=1e-5)
    branch = keras.Sequential([SpectralDense(4, k_coef_lip=3.0), SpectralDense(4)])
    twice = built(LipschitzResidual(branch), (4,))
    # 1/2 + 3/2
    assert twice.lipschitz_bound == pytest.approx(2.0, rel=1e-5)


def test_the_share_of_the_input_is_learned():
    x = sample(256, 4)
    layer = LipschitzResidual(keras.layers.Rescaling(0.0))
    model = keras.Sequential([keras.Input((4,)), layer])
    model.compile(keras.optimizers.Adam(0.05), "mse")
    model.fit(x, 0.8 * x, epochs=60, batch_size=64, verbose=0)
    assert float(keras.ops.sigmoid(layer.alpha_logit)) == pytest.approx(0.8, abs=0.02)


def test_a_deep_network_of_blocks_is_certified():
    model = lipot.Sequential(
        [
            keras.Input((6, 6, 4)),
            *[LipschitzResidual([SpectralConv2D(4, 3), GroupSort2()]) for _ in range(3)],
            keras.layers.Flatten(),
            lipot.layers.FrobeniusDense(3),
        ]
    )
    x = sample(20, 6, 6, 4)
    certificate = lipot.certify(model, x)
    assert 0.1 < certificate.lipschitz < 1.00003
    assert np.all(certificate.radius > 0.0)
    # A step of the radius towards the class that is next changes no prediction.
    for seed in range(5):
        noise = np.random.default_rng(seed).normal(size=x.shape)
        noise /= np.linalg.norm(noise.reshape(len(x), -1), axis=1)[:, None, None, None]
        moved = x + certificate.radius[:, None, None, None] * noise
        predicted = model.predict(moved.astype("float32"), verbose=0).argmax(axis=1)
        np.testing.assert_array_equal(predicted, certificate.predictions)
    model.condense()
    plain = lipot.to_keras(model)
    np.testing.assert_allclose(to_numpy(plain(x)), to_numpy(model(x)), atol=1e-5)


def test_round_trips(tmp_path):
    check_layer(block(k_coef_lip=0.5, alpha_initializer="ones"), (3, 6), tmp_path)
    check_layer(LipschitzResidual(SpectralConv2D(4, 3)), (2, 5, 5, 4), tmp_path)


@pytest.mark.parametrize(
    "make, word",
    [
        (lambda: LipschitzResidual("relu"), "`branch`.*branch='relu'"),
        (lambda: LipschitzResidual([]), "`branch`"),
        (lambda: LipschitzResidual([SpectralDense(4), "relu"]), "`branch`"),
        (lambda: LipschitzResidual(SpectralDense(5))(np.ones((1, 4))), "shaped like the inputs"),
        (lambda: LipschitzResidual(SpectralDense(5), k_coef_lip=-1), "`k_coef_lip`"),
    ],
)
def test_bad_arguments_are_named(make, word):
    with pytest.raises(ValueError, match=word):
        make()


class Hundredfold(keras.Sequential):
    def __call__(self, *args, **kwargs):
        return 100.0 * super().__call__(*args, **kwargs)


def replaced_on_the_object():
    branch = keras.Sequential([keras.layers.Rescaling(0.5)])
    branch.call = lambda x, training=None, mask=None: 100.0 * x
    return branch


@pytest.mark.parametrize(
    "branch", [lambda: Hundredfold([keras.layers.Rescaling(0.5)]), replaced_on_the_object]
)
@pytest.mark.parametrize("kind", [layers.LipschitzResidual, layers.TransportResidual])
def test_a_branch_that_computes_otherwise_than_its_layers_has_no_bound(kind, branch):
    layer = kind(branch())
    layer.build((None, 2))
    with pytest.raises(ValueError, match="No Lipschitz bound is known"):
        layer.bound((None, 2))


def test_a_value_of_the_class_that_the_object_changes_is_refused():
    layer = layers.TransportResidual(keras.layers.Rescaling(0.5))
    layer.factors = (0.0, 0.0)
    model = keras.Sequential([keras.Input((2,)), layer])
    with pytest.raises(ValueError, match="`factors` was replaced on the object"):
        lipot.lipschitz_constant(model)


def test_the_layers_of_a_functional_branch_are_condensed():
    inputs = keras.Input((4,))
    dense = layers.SpectralDense(4, orthogonalizer="bjorck")
    layer = layers.LipschitzResidual(keras.Model(inputs, dense(inputs)))
    layer.build((None, 4))
    dense.kernel.assign(3.0 * np.array(dense.kernel))
    layer.condense()
    np.testing.assert_allclose(np.linalg.norm(np.array(dense.kernel), 2), 1.0, atol=1e-5)


@keras.saving.register_keras_serializable(package="test_lipschitz_residual")
class First(keras.layers.Layer):
    """Keeps one step, and says that it keeps all."""

    def call(self, inputs):
        return inputs[:, :1]

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)


lipot.certificates.register_bound(First)(lambda layer, input_shape: 1.0)


@pytest.mark.parametrize("kind", [LipschitzResidual, layers.TransportResidual])
def test_a_branch_that_repeats_what_the_sum_or_a_mean_does_not_know_is_refused(kind):
    mean = [keras.layers.GlobalAveragePooling1D(), keras.layers.RepeatVector(4)]
    layer = kind(mean)
    layer.build((None, 4, 2))
    assert layer.lipschitz_bound > 0.9
    # One step would be repeated for each that the branch gives, and one of two left by a crop.
    with pytest.raises(ValueError, match="sizes that its branch keeps"):
        layer.bound((None, 1, 2))
    cropped = kind(keras.layers.Cropping1D((1, 0)))
    cropped.build((None, None, 2))
    with pytest.raises(ValueError, match="sizes that its branch keeps"):
        cropped.bound((None, None, 2))
    untrue = kind([First(), *mean])
    untrue.build((None, 4, 2))
    with pytest.raises(ValueError, match="says other sizes of its outputs than it gives"):
        untrue.bound((None, 4, 2))
