"""Random classifiers out of the layers of lipot and of Keras, of every kind a certificate takes."""

import keras
import numpy as np

from benchmarks.common.networks import precision
from lipot import layers as lip

stock = keras.layers
POLICIES = ("float32",) * 6 + ("mixed_float16", "mixed_bfloat16", "float64", "float64")
SHARE_RANDOM = 0.08
_PADDINGS = ("same", "valid", "circular", "reflect", "symmetric", "constant")
_ORTHOGONALIZERS = ("retraction", "bjorck", "cholesky")
_ACTIVATIONS = ("relu", "tanh", "sigmoid", "softplus", "elu", "gelu", "softsign", "leaky_relu")


class Draw:
    """Random choices of one network."""

    def __init__(self, rng):
        self.rng = rng

    def pick(self, values):
        return values[int(self.rng.integers(len(values)))]

    def chance(self, share):
        return bool(self.rng.random() < share)

    def width(self):
        return 2 * int(self.rng.integers(2, 7))

    def factor(self):
        """Lipschitz constant of one layer, most often one."""
        return 1.0 if self.chance(0.6) else float(np.exp(self.rng.normal(0.0, 0.5)))

    def spectral(self):
        return {
            "orthogonalizer": self.pick(_ORTHOGONALIZERS),
            "activation": self.pick((None, None, *_ACTIVATIONS)),
            "use_bias": self.chance(0.7),
            "k_coef_lip": self.factor(),
        }

    def constrained(self):
        spectral = self.spectral()
        del spectral["orthogonalizer"]
        return spectral

    def window(self):
        return {
            "kernel_size": int(self.rng.integers(1, 4)),
            "strides": self.pick((1, 1, 2)),
            "padding": self.pick(_PADDINGS),
        }

    def odd(self):
        return {
            "kernel_size": self.pick((1, 3)),
            "padding": self.pick(("same", "circular")),
            "k_coef_lip": self.factor(),
        }


# Layers that work on the last axis, whatever stands before it.
DENSE = (
    lambda d: lip.SpectralDense(d.width(), **d.spectral()),
    lambda d: lip.SpectralDense(d.width(), **d.spectral()),
    lambda d: lip.FrobeniusDense(d.width(), disjoint_neurons=d.chance(0.5), **d.constrained()),
    lambda d: stock.Dense(d.width(), activation=d.pick((None, *_ACTIVATIONS))),
    lambda d: lip.SDPResidualDense(d.width(), k_coef_lip=d.factor()),
)
IMAGE = (
    lambda d: lip.SpectralConv2D(d.width(), **d.window(), **d.spectral()),
    lambda d: lip.SpectralConv2D(d.width(), **d.window(), **d.spectral()),
    lambda d: lip.OrthogonalConv2D(d.width(), **d.window(), **d.spectral()),
    lambda d: lip.OrthogonalConv2D(d.width(), **d.window(), **d.spectral()),
    lambda d: lip.FrobeniusConv2D(d.width(), **d.window(), **d.constrained()),
    lambda d: lip.SkewOrthogonalConv2D(d.width(), **d.odd(), use_bias=d.chance(0.5)),
    lambda d: lip.SDPResidualConv2D(d.width(), **d.odd()),
    lambda d: lip.SpectralConv2DTranspose(
        d.width(), 2, strides=d.pick((1, 2)), padding=d.pick(_PADDINGS[:2]), **d.spectral()
    ),
    lambda d: lip.OrthogonalConv2DTranspose(
        d.width(), 2, strides=d.pick((1, 2)), padding=d.pick(_PADDINGS[:3]), **d.spectral()
    ),
    lambda d: stock.Conv2D(d.width(), 3, padding="same", activation=d.pick(_ACTIVATIONS)),
    lambda d: stock.DepthwiseConv2D(3, strides=d.pick((1, 2))),
    lambda d: lip.ScaledL2NormPooling2D(2, k_coef_lip=d.factor()),
    lambda d: lip.ScaledAveragePooling2D(2, k_coef_lip=d.factor()),
    lambda d: lip.InvertibleDownSampling(2),
    lambda d: stock.MaxPooling2D(d.pick((2, 3)), strides=d.pick((1, 2))),
    lambda d: stock.AveragePooling2D(2, padding=d.pick(("same", "valid"))),
)
SEQUENCE = (
    lambda d: lip.OrthogonalConv1D(d.width(), **d.window(), **d.spectral()),
    lambda d: lip.OrthogonalConv1D(d.width(), **d.window(), **d.spectral()),
    lambda d: stock.Conv1D(d.width(), 3, padding=d.pick(("same", "valid", "causal"))),
    lambda d: stock.MaxPooling1D(2),
    lambda d: lip.SpectralDense(d.width(), **d.spectral()),
)
# Layers that keep the shape.
SHAPELESS = (
    lambda d: lip.GroupSort2(k_coef_lip=d.factor()),
    lambda d: lip.GroupSort2(),
    lambda d: lip.MaxMin(),
    lambda d: lip.FullSort(),
    lambda d: lip.Householder(),
    lambda d: lip.PReLUlip(),
    lambda d: stock.ReLU(),
    lambda d: stock.LeakyReLU(0.2),
    lambda d: stock.Activation(d.pick(_ACTIVATIONS)),
    lambda d: stock.BatchNormalization(),
    lambda d: stock.Dropout(0.2),
    lambda d: stock.Rescaling(0.7, offset=0.1),
    lambda d: lip.BatchCentering(),
    lambda d: lip.LayerCentering(),
)
# What acts at random in `model(x)`: nothing to certify.
AUGMENTATIONS = (
    lambda d: stock.RandomFlip(),
    lambda d: stock.RandomTranslation(0.3, 0.3),
    lambda d: stock.RandomContrast(0.5),
)
SHAPES = {
    "vector": (DENSE, lambda d: (int(d.rng.integers(2, 17)),)),
    "image": (IMAGE, lambda d: (*[int(d.rng.integers(4, 9))] * 2, d.pick((1, 2, 3, 4)))),
    "sequence": (SEQUENCE, lambda d: (int(d.rng.integers(4, 10)), d.pick((1, 2, 4)))),
}


