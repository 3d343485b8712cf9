"""Trains the networks that come with lipot, and writes their cards.

`python -m benchmarks.presets` makes all of them anew in `lipot/models/pretrained/`, or those named.
On other machines the weights differ in their last digits, and a card with them.
"""

import argparse
import json
import pathlib
import tempfile

import keras
import numpy as np

import lipot
from lipot import cli

FOLDER = pathlib.Path(lipot.__file__).parent / "models" / "pretrained"
COMMANDS = {
    "digits-hkr": "lipot train --method hkr --data digits --epochs 30",
    "digits-otad": "lipot train --method otad --data digits --epochs 10",
    "digits-otjr": "lipot train --method otjr --data digits --epochs 10",
}
RADII = (0.1, 0.25, 0.5, 1.0)
MOST_POINTS = 1000


def card(model, command):
    """What `lipot.models.preset_card` gives, measured on a model."""
    words = command.split()
    data = lipot.datasets.load(words[words.index("--data") + 1])
    x, y = data.x_test[:MOST_POINTS], data.y_test[:MOST_POINTS]
    predictions = model.predict(x, verbose=0).argmax(axis=1)
    found = {
        "data": data.name,
        "command": command,
        "licence": "MIT",
        "parameters": model.count_params(),
        "points": len(x),
        "clean": round(float(np.mean(predictions == y)), 4),
        "lipschitz": None,
        "certified": None,
    }
    try:
        certificate = lipot.certify(model, x, y)
    except ValueError:
        return found
    finite = np.isfinite(certificate.lipschitz)
    return {
        **found,
        "lipschitz": float(f"{certificate.lipschitz:.4g}") if finite else None,
        "certified": {str(eps): round(certificate.accuracy(eps), 4) for eps in RADII},
    }


def make(name):
    """Trains one network, and stores it without what its optimizer keeps."""
    command = COMMANDS[name]
    with tempfile.TemporaryDirectory() as folder:
        trained = str(pathlib.Path(folder) / "model.keras")
        if cli.main([*command.split()[1:], "--out", trained]) != 0:
            raise SystemExit(1)
        model = keras.saving.load_model(trained, compile=False)
    FOLDER.mkdir(exist_ok=True)
    model.save(FOLDER / f"{name}.keras")
    text = json.dumps(card(model, command), indent=1)
    (FOLDER / f"{name}.json").write_text(f"{text}\n")
    print(f"{name}: {(FOLDER / f'{name}.keras').stat().st_size / 1e6:.2f} MB, {text}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=list(COMMANDS), default=list(COMMANDS))
    for chosen in parser.parse_args().names:
        make(chosen)
