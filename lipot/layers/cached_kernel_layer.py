"""A layer that trains with a cheap kernel and infers with an exact one, computed once."""

from keras import ops

from lipot import backend
from lipot.layers.kernel_layer import KernelLayer

_STATE = {"trainable": False, "autocast": False, "aggregation": "only_first_replica"}


class CachedKernel:
    """Mixin: the inference kernel is computed after training and kept with the weights.

    The kernel is computed at the first inference call after a training step. A subclass says how,
    in `_training_kernel` and `_exact_kernel`, and calls `add_cached_kernel` in `build`.
    """

    def add_cached_kernel(self, kernel_shape):
        """Creates the state behind the inference kernel."""
        self._cached_kernel = self.add_weight(
            name="inference_kernel", shape=kernel_shape, initializer="zeros", **_STATE
        )
        self._stale = self.add_weight(name="stale", shape=(), initializer="ones", **_STATE)

    def cached_kernel(self, training):
        """The kernel that one call applies, before any factor, in the variable dtype."""
        if training:
            self._stale.assign(ops.ones_like(self._stale.value))
            return self._training_kernel()
        return self._inference_kernel()

    def rounding_norm_factor(self):
        """Bound of |linear map| / |kernel|_F, for kernels that hold rounding errors."""
        return 1.0

    def rounding_allowance(self, rank, entries):
        """What an orthonormal kernel is divided by, so that its rounding keeps the norm at one.

        Args:
            rank: Square of the kernel's Frobenius norm.
            entries: Number of entries of the kernel.
        """
        # |round(W) - W|_F <= u |W|_F, so W / (1 + u |W|_F * factor) stays within norm one after
        # rounding to a 16-bit compute dtype. In float32 the products before leave some 1e-7.
        if self.compute_dtype not in ("float16", "bfloat16"):
            return 1.0 + 1e-6
        unit_roundoff = {"float16": 2.0**-11, "bfloat16": 2.0**-8}[self.compute_dtype]
        subnormal = {"float16": 2.0**-25, "bfloat16": 2.0**-134}[self.compute_dtype]
        frobenius_error = unit_roundoff * rank**0.5 + subnormal * entries**0.5
        return float(1.0 + frobenius_error * self.rounding_norm_factor() + 1e-6)

    def _training_kernel(self):
        raise TypeError(f"{type(self).__name__} must define _training_kernel().")

    def _exact_kernel(self):
        raise TypeError(f"{type(self).__name__} must define _exact_kernel().")

    def _inference_kernel(self):
        stale = ops.equal(self._stale.value, 1.0)
        if not backend.is_concrete(stale):
            kernel = ops.cond(stale, self._exact_kernel, lambda: self._cached_kernel.value)
        elif stale:
            kernel = self._exact_kernel()
        else:
            # Outside compiled code JAX would compile the condition anew at each call.
            return self._cached_kernel.value
        self._cached_kernel.assign(kernel)
        self._stale.assign(ops.zeros_like(self._stale.value))
        return kernel


class CachedKernelLayer(CachedKernel, KernelLayer):
    """A `KernelLayer` whose inference kernel is computed after training and kept."""

    def effective_kernel(self, training):
        return self.k_coef_lip * self.cached_kernel(training)
