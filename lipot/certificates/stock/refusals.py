"""Layers of Keras that have no useful bound, with what to do in place of them."""

import keras

from lipot.layers import tokens
from lipot.layers.layer_bounds import refuse

_GATES = (
    "It multiplies gates and states that depend on the input with each other, or applies its "
    "weights once more for each step, so it has no Lipschitz constant that is of use. Use Conv1D "
    "over the steps, or TimeDistributed."
)
_WHOLE_NUMBERS = (
    "It reads whole numbers or text, between which nothing is near. Certify the model from what "
    "comes after it."
)
_REASONS = {
    ("Attention", "AdditiveAttention", "MultiHeadAttention", "GroupQueryAttention"): (
        tokens.NO_BOUND
    ),
    ("RNN", "SimpleRNN", "LSTM", "GRU", "Bidirectional"): _GATES,
    ("ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"): _GATES,
    ("Embedding", "ReversibleEmbedding", "CategoryEncoding", "Hashing", "HashedCrossing"): (
        _WHOLE_NUMBERS
    ),
    ("IntegerLookup", "StringLookup", "TextVectorization"): _WHOLE_NUMBERS,
    ("LayerNormalization", "GroupNormalization", "RMSNormalization", "UnitNormalization"): (
        "It divides by a statistic of its own input, so its Lipschitz constant has no useful "
        "bound: it grows as the input becomes constant. Use BatchNormalization, which divides by "
        "constants at inference, or lipot.layers.LayerCentering, which divides by nothing."
    ),
    ("Masking",): (
        "Its mask changes where an input meets the mask value, and so does, by a jump, what later "
        "layers make of it. Leave out of the inputs what is to be masked."
    ),
    ("Discretization",): (
        "It jumps at the edges of its bins. Certify the model from what comes after it."
    ),
    ("MelSpectrogram", "STFTSpectrogram"): (
        "It takes sizes of frequencies, or logarithms of them, which are steep near zero. Certify "
        "the model from what comes after it."
    ),
}

for _names, _reason in _REASONS.items():
    for _name in _names:
        # A version of Keras may lack some.
        if hasattr(keras.layers, _name):
            refuse(getattr(keras.layers, _name), _reason)
