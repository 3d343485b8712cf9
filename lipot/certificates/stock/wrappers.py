"""Bounds of layers of Keras around another layer."""

import keras

from lipot import checks
from lipot.certificates.weights import check_weights_are_cast
from lipot.layers.base import built_shape
from lipot.layers.branched import Branched
from lipot.layers.layer_bounds import layer_bound, register_bound, sizes_fit
from lipot.math.norms import norm_of_ones


@register_bound(keras.layers.TimeDistributed)
def time_distributed(layer, input_shape, norm):
    r"""That of the layer inside: each step of a sequence goes through it by itself.

    $\sum_t |f(x_t) - f(y_t)|^2 \le L^2 \sum_t |x_t - y_t|^2$, and in l-infinity the largest step
    counts. What the layer adds, such as a bias, it adds at each step.
    """
    inner = layer.layer
    # How much a branch rounds is found by a walk through it, as through a model.
    if isinstance(inner, keras.Model | Branched):
        kind = "model" if isinstance(inner, keras.Model) else "residual layer"
        raise ValueError(
            f"Layer '{layer.name}' cannot be certified: it calls a {kind} at each step. Expected a "
            f"single layer. Received: '{inner.name}' of class {type(inner).__name__}. Wrap its "
            "layers one by one."
        )
    step_shape = (input_shape[0], *input_shape[2:])
    _check_built_for(inner, step_shape)
    bound = layer_bound(inner, step_shape, norm)
    if inner.dtype_policy.name != layer.dtype_policy.name or not inner.autocast:
        raise ValueError(
            f"Layer '{layer.name}' cannot be certified: the layer inside computes in the type of "
            "this one, and states its bound for its own. Expected one dtype policy. Received: "
            f"{layer.dtype_policy.name} around {inner.dtype_policy.name}"
        )
    check_weights_are_cast(inner)
    repeats = norm_of_ones(input_shape[1] or 1, norm)
    return bound.with_factor(getattr(inner, "k_coef_lip", 1.0))._replace(
        offset=bound.offset * repeats, peak_offset=bound.peak_offset * repeats
    )


def _check_built_for(layer, shape):
    """Raises for other sizes than a layer was built for, which it may refuse where it is called.

    `TimeDistributed` runs the `call` of the layer inside, past its `input_spec`.
    """
    built = built_shape(layer)
    if built == (None,):
        # It has nothing to build.
        return
    if not sizes_fit(built, shape):
        raise checks.other_sizes(layer.name, str(built), shape)
