"""Copies of stock layers, with what they learned and what they compute from it."""

import keras
from keras import ops

from lipot.backend.keras_graph import all_layers
from lipot.layers.layer_bounds import is_called_as, is_ours, replaced

# Arguments of adapters that Keras merges into the kernel where it stores a layer.
_ADAPTERS = ("lora_rank", "lora_alpha")


def copied(layer, without=(), **changes):
    """Returns a Keras layer anew, with the same outputs at inference.

    Its weights go the way of a file: statistics are prepared as after loading, and LoRA is merged.

    Args:
        layer: Layer, built or not, with whatever layers inside.
        without: Names of arguments that the copy gets by default.
        **changes: Arguments that differ.

    Example:

    >>> import keras, numpy as np
    >>> layer = keras.layers.Normalization()
    >>> layer.adapt(np.array([[1.0], [3.0]]))
    >>> float(copied(layer)(np.array([[3.0]]))[0, 0])
    1.0
    """
    left_out = {*_ADAPTERS, *without}
    config = {key: value for key, value in layer.get_config().items() if key not in left_out}
    copy = type(layer).from_config({**config, **changes})
    if layer.built and layer.weights:
        copy.build_from_config(layer.get_build_config())
        for source, target in zip(_kept(layer, changes), all_layers(copy), strict=True):
            stored = {}
            source.save_own_variables(stored)
            # JAX frees the memory of weights that a compiled step may reuse: none is shared.
            target.load_own_variables({name: ops.copy(value) for name, value in stored.items()})
    return copy


def says_its_export(layer):
    """Whether `vanilla_export` of a layer is about what it computes, not about a parent of it."""
    if not hasattr(layer, "vanilla_export"):
        return False
    kinds = type(layer).__mro__
    author = next(kind for kind in kinds if "vanilla_export" in vars(kind) or is_ours(kind))
    return is_called_as(type(layer), author) and not replaced(layer)


def _kept(layer, changes):
    """A layer and the layers inside it, but for those that an argument with a change brought."""
    gone = [getattr(layer, name) for name in changes]
    gone = [
        id(part) for one in gone if isinstance(one, keras.layers.Layer) for part in all_layers(one)
    ]
    return [part for part in all_layers(layer) if id(part) not in gone]
