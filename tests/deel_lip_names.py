"""The public names of deel-lip 1.5.0, and modules `deel.lip.*` made of lipot that bear them.

`python -m pytest -p tests.deel_lip_names PATH` runs tests that were written for deel-lip.
"""

import sys
import types

import lipot
from lipot.layers import base

NAMES = {
    "layers": (
        *("Condensable", "FrobeniusConv2D", "FrobeniusDense", "FullSort", "GroupSort"),
        *("GroupSort2", "Householder", "InvertibleDownSampling", "InvertibleUpSampling"),
        *("LipschitzLayer", "MaxMin", "PReLUlip", "ScaledAveragePooling2D"),
        *("ScaledGlobalAveragePooling2D", "ScaledGlobalL2NormPooling2D"),
        *("ScaledL2NormPooling2D", "SpectralConv2D", "SpectralConv2DTranspose", "SpectralDense"),
    ),
    "layers.unconstrained": ("PadConv2D",),
    "activations": ("FullSort", "GroupSort", "GroupSort2", "Householder", "MaxMin", "PReLUlip"),
    "losses": (
        *("CategoricalHinge", "HKR", "HingeMargin", "KR", "MultiMargin", "MulticlassHKR"),
        *("MulticlassHinge", "MulticlassKR", "TauBinaryCrossentropy"),
        *("TauCategoricalCrossentropy", "TauSparseCategoricalCrossentropy"),
    ),
    "metrics": (
        *("BinaryProvableAvgRobustness", "BinaryProvableRobustAccuracy"),
        *("CategoricalProvableAvgRobustness", "CategoricalProvableRobustAccuracy"),
    ),
    "callbacks": ("CondenseCallback", "LossParamLog", "LossParamScheduler", "MonitorCallback"),
    "constraints": (
        *("AutoWeightClipConstraint", "FrobeniusConstraint", "SpectralConstraint"),
        "WeightClipConstraint",
    ),
    "initializers": ("SpectralInitializer",),
    "regularizers": ("Lorth2D", "LorthRegularizer", "OrthDenseRegularizer"),
    "model": ("Model", "Sequential", "vanillaModel"),
}
# Names without a counterpart: where the page on coming from deel-lip says what to use.
GONE = (
    *("compute_layer_sv", "compute_model_sv", "evaluate_lip_const", "evaluate_lip_const_gen"),
    *("process_labels_for_multi_gpu", "set_swap_memory", "set_stop_grad_spectral"),
    *("reshaped_kernel_orthogonalization", "bjorck_normalization", "spectral_normalization"),
    *("get_conv_operators", "spectral_normalization_conv"),
)
_ELSEWHERE = {
    "layers.unconstrained": lipot.layers,
    "activations": lipot.layers,
    "model": types.SimpleNamespace(
        Model=lipot.Model, Sequential=lipot.Sequential, vanillaModel=lipot.to_keras
    ),
}


def modules():
    """Modules by the names that deel-lip has them under, each with lipot's objects."""
    found = {name: types.ModuleType(name) for name in ("deel", "deel.lip")}
    for room, names in NAMES.items():
        module = types.ModuleType(f"deel.lip.{room}")
        source = _ELSEWHERE.get(room) or getattr(lipot, room)
        for name in names:
            setattr(module, name, getattr(source, name, None) or getattr(base, name))
        found[module.__name__] = module
    for name, module in found.items():
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(found[parent], child, module)
    for name in NAMES["model"]:
        setattr(found["deel.lip"], name, getattr(found["deel.lip.model"], name))
    return found


def pytest_configure():
    """Puts the modules where `import deel.lip` finds them."""
    sys.modules.update(modules())
