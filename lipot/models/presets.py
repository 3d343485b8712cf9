"""Small networks that come with lipot, trained by its own commands."""

import json
import pathlib

import keras

from lipot import checks

_FOLDER = pathlib.Path(__file__).parent / "pretrained"


def presets() -> tuple[str, ...]:
    """Names that `from_preset` knows.

    Example:

    >>> "digits-hkr" in presets()
    True
    """
    return tuple(sorted(card.stem for card in _FOLDER.glob("*.json")))


def from_preset(name: str) -> keras.Model:
    """Loads a trained network that comes with lipot.

    Args:
        name: One of `presets()`.

    Returns:
        The Keras model, not compiled.

    Raises:
        ValueError: There is no preset of this name.

    Example:

    >>> import lipot
    >>> model = from_preset("digits-hkr")
    >>> digits = lipot.datasets.load("digits")
    >>> round(lipot.certify(model, digits.x_test, digits.y_test).accuracy(0.25), 2) > 0.5
    True
    """
    checks.choice("name", name, presets())
    return keras.saving.load_model(_FOLDER / f"{name}.keras", compile=False)


def preset_card(name: str) -> dict:
    """What is known of a preset: data, command, figures, certificate and licence.

    Args:
        name: One of `presets()`.

    Returns:
        Dictionary with `data`, `command`, `licence`, `parameters`, `points`, `clean` (accuracy on
        the test points), `lipschitz` (of the features) and `certified`, proven accuracy by l2
        radius. Shares are of all test points, or of the first `points` of them. Those of MNIST
        also have `attacked`: accuracy under projected gradients, and how they were followed.

    Example:

    >>> preset_card("digits-hkr")["command"]
    'lipot train --method hkr --data digits --epochs 30'
    """
    checks.choice("name", name, presets())
    return json.loads((_FOLDER / f"{name}.json").read_text())
