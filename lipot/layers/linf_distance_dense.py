"""Units that measure the l-infinity distance from their input to a point."""

import keras
import numpy as np
from keras import ops

from lipot import checks
from lipot.layers.applied_weights import applied_weight
from lipot.layers.base import LipschitzLayer
from lipot.math.distances import LARGEST_P, linf_distances, p_distances
from lipot.math.norms import norm_of_ones
from lipot.math.rounding import LayerBound, values_in
from lipot.math.scaling import at_least_float32, scale

_INFINITY = 2.0**20


@keras.saving.register_keras_serializable(package="lipot")
class LInfDistanceDense(LipschitzLayer):
    r"""Dense layer of l-infinity distances.

    $$ u_j(x) = k\, \|x - w_j\|_\infty + b_j $$

    Each unit and the vector of all units are `k`-Lipschitz from l-infinity to l-infinity, so that
    a network of such layers alone is robust in that norm: where the largest logit leads by a margin
    of $m$, no change of the input values by less than $m / (2K)$ each undoes it, with $K$ the
    product of the factors $k$: `lipot.certify(model, x, y, norm="inf")` proves it. Put a
    `BatchCentering` between two of them, since distances are never negative.

    The gradient of a largest value reaches one weight in each unit and trains badly. With `p` a
    training call measures $\|x - w_j\|_p$ instead, a call at inference always $\|x - w_j\|_\infty$;
    `lipot.callbacks.DistanceNormScheduler` raises the exponent, as the authors do. No call holds a
    tensor of samples times features times units. Only first derivatives are to be had.

    Args:
        units: Positive int, width of the output.
        use_bias: Whether to add a bias.
        kernel_initializer: Initializer of the points $w_j$. Defaults to standard normal.
        bias_initializer: Initializer of the bias.
        kernel_regularizer: Regularizer of the points.
        bias_regularizer: Regularizer of the bias.
        k_coef_lip: Positive float $k$, the l-infinity Lipschitz constant.
        p: Whole number from 2 to 1023, the exponent that training begins with, or `None` to train
            with infinity.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, ..., features)`

    Output shape:
        `(batch, ..., units)`

    Lipschitz bound:
        In l2, as for every layer here, $k \sqrt m$ with $m$ units: each of them moves by at most
        $k \bigl| \|x - w\|_\infty - \|y - w\|_\infty \bigr| \le k \|x - y\|_\infty
        \le k \|x - y\|_2$. It is attained, whatever the weights: between $x = t e_1$ and
        $y = (t + 1) e_1$ with $t$ large all units see the first feature, and all move by $k$. The
        constant from l-infinity to l-infinity is $k$.

    Raises:
        ValueError: An argument out of its range, named in the message.

    Reference:
        Zhang et al., "Towards certifying l-infinity robustness using neural networks with
        l-inf-dist neurons" (ICML 2021), equation 3 and section 5.

    Example:

    >>> import numpy as np
    >>> layer = LInfDistanceDense(2, kernel_initializer="zeros")
    >>> [float(v) for v in layer(np.array([[1.0, -3.0]], "float32"))[0]]
    [3.0, 3.0]
    >>> round(layer.lipschitz_bound, 4), round(layer.bound((None, 2), norm="inf").lipschitz, 4)
    (1.4142, 1.0)
    """

    def __init__(
        self,
        units,
        use_bias=True,
        kernel_initializer=None,
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        k_coef_lip=1.0,
        p=None,
        **kwargs,
    ):
        super().__init__(k_coef_lip=k_coef_lip, **kwargs)
        expected = f"None or a whole number from 2 to {LARGEST_P}"
        self.p = checks.optional(checks.integer, "p", p, expected, least=2, most=LARGEST_P)
        self.units = checks.positive_int("units", units)
        self.use_bias = checks.boolean("use_bias", use_bias)
        self.kernel_initializer = keras.initializers.get(
            kernel_initializer or keras.initializers.RandomNormal(stddev=1.0)
        )
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.input_spec = keras.layers.InputSpec(min_ndim=2)
        self.supports_masking = True

    def build(self, input_shape):
        self.kernel = self.add_weight(
            name="kernel",
            shape=(input_shape[-1], self.units),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(self.units,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
            )
        self.exponent = None
        if self.p is not None:
            self.exponent = self.add_weight(
                name="exponent",
                shape=(),
                initializer=keras.initializers.Constant(self.p),
                trainable=False,
                dtype="float32",
                autocast=False,
            )
        self.input_spec = keras.layers.InputSpec(min_ndim=2, axes={-1: input_shape[-1]})
        self.built = True

    def call(self, inputs, training=False):
        x = at_least_float32(ops.reshape(inputs, (-1, inputs.shape[-1])))
        distances = self._distances(x, ops.cast(self.kernel, x.dtype), training)
        distances = scale(distances, self.k_coef_lip, dtype=self.compute_dtype)
        if len(inputs.shape) > 2:
            distances = ops.reshape(distances, (*ops.shape(inputs)[:-1], self.units))
        return distances if self.bias is None else ops.add(distances, self.bias)

    def _distances(self, x, kernel, training):
        if self.exponent is None or not (training and self.trainable):
            return linf_distances(x, kernel)
        p = ops.stop_gradient(self.exponent.value)
        return ops.cond(
            p <= LARGEST_P,
            lambda: p_distances(x, kernel, p),
            lambda: linf_distances(x, kernel),
        )

    @property
    def keeps_constant(self):
        # In l-infinity it does; in l2 the units add up.
        return self.units == 1

    def bound(self, input_shape, norm=2):
        # A difference of size |x| + |w| at most, a product with the factor, and the bias.
        self.check_built()
        root = norm_of_ones(values_in(self.compute_output_shape(input_shape)), norm)
        kernel = applied_weight(self, "kernel")
        bias = 0.0
        if self.bias is not None:
            bias = float(np.abs(applied_weight(self, "bias")).max())
        factor = max(1.0, self.applied_factor)
        return LayerBound(
            lipschitz=self.applied_factor * norm_of_ones(self.units, norm) * (1.0 + 1e-15),
            roundings=4,
            gain=factor * root,
            offset=root * (factor * float(np.abs(kernel).max()) + bias),
        )

    def set_exponent(self, p):
        """Sets the exponent that training calls measure with.

        Args:
            p: Number from 1 on; above 1023 counts as infinity.

        Raises:
            ValueError: A smaller number, or a layer that was made without `p` or is not built.
        """
        number = checks.nonnegative_float("p", p, infinite=True)
        if number < 1.0:
            raise checks.invalid("p", "a number from 1 on (inf allowed)", p)
        self.check_built()
        if self.exponent is None:
            raise checks.refused("p", "a layer that was made with `p`", f"'{self.name}' without it")
        # Not infinity itself: a weight that is not finite is the sign of a broken training.
        self.exponent.assign(min(number, _INFINITY))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
            "p": self.p,
        }
