"""Adam for orthonormal kernels, whose steps stay on their manifold at little cost."""

from typing import Any, NamedTuple

import keras
from keras import ops

from lipot import backend, checks
from lipot.backend import keras_graph
from lipot.layers.trained_weights import deferred_retraction
from lipot.math import stiefel
from lipot.math.scaling import at_least_float32, wide_dtype

# Directions in which the drift of a kernel is followed.
_FOLLOWED = 16
# How often a drift is sought along them before a whole kernel is brought back.
_TRIES = 4
# The default of `turn` is the same up to so many columns of a kernel, and kernels of a network.
_COLUMNS, _KERNELS = 256, 4


def _turn_at(rank, kernels):
    """The default of `turn`: all angles together are no more than those of four kernels of 256."""
    return 64.0 * min(1.0, (_COLUMNS / rank) ** 0.5) * min(1.0, (_KERNELS / kernels) ** 0.5)


class _Kernel(NamedTuple):
    """A kernel as a stack of matrices, their momentum, and the directions of their drift."""

    matrices: Any
    momentum: Any
    directions: Any


def _retracted(kernel):
    """A kernel brought back as a whole, and its momentum made tangent again."""
    near = stiefel.retract(kernel.matrices)
    return _Kernel(near, stiefel.tangent(near, kernel.momentum), kernel.directions)


