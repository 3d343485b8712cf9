"""A kernel computed once, that proves by itself whether it is still the right one."""

import math

import keras
import numpy as np
from keras import ops

from lipot import backend

# Where in a sum of bits the numbers of a seal begin.
_SHIFTS = (1, 2**7, 2**13, 2**19)


class InferenceCache:
    """Keeps what was computed from some weights, and the bits of those weights beside it.

    The value counts only while every bit of the weights is as it was: whoever changes them, in
    whatever way, gets the value computed anew. That holds for arithmetic on all variables of a
    model at once, such as an average, too: a seal of some numbers drawn from the bits and of their
    squares is kept, and no average of two seals is one.

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
        self._seal = _state((2, len(_SHIFTS)), "int32", "seal_of_kernel")

    @property
    def variables(self):
        """The variables behind the cache: the state of programs, and no weights."""
        return [self._value, *self._bits, self._seal]

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
            unbroken = ops.logical_not(ops.any(_break_in(self._seal.value)))
            valid = ops.logical_and(valid, unbroken)
            value, seal = ops.cond(
                valid,
                lambda: (self._kept(), ops.convert_to_tensor(self._seal.value)),
                lambda: (backend.traced_once(compute)(*weights), _seal_of(bits)),
            )
            if all(map(backend.can_assign, self.variables)):
                self._keep(value, bits, seal)
            return value
        # Outside compiled code JAX would compile the condition anew at each call.
        if not valid or np.any(_break_in(ops.convert_to_numpy(self._seal.value))):
            with backend.full_precision():
                self._keep(compute(*weights), bits, _seal_of(bits))
        # The kept value even when it was just computed: PyTorch adds up a product with a transposed
        # matrix in another order, and a later call must give the same bits.
        return self._kept()

    def _kept(self):
        return ops.convert_to_tensor(self._value.value)

    def _keep(self, value, bits, seal):
        self._value.assign(value)
        for variable, now in zip(self._bits, bits):
            variable.assign(now)
        self._seal.assign(seal)


def _seal_of(bits):
    """Numbers that depend on every bit and its place, and one more than their squares."""
    total = 0
    for part in bits:
        places = ops.reshape(ops.arange(math.prod(part.shape), dtype="int32"), part.shape)
        # By odd factors, as the same bits in other places are others.
        total = 31 * total + ops.sum(ops.cast(part, "int32") * (2 * places + 1))
    numbers = [1 + ops.mod(ops.floor_divide(total, shift), 4096) for shift in _SHIFTS]
    numbers = ops.stack(numbers)
    return ops.stack([numbers, numbers * numbers + 1])


def _break_in(seal):
    """Zeros for a seal as `_seal_of` gives it: for an array too, which takes no time in a call."""
    return seal[0] * seal[0] + 1 - seal[1]


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
