"""Networks that several measurements take, and the precision that they train in."""

import contextlib
import pathlib

import keras

from lipot import layers


def small_cnn(hidden=(), classes=10):
    """A 1-Lipschitz convolution of 28 x 28 images, pooled, with dense layers of given widths."""
    keras.utils.set_random_seed(0)
    dense = [part for n in hidden for part in (layers.SpectralDense(n), layers.GroupSort2())]
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.SpectralConv2D(16, 3),
            layers.GroupSort2(),
            layers.ScaledAveragePooling2D(2),
            keras.layers.Flatten(),
            *dense,
            layers.FrobeniusDense(classes),
        ]
    )


@contextlib.contextmanager
def precision(policy):
    """Layers made inside compute by a dtype policy; those made after it as before."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def fast_precision():
    """`precision` of bfloat16 where the processor computes in it, else as it is set.

    One without the instructions takes ten times as long with it as in float32.
    """
    if fast_type() == "bfloat16":
        return precision("mixed_bfloat16")
    return contextlib.nullcontext()


def fast_type():
    """Name of the type that `fast_precision` computes in, where nothing else was set."""
    return "bfloat16" if _computes_in_bfloat16() else "float32"


def _computes_in_bfloat16():
    flags = pathlib.Path("/proc/cpuinfo")
    # Elsewhere than on Linux nothing tells.
    known = flags.read_text() if flags.exists() else "avx512_bf16"
    return any(name in known for name in ("avx512_bf16", "amx_bf16"))
