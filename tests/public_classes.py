"""An instance of every public class, for the tests that hold for all of them.

A class that can be made without arguments needs no entry here. One that cannot has its entry in
`MADE`, or every test that goes through these classes fails and says so.
"""

import importlib
import inspect

import keras

from lipot import callbacks, layers, losses


def _branch():
    return keras.Sequential([layers.SpectralDense(8), layers.GroupSort2()])


def _teacher():
    return keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)])


MADE = {
    "attacks.Attack": lambda make: make(0.1, norm=2, clip_min=None, seed=3),
    "attacks.AutoAttack": lambda make: make(0.1, steps=5),
    "attacks.FGSM": lambda make: make(0.1, step_size=0.125, random_start=True, seed=1),
    "attacks.PGD": lambda make: make(0.1, steps=3),
    "attacks.TRADESPGD": lambda make: make(0.1, norm=2, noise=0.01),
    "callbacks.AdversarialWeightPerturbation": lambda make: make(0.005, start=10),
    "callbacks.Backup": lambda make: make(
        "kept", [callbacks.TimeBudget(2.0, 0.1), callbacks.LossParamScheduler("eps", [1.0], [2.0])]
    ),
    "callbacks.DistanceNormScheduler": lambda make: make(100, last=64, begin=0.0, step=3),
    "callbacks.FeatureMonitor": lambda make: make(layer="pool"),
    "callbacks.LossParamLog": lambda make: make("alpha", 5),
    "callbacks.LossParamScheduler": lambda make: make("alpha", [1.0, 2.0], [0.0, 10.0], step=3),
    "callbacks.MonitorCallback": lambda make: make(["a"], "log", "wbar", "all", False, True),
    "callbacks.RadiusSchedule": lambda make: make([0.1, 1.0], [0, 9], "epochs", step=3),
    "callbacks.TimeBudget": lambda make: make(
        3.0, 0.01, warmup=0.1, loss_params={"eps": ([0.1, 0.5], [0.0, 0.5])}, spent=1.5
    ),
    "callbacks.WeightSchedule": lambda make: make("trades", [0.0, 1.0], [0, 9], "epochs", step=3),
    "layers.FrobeniusConv2D": lambda make: make(3, 3),
    "layers.FrobeniusDense": lambda make: make(3, disjoint_neurons=True),
    "layers.GroupSort": lambda make: make(4, k_coef_lip=0.5),
    "layers.Householder": lambda make: make(theta_initializer="random_normal"),
    "layers.InvertibleDownSampling": lambda make: make(2),
    "layers.InvertibleUpSampling": lambda make: make(2),
    "layers.LInfDistanceDense": lambda make: make(3, k_coef_lip=0.5, p=8),
    "layers.LipschitzResidual": lambda make: make(_branch()),
    "layers.OrthogonalConv1D": lambda make: make(6, 3, padding="circular"),
    "layers.OrthogonalConv2D": lambda make: make(6, 3, padding="circular"),
    "layers.OrthogonalConv2DTranspose": lambda make: make(4, 2, strides=2),
    "layers.PReLUlip": lambda make: make(alpha_initializer="random_normal"),
    "layers.PadConv2D": lambda make: make(3, 3, padding="reflect"),
    "layers.PatchEmbedding": lambda make: make(2, 6),
    "layers.SDPResidualConv2D": lambda make: make(8, 3),
    "layers.SDPResidualDense": lambda make: make(8),
    "layers.ScaledGlobalL2NormPooling2D": lambda make: make(keepdims=True),
    "layers.ScaledL2NormPooling2D": lambda make: make(2, k_coef_lip=2.0),
    "layers.SelfAttention": lambda make: make(2),
    "layers.SkewOrthogonalConv2D": lambda make: make(8, 3),
    "layers.SpectralConv2D": lambda make: make(3, 3, strides=2),
    "layers.SpectralConv2DTranspose": lambda make: make(3, 2, strides=2),
    "layers.SpectralDense": lambda make: make(3, k_coef_lip=0.5),
    "layers.TransportResidual": lambda make: make(_branch(), weight=0.5),
    "losses.ALP": lambda make: make(alpha=0.25, lambda_=0.1),
    "losses.AdversarialCrossentropy": lambda make: make(alpha=2.0, clean_weight=0.5, weight=3.0),
    "losses.AdversarialLoss": lambda make: make(losses.MulticlassHKR(10.0), clean_weight=0.5),
    "losses.CategoricalHinge": lambda make: make(min_margin=0.5),
    "losses.CertificateRegularizedCrossentropy": lambda make: make(gamma=0.25, lipschitz=2.0),
    "losses.ClippedHingeCrossentropy": lambda make: make(min_margin=0.6, weight=0.5, scale=2.0),
    "losses.EMMA": lambda make: make(eps=0.5, lipschitz=2.0),
    "losses.GOT": lambda make: make(
        feature_cost="l2", label_cost="l1", label_matching=True, unit_features=True
    ),
    "losses.GloRo": lambda make: make(eps=0.5, tau=3.0),
    "losses.GloRoTRADES": lambda make: make(eps=0.5, weight=2.0),
    "losses.HKR": lambda make: make(alpha=5.0, multi_gpu=True),
    "losses.LBGAT": lambda make: make(_teacher(), beta=2.0, weight=0.5),
    "losses.MarginCategoricalCrossentropy": lambda make: make(tau=2.0, min_margin=0.5),
    "losses.MART": lambda make: make(lambda_=2.0),
    "losses.OptimalJacobian": lambda make: make(weight=0.002, projections=8),
    "losses.RandomJacobian": lambda make: make(weight=0.02, seed=2),
    "losses.SinkhornDivergence": lambda make: make(weight=2.0, eps=0.5, iterations=7),
    "losses.SlicedWasserstein": lambda make: make(weight=64, projections=16, seed=1),
    "losses.TRADES": lambda make: make(alpha=3.0),
    "losses.TauBinaryCrossentropy": lambda make: make(tau=2.0),
    "losses.TauCategoricalCrossentropy": lambda make: make(tau=2.0),
    "losses.TauSparseCategoricalCrossentropy": lambda make: make(tau=2.0),
}
ROOMS = (
    *("attacks", "callbacks", "constraints", "initializers"),
    *("layers", "losses", "metrics", "regularizers"),
)


def public_classes(room, base=object):
    """The classes with a configuration that `lipot.room` shows, by name, `base` itself left out."""
    return {
        name: value
        for name, value in vars(importlib.import_module(f"lipot.{room}")).items()
        if inspect.isclass(value)
        and not name.startswith("_")
        and value.__module__.startswith("lipot")
        and issubclass(value, base)
        and value is not base
        and hasattr(value, "get_config")
    }


def make(room, name):
    """A new instance of a public class, with its arguments from `MADE`."""
    cls = public_classes(room)[name]
    if (entry := MADE.get(f"{room}.{name}")) is not None:
        return entry(cls)
    try:
        return cls()
    except TypeError as error:
        raise AssertionError(
            f"lipot.{room}.{name} cannot be made without arguments. Add an entry "
            f"'{room}.{name}' to MADE in tests/public_classes.py that makes one."
        ) from error


def make_with(room, name, **changes):
    """Such an instance with some arguments of its configuration changed."""
    made = make(room, name)
    return type(made).from_config({**made.get_config(), **changes})
