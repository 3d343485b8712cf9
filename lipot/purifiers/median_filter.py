"""Median filter: every pixel becomes the median of its window."""

import keras

from lipot import checks
from lipot.math.medians import median_windows
from lipot.purifiers.purifier import check_images, shaped_like


@keras.saving.register_keras_serializable(package="lipot")
class MedianFilter(keras.layers.Layer):
    """Smooths images by the median of a window around each pixel; nothing is trained.

    Args:
        size: Odd number of pixels along a side of the window.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)`, at least `size // 2` pixels high and wide.

    Output shape:
        That of the input.

    Lipschitz bound:
        None is stated: `lipot.certify` refuses a network that holds the layer.

    Reference:
        Xu, Evans and Qi, "Feature squeezing: detecting adversarial examples in deep neural
        networks", 2018; a baseline of OTAD, tables I to VIII.

    Example:

    >>> from keras import ops
    >>> row = ops.reshape(ops.array([0.0, 9.0, 1.0, 2.0]), (1, 1, 4, 1))
    >>> [float(v) for v in ops.reshape(MedianFilter()(row), (-1,))]
    [0.0, 1.0, 2.0, 2.0]
    """

    def __init__(self, size=3, **kwargs):
        super().__init__(**kwargs)
        self.size = checks.positive_int("size", size)
        if size % 2 == 0:
            raise checks.invalid("size", "an odd positive integer", size)

    def build(self, input_shape):
        check_images(input_shape)
        self.input_spec = shaped_like((None, None, None, input_shape[-1]))
        self.built = True

    def call(self, inputs):
        return median_windows(inputs, self.size)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "size": self.size}
