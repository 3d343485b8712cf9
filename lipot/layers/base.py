"""What every lipot layer with a Lipschitz constant has in common."""

import keras


class LipschitzLayer(keras.layers.Layer):
    """A Keras layer that knows a proven bound of its own l2 Lipschitz constant.

    Subclasses read `self.k_coef_lip` in `call` and override `lipschitz_bound` when the bound
    depends on their weights.

    Args:
        k_coef_lip: Positive float, the Lipschitz constant the layer promises. Defaults to 1.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(self, *, k_coef_lip=1.0, **kwargs):
        super().__init__(**kwargs)
        self.k_coef_lip = check_positive("k_coef_lip", k_coef_lip)

    def set_klip_factor(self, klip_factor):
        """Changes the promised Lipschitz constant, as `lipot.Sequential` does when it spreads one.

        Args:
            klip_factor: Positive float.
        """
        self.k_coef_lip = check_positive("klip_factor", klip_factor)

    @property
    def lipschitz_bound(self):
        """Proven upper bound of the layer's l2 Lipschitz constant at inference (float)."""
        return self.k_coef_lip

    def get_config(self):
        return {**super().get_config(), "k_coef_lip": self.k_coef_lip}


class Condensable:
    """A layer whose kernel is computed from a freer one, and that can be frozen to plain Keras."""

    def condense(self):
        """Overwrites the trainable kernel with the kernel used at inference."""
        raise TypeError(f"{type(self).__name__} must define condense().")

    def vanilla_export(self):
        """Returns a stock Keras layer with the same outputs at inference."""
        raise TypeError(f"{type(self).__name__} must define vanilla_export().")


def check_positive(name, value):
    """Returns `value` as a float, or raises the error every lipot argument raises."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not 0.0 < number < float("inf"):
        raise ValueError(
            f"Invalid value received for argument `{name}`. Expected a positive finite number. "
            f"Received: {name}={value!r}"
        )
    return number
