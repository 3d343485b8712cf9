"""Whatever takes labels says how names become class numbers."""

import keras
import numpy as np
import pytest

import lipot
from lipot_cli.training_data import read_dataset

X, NAMES = np.linspace(0.0, 1.0, 8).reshape(4, 2).astype("float32"), np.array(["cat", "dog"] * 2)


def _classifier():
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])


def _fit(model):
    model.compile("sgd")
    model.fit(X, NAMES, verbose=0)


def _fit_robust(_):
    losses = [lipot.losses.AdversarialCrossentropy()]
    _fit(lipot.AdversarialModel(_classifier(), lipot.attacks.FGSM(0.1), losses))


def _fit_codes(_):
    _fit(lipot.OTClassifier(_classifier(), _classifier(), discriminator=None))


def _read(folder):
    np.savez(folder / "pets.npz", x=np.tile(X, (2, 1)), y=np.tile(NAMES, 2))
    read_dataset(str(folder / "pets.npz"))


def _evaluate(_):
    lipot.evaluate(_classifier(), X, NAMES, norm=2, eps=0.1, clip_values=(0, 1), progress=False)


TAKES_LABELS = {
    "certify": lambda _: lipot.certify(_classifier(), X, NAMES),
    "evaluate": _evaluate,
    "PGD": lambda _: lipot.attacks.PGD(0.1)(_classifier(), X, NAMES),
    "AutoAttack": lambda _: lipot.attacks.AutoAttack(0.1).run(_classifier(), X, NAMES),
    "AdversarialModel": _fit_robust,
    "OTClassifier": _fit_codes,
    "lipot train": _read,
}


@pytest.mark.parametrize("take", TAKES_LABELS.values(), ids=TAKES_LABELS)
def test_names_are_to_be_numbered(take, tmp_path):
    with pytest.raises(ValueError, match=r"np\.unique\(y, return_inverse=True\)\[1\]"):
        take(tmp_path)