@keras.saving.register_keras_serializable(package="lipot")
class ManifoldAdam(keras.optimizers.Adam):
    r"""Adam whose steps keep orthonormal kernels orthonormal; all other variables get plain Adam.

    Adam divides each entry of a gradient by a size of its own, so that its step leaves the
    orthonormal matrices and each step has to be brought back, at the price of two products of
    the kernel's size or more. Here a kernel that its layer keeps orthonormal (`SpectralDense`,
    `OrthogonalConv2D` and the like, with the retraction) has one size for all its entries: the
    step stays tangent and leaves the manifold in second order only. With the tangent gradient
    $G_t$ of a kernel of rank $r$ (its smaller side)

    $$
    M_t = \beta_1 M_{t-1} + (1 - \beta_1) G_t, \quad
    v_t = \beta_2 v_{t-1} + (1 - \beta_2) \|G_t\|_F^2 / r, \quad
    W_t = W_{t-1} - \eta\, \texttt{turn}\, \hat M_t / (\sqrt{\hat v_t} + \varepsilon)
    $$

    so that `turn * learning_rate` is the root mean square of the angles, in radians, by which a
    step turns the columns. The drift $\|W^\top W - I\|_2$ grows along a
    few directions, which a subspace iteration follows and brings back at each step, for six
    products with a few vectors. Where more than these pass `drift`, the whole kernel is brought
    back and the momentum is made tangent again. An accelerator does so at each step: products
    cost it less than the small factorizations of the iteration.

    A step that is not finite leaves an orthonormal kernel as it is.

    Args:
        learning_rate: Float or schedule, as in `keras.optimizers.Adam`, like all that follows.
        beta_1: Decay of the first moment.
        beta_2: Decay of the second moment.
        epsilon: Small number beside the root of the second moment.
        turn: Positive float, the angle of a step for each unit of the learning rate. 16 makes a
            step at width 256 as long as Adam's; a tangent step may be longer. By default 64, times
            $\sqrt{256 / r}$ for kernels of more than 256 columns (gradients have few directions
            however many columns there are, and along them a step then turns no further) and times
            $\sqrt{4 / n}$ where $n > 4$ orthonormal matrices are trained, so that all their turns
            together stay the same. An `OrthogonalConv2D` has one for each row and column of its
            kernel beyond a patch of its stride, and one or two more.
        drift: Positive float, at which a whole kernel is brought back.
        name: Name of the optimizer.
        **kwargs: Arguments of `keras.optimizers.Adam`.

    Raises:
        ValueError: An argument out of its range, named in the message.

    Reference:
        Bécigneul and Ganea, "Riemannian adaptive optimization methods" (ICLR 2019): one second
        moment for each manifold. Hu, Hu and Fredrikson, "LipNeXt" (ICLR 2026).

    Example:

    >>> import keras, lipot
    >>> import numpy as np
    >>> model = keras.Sequential(
    ...     [keras.Input((8,)), lipot.layers.SpectralDense(8), lipot.layers.SpectralDense(3)])
    >>> model.compile(lipot.optimizers.ManifoldAdam(1e-2), "mse")
    >>> _ = model.fit(np.ones((32, 8)), np.ones((32, 3)), verbose=0)
    >>> values = np.linalg.svd(keras.ops.convert_to_numpy(model.layers[0].kernel))[1]
    >>> bool(np.all(np.abs(values - 1) < 0.02))
    True
    """

    def __init__(
        self,
        learning_rate=0.001,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-7,
        turn=None,
        drift=0.035,
        name="manifold_adam",
        **kwargs,
    ):
        super().__init__(learning_rate, beta_1, beta_2, epsilon, name=name, **kwargs)
        self.turn = checks.optional(checks.positive_float, "turn", turn)
        self.drift = checks.positive_float("drift", drift, most=0.5)

    def build(self, var_list):
        if self.built:
            return
        super().build(var_list)
        self._sizes, self._directions, self._manifolds = {}, {}, {}
        self._largest, self._kernels = {}, 0
        for variable in var_list:
            matrices = self._matrices(variable)
            if matrices is None:
                continue
            key = keras_graph.index_in(self, variable)
            self._manifolds[key] = variable.constraint
            leading, rank = tuple(matrices.shape[:-2]), min(matrices.shape[-2:])
            # Several kernels have one name; a path is one's own, as for the slots of Keras.
            name = variable.path.replace("/", "_")
            # A chain of matrices, each in groups of channels that stand side by side.
            self._kernels += leading[0] if len(leading) == 2 else 1
            # In half precision the square of a small gradient is zero, and 0.999 may be one.
            wide = wide_dtype(variable.dtype)
            self._sizes[key] = self.add_variable(
                (*leading, 1, 1), "zeros", wide, name=f"{name}_size"
            )
            if self.amsgrad:
                self._largest[key] = self.add_variable(
                    (*leading, 1, 1), "zeros", wide, name=f"{name}_largest_size"
                )
            self._directions[key] = self.add_variable(
                (*leading, rank, min(_FOLLOWED, rank)),
                "random_normal",
                variable.dtype,
                name=f"{name}_directions",
            )

    def apply(self, grads, trainable_variables=None):
        with deferred_retraction():
            super().apply(grads, trainable_variables)

    def update_step(self, gradient, variable, learning_rate):
        index = keras_graph.index_in(self, variable)
        if index in self._manifolds:
            self._turn(index, gradient, variable, learning_rate)
        else:
            super().update_step(gradient, variable, learning_rate)

    def _turn(self, index, gradient, variable, learning_rate):
        """One step of an orthonormal kernel."""
        momentum = keras_graph.momentum_of(self, index)
        directions, by_matrix = self._directions[index], self._manifolds[index].orthonormal
        gradient = ops.cast(gradient, variable.dtype)
        tangent = by_matrix(gradient)
        before = _Kernel(
            by_matrix(ops.convert_to_tensor(variable)),
            by_matrix(ops.convert_to_tensor(momentum)),
            ops.convert_to_tensor(directions),
        )
        scale, finite = self._scale(index, tangent)
        m = before.momentum + (1.0 - self.beta_1) * (tangent - before.momentum)
        length = self._length(tangent, ops.cast(learning_rate, scale.dtype))
        # The quotient of two numbers comes first: the kernel is read once less.
        step = ops.cast(length / scale * at_least_float32(m), variable.dtype)
        moved = before._replace(matrices=before.matrices - step, momentum=m)
        after = self._brought_back(moved, before, finite)
        self.assign(directions, after.directions)
        self.assign(momentum, ops.reshape(after.momentum, gradient.shape))
        self.assign(variable, ops.reshape(after.matrices, gradient.shape))

    def _scale(self, index, tangent):
        """What a step is divided by, for each matrix, and whether the gradient is finite.

        The second moment is updated on the way, by a gradient that is finite alone.
        """
        size, rank = self._sizes[index], min(tangent.shape[-2:])
        squares = ops.square(at_least_float32(tangent))
        square = ops.sum(squares, axis=(-2, -1), keepdims=True) / rank
        finite = ops.all(ops.isfinite(square))
        v = ops.convert_to_tensor(size)
        v = ops.where(finite, v + (1.0 - self.beta_2) * (square - v), v)
        self.assign(size, v)
        corrected = self._divisor(index, v) / self._power(self.beta_2, v.dtype)
        return ops.sqrt(corrected) + self.epsilon, finite

    def _length(self, tangent, learning_rate):
        """The length of a step before it is divided."""
        turn = self.turn
        if turn is None:
            turn = _turn_at(min(tangent.shape[-2:]), self._kernels)
        return turn * learning_rate / self._power(self.beta_1, learning_rate.dtype)

    def _power(self, beta, dtype):
        """What corrects a moment that began at zero: `1 - beta^t` at step t."""
        step = ops.cast(self.iterations + 1, dtype)
        return 1.0 - ops.power(ops.cast(beta, dtype), step)

    def _divisor(self, index, v):
        """The second moment to divide by: with `amsgrad` the largest so far."""
        if not self.amsgrad:
            return v
        largest = ops.maximum(ops.convert_to_tensor(self._largest[index]), v)
        self.assign(self._largest[index], largest)
        return largest

    def _brought_back(self, moved, before, finite):
        """The kernel that moved, retracted where the drift asks for it; that before if not finite.

        One branch that is hardly ever taken: each costs as much as the step of a small kernel.
        """
        if backend.has_accelerator():
            return _Kernel(*backend.cond(finite, lambda: _retracted(moved), lambda: before))
        matrices, directions, left = stiefel.deflate(moved.matrices, moved.directions)
        near = _Kernel(matrices, moved.momentum, directions)
        good = ops.logical_and(finite, ops.max(left) <= self.drift)

        def far():
            return backend.cond(finite, lambda: self._searched(near, left), lambda: before)

        return _Kernel(*backend.cond(good, lambda: near, far))

    def _searched(self, kernel, left):
        """Deflates until the drift is small, or is found not to lie along a few directions."""

        def unfinished(step, matrices, directions, left):
            left = ops.max(left)
            more = ops.logical_and(left > self.drift, ops.isfinite(left))
            return ops.logical_and(step < _TRIES, more)

        def deflated(step, matrices, directions, left):
            return step + 1, *stiefel.deflate(matrices, directions)

        start = (1, kernel.matrices, kernel.directions, left)
        _, matrices, directions, left = backend.while_loop(unfinished, deflated, start)
        found = _Kernel(matrices, kernel.momentum, directions)
        return backend.cond(ops.max(left) <= self.drift, lambda: found, lambda: _retracted(found))

    @staticmethod
    def _matrices(variable):
        """The matrices of a variable that its layer keeps orthonormal, or `None`."""
        of = getattr(getattr(variable, "constraint", None), "orthonormal", None)
        return None if of is None else of(ops.convert_to_tensor(variable))

    def get_config(self):
        return {**super().get_config(), "turn": self.turn, "drift": self.drift}
