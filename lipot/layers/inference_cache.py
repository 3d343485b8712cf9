"""A kernel computed once, that proves by itself whether it is still the right one."""

import keras
import numpy as np
from keras import ops

from lipot import backend


class InferenceCache:
    """Keeps what was computed from some weights, and the bits of those weights beside it.

    The value counts only while every bit of the weights is as it was: whoever changes them, in
    whatever way, gets the value computed anew. The bits are kept as integers, so that arithmetic
    on all variables of a model at once, such as an average, cannot make a wrong pair match.

    Args:
        weights: List of the Keras variables that the value is a function of.
        shape: Shape of the value.
    """

    def __init__(self, weights, shape):
        self._value = _state(shape, weights[0].dtype, "inference_kernel")
        self._bits = [
            _state(w.shape, backend.variable_bits_dtype(w.dtype), f"bits_of_{w.name}")
            for w in weights
        ]

    @property
    def variables(self):
        """The variables behind the cache: the state of programs, and no weights."""
        return [self._value, *self._bits]

    def read(self, weights, compute):
        """Returns the value for some weights, cut from differentiation.

        Args:
            weights: List of tensors, the weights as they are.
            compute: Hashable function of these that computes the value. Equal functions are
                compiled once.
        """
        with backend.at_once([*weights, *(variable.value for variable in self.variables)]):
            # In here, since what a program makes of a weight has no value.
            return self._read([ops.stop_gradient(weight) for weight in weights], compute)

    def _read(self, weights, compute):
        bits = [ops.cast(backend.bits(w), b.dtype) for w, b in zip(weights, self._bits)]
        same = [ops.all(ops.equal(now, then.value)) for now, then in zip(bits, self._bits)]
        valid = same[0] if len(same) == 1 else ops.all(ops.stack(same))
        if not backend.is_concrete(valid):
            value = ops.cond(valid, self._kept, lambda: backend.traced_once(compute)(*weights))
            if all(map(backend.can_assign, self.variables)):
                self._keep(value, bits)
            return value
        # Outside compiled code JAX would compile the condition anew at each call.
        if not valid:
            with backend.full_precision():
                self._keep(compute(*weights), bits)
        # The kept value even when it was just computed: PyTorch adds up a product with a transposed
        # matrix in another order, and a later call must give the same bits.
        return self._kept()

    def _kept(self):
        return ops.convert_to_tensor(self._value.value)

    def _keep(self, value, bits):
        self._value.assign(value)
        for variable, now in zip(self._bits, bits):
            variable.assign(now)


def _state(shape, dtype, name):
    # Without an aggregation each replica of `tf.distribute` has its own pair of value and bits.
    return keras.Variable(
        _all_ones if "int" in dtype else "zeros",
        shape=tuple(shape),
        dtype=dtype,
        trainable=False,
        autocast=False,
        name=name,
    )


def _all_ones(shape, dtype):
    # Bits of a NaN: no weights that give a kernel have them.
    return ops.convert_to_tensor(~np.zeros(shape, dtype))
