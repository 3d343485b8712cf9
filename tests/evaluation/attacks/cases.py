"""The estimator of the small OTAD that attacks are tried on."""

from lipot.interop.art import classifier


def estimator_of(model):
    return classifier(model, clip_values=(0.0, 1.0), input_shape=(6, 6, 1), channels_first=False)
