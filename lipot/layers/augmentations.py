"""Which layers are data augmentation: they act while training, and return their input else."""

import keras

# Layers of Keras that return their input when they are called with training=False.
_NAMES = (
    "AugMix",
    "CutMix",
    "Equalization",
    "MixUp",
    "RandAugment",
    "RandomBrightness",
    "RandomColorDegeneration",
    "RandomColorJitter",
    "RandomContrast",
    "RandomElasticTransform",
    "RandomErasing",
    "RandomFlip",
    "RandomGaussianBlur",
    "RandomGrayscale",
    "RandomHue",
    "RandomInvert",
    "RandomPerspective",
    "RandomPosterization",
    "RandomRotation",
    "RandomSaturation",
    "RandomSharpness",
    "RandomShear",
    "RandomTranslation",
    "RandomZoom",
    "Solarization",
)
# A version of Keras may lack some.
AUGMENTATIONS = tuple(getattr(keras.layers, n) for n in _NAMES if hasattr(keras.layers, n))


def is_augmentation(layer):
    """Whether a layer is an augmentation of Keras that is off at inference, or a pipeline of them.

    A subclass may do anything.
    """
    if type(layer) is keras.layers.Pipeline:
        return all(map(is_augmentation, layer.layers))
    return type(layer) in AUGMENTATIONS