def random_network(rng):
    """Draws a classifier.

    Args:
        rng: NumPy generator; Keras's own seed decides the initial weights.

    Returns:
        `(model, words)`: a functional model, and what it is in JSON values; `words["random"]`
        says whether it acts at random, so that no certificate may be given.
    """
    draw = Draw(rng)
    policy = draw.pick(POLICIES if _has_float64() else POLICIES[:8])
    kind = draw.pick(("vector", "image", "image", "sequence"))
    random = draw.pick(("augmentation", "training")) if draw.chance(SHARE_RANDOM) else None
    with precision(policy):
        model = _network(draw, kind, "float64" if policy == "float64" else "float32", random)
    names = [type(operation).__name__ for operation in model.operations]
    return model, {"kind": kind, "policy": policy, "layers": names, "random": random}


def _network(draw, kind, dtype, random):
    makers, shape = SHAPES[kind]
    inputs = x = keras.Input(shape(draw) if random is None else (8, 8, 3), dtype=dtype)
    if random == "augmentation":
        x = draw.pick(AUGMENTATIONS)(draw)(x)
    if random == "training":
        x = lip.SpectralConv2D(4, 3)(x)
        x = draw.pick((stock.Dropout(0.5), stock.BatchNormalization()))(x, training=True)
    makers = IMAGE if random else makers
    for _ in range(int(draw.rng.integers(1, 5))):
        x = _block(draw, x, makers)
    if len(x.shape) == 4 and draw.chance(0.3):
        x = draw.pick((lip.ScaledGlobalL2NormPooling2D, lip.ScaledGlobalAveragePooling2D))()(x)
    if len(x.shape) > 2:
        x = stock.Flatten()(x)
    if draw.chance(0.5):
        x = _block(draw, x, DENSE)
    return keras.Model(inputs, _head(draw, x))


def _block(draw, x, makers):
    x = _applied(draw, x, makers)
    if draw.chance(0.6):
        x = _applied(draw, x, SHAPELESS)
    joins = (None,) * 5 + (_sum, _concatenation, _choice, _scaled, _residual)
    join = draw.pick(joins)
    return x if join is None else join(draw, x)


def _applied(draw, x, makers):
    """A layer that accepts this tensor: not every drawn one does."""
    for _ in range(30):
        try:
            y = draw.pick(makers)(draw)(x)
        except ValueError:
            continue
        if np.prod(y.shape[1:]) <= 1024 and None not in y.shape[1:] and 0 not in y.shape:
            return y
    return x


def _kept(draw, x):
    """A branch whose result is shaped like its input."""
    if len(x.shape) == 4 and draw.chance(0.7):
        return lip.SpectralConv2D(x.shape[-1], 3, activation="relu")(x)
    return lip.SpectralDense(x.shape[-1], activation="tanh")(x)


def _sum(draw, x):
    return draw.pick((stock.Add, stock.Average, stock.Subtract))()([x, _kept(draw, x)])


def _concatenation(draw, x):
    return stock.Concatenate()([x, _kept(draw, x)])


def _choice(draw, x):
    return draw.pick((stock.Maximum, stock.Minimum))()([x, _kept(draw, x)])


def _scaled(draw, x):
    return 0.5 * x + 0.25 * _kept(draw, x)


def _residual(draw, x):
    branch = [lip.SpectralDense(x.shape[-1]), stock.ReLU()]
    return draw.pick((lip.TransportResidual, lip.LipschitzResidual))(branch)(x)


def _head(draw, x):
    units = draw.pick((1, 2, 3, 5, 10))
    makers = (
        lambda **a: lip.SpectralDense(units, k_coef_lip=draw.factor(), **a),
        lambda **a: lip.FrobeniusDense(units, disjoint_neurons=draw.chance(0.7), **a),
        lambda **a: stock.Dense(units, **a),
    )
    squashed = "sigmoid" if units == 1 else "softmax"
    return draw.pick(makers)(activation=squashed if draw.chance(0.1) else None)(x)


def _has_float64():
    return keras.backend.standardize_dtype(keras.ops.zeros(1, "float64").dtype) == "float64"
