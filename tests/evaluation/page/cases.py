"""Records as an evaluation leaves them, of a network that learned nothing."""

import dataclasses

import keras
import numpy as np

from lipot.evaluation.page import views
from lipot.evaluation.record.result import Evaluation, Verdict
from lipot.evaluation.run.task import make_task

RNG = np.random.default_rng(0)
PASSED = Verdict("larger radius", True, "Accuracy falls to 0 % as the radius grows.")
FAILED = Verdict("black box", False, "Attacks without gradients broke more points.")
SKIPPED = Verdict("transfer", None, "There was no second model.")


def made(name="small net", norm=2, checks=(PASSED, SKIPPED), shape=(6, 6, 1)):
    """A record as an evaluation leaves it, of a network that learned nothing."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input(shape),
            keras.layers.Conv2D(3, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(8, "relu", name="a_layer_whose_name_is_very_long_indeed"),
            keras.layers.Dense(3),
        ]
    )
    x = RNG.uniform(size=(24, *shape)).astype("float32")
    y = model.predict(x, verbose=0).argmax(axis=1)
    x_adv = np.clip(x + 0.2 * RNG.normal(size=x.shape), 0.0, 1.0).astype("float32")
    stands = np.full(24, -1)
    stands[:6], stands[6:9] = 0, 1
    return Evaluation(
        name=name,
        norm=norm,
        eps=(0.25, 0.5, 1.0),
        attacks=("fgsm", "pgd"),
        labels=y,
        predictions=y,
        broken_by={0.25: np.full(24, -1), 0.5: stands, 1.0: np.zeros(24, int)},
        seconds={"fgsm": 0.5, "pgd": 2.0},
        certified_radius=RNG.uniform(0.0, 0.6, size=24),
        certificate_note="by the product of the layers",
        sanity=checks,
        settings={"seed": 0, "clip_values": [0, 1]},
        versions={"keras": "3.0"},
        views=views.compute(
            make_task(model, x, y, norm=norm, eps=0.5, clip_values=(0.0, 1.0)),
            x_adv,
            attacks=["fgsm"] * 6 + ["pgd"] * 18,
        ),
    )


def ranked(evaluation):
    """Three models of other standing: the second one falls least."""
    robust = {eps: np.full(24, -1) for eps in evaluation.eps}
    about = {"parameters": "999", "licence": "MIT", "data": "the same for all"}
    return [
        dataclasses.replace(evaluation, name="weak", about={"parameters": "1,000"}),
        dataclasses.replace(evaluation, name="strong", broken_by=robust, about=about),
        dataclasses.replace(evaluation, name="unproven", certified_radius=None),
        dataclasses.replace(evaluation, name="elsewhere", norm="inf"),
    ]
