"""PyTorch's derivatives and compiled calls."""

import contextlib
import functools

from keras import ops

from lipot.backend.engine import Engine, constant_cotangent


class TorchEngine(Engine):
    """The engine of PyTorch."""

    # It compares few of the unsigned integers.
    bits_dtypes = {
        "float64": "int64",
        "float32": "int32",
        "bfloat16": "int16",
        "float16": "int16",
    }

    # Compiled code is not differentiated twice.
    compiles_derivatives = False

    def __init__(self):
        import torch

        self.torch = torch

    def devices(self):
        # Keras lists none for PyTorch.
        return {ops.zeros(()).device.type}

    def value_and_input_gradient(self, function, inputs):
        inputs = inputs.detach().requires_grad_(True)
        with self.torch.enable_grad():
            value = function(inputs)
            gradient = self._gradient(value, inputs)
        return value, gradient.detach()

    def pullback(self, function, inputs, variables):
        with self.torch.enable_grad():
            if not inputs.requires_grad:
                inputs = inputs.detach().requires_grad_(True)
            outputs, auxiliary = function(inputs)

        def pull(cotangent):
            cotangent = constant_cotangent(cotangent, outputs)
            return self._gradient(outputs, inputs, cotangent, create_graph=True)

        return outputs, auxiliary, pull

    def _gradient(self, outputs, inputs, cotangent=None, **kwargs):
        if not outputs.requires_grad:
            # Outputs that depend on nothing are an error to PyTorch.
            return self.torch.zeros_like(inputs)
        (gradient,) = self.torch.autograd.grad(
            outputs, inputs, cotangent, materialize_grads=True, **kwargs
        )
        return gradient

    def compile(self, function):
        return self._on_tensors(function)

    def compile_over(self, model, function):
        forward = functools.partial(model, training=False)
        return self._on_tensors(functools.partial(function, forward))

    def _on_tensors(self, function):
        # Eager PyTorch needs no tracing; torch.compile costs minutes of start-up on a CPU.
        def call(*tensors):
            with self.torch.no_grad():
                return function(*(ops.convert_to_tensor(tensor) for tensor in tensors))

        return call

    def bits(self, tensor, dtype):
        return tensor.detach().view(getattr(self.torch, dtype))

    def full_precision(self):
        kind = ops.zeros(()).device.type
        # Keras computes shapes on the device "meta", which has no values and no autocast.
        if kind == "meta":
            return contextlib.nullcontext()
        return self.torch.autocast(kind, enabled=False)

    def positive_definite(self, real, imag):
        factors, failed = self.torch.linalg.cholesky_ex(self.torch.complex(real, imag))
        return (failed == 0).all() & factors.real.isfinite().all()

    def is_concrete(self, tensor):
        return tensor.device.type != "meta"
