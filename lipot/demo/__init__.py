"""What `lipot demo` does: train, certify and attack two small networks, and show the outcome."""

import pathlib
import time
from typing import NamedTuple

import keras
import numpy as np
from rich.console import Console
from rich.table import Table

from lipot import checks, datasets, evaluation, recipes
from lipot.certificates import certify
from lipot.demo import figures, measure, training
from lipot.evaluation.page.views.counterfactual import step_across
from lipot.interop import art
from lipot.math.proportions import in_percent
from lipot.progress import Bar


class Settings(NamedTuple):
    """How long the demo trains, and how it attacks."""

    epochs: int = 30
    moons_epochs: int = 40
    eps: tuple = (0.25, 0.5, 1.0)
    points: int = 200
    attacks: str | list = "quick"
    sanity: bool = True


def run(folder="demo-report", settings=None):
    """Runs the demo on the digits of scikit-learn, prints what it finds and writes a page.

    An unconstrained network and its 1-Lipschitz twin learn the same digits; the accuracy of the
    second is then proven at several l2 radii, and both are attacked there.

    Args:
        folder: Where the page and the figures go; made if it is missing.
        settings: `Settings`; the defaults take a minute or two on two cores.

    Returns:
        The folder as an absolute `pathlib.Path`.
    """
    checks.folder("folder", folder)
    settings, console, started = settings or Settings(), Console(), time.monotonic()
    keras.utils.set_random_seed(0)
    data = datasets.load("digits")
    console.print(
        f"Digits of scikit-learn, 8 x 8 pixels: {len(data.x_train)} to train on, "
        f"{len(data.x_test)} to test.",
        highlight=False,
    )
    with Bar("demo") as bar:
        stock, lipschitz = _train(data, settings, bar)
        # The figure must not depend on how many numbers the trainings drew.
        keras.utils.set_random_seed(0)
        moons = datasets.load("two_moons")
        ticker = training.Ticker(bar, "train on two moons", [settings.moons_epochs])
        critic = training.train_on_moons(moons, epochs=settings.moons_epochs, callbacks=[ticker])
    report = _attack({"1-Lipschitz": lipschitz, "stock Keras": stock}, data, settings)
    console.print(_table(report, settings))
    drawings = {
        "accuracy": figures.accuracy_against_radius(report),
        "counterfactuals": _draw_counterfactuals(lipschitz, data),
        "two-moons": figures.level_map(
            moons.x_test, moons.y_test, measure.decision_map(critic, moons.x_test)
        ),
    }
    folder = _save(drawings, folder)
    page = report.save_html(folder / "report.html")
    console.print(f"Took {time.monotonic() - started:.0f} s. The figures are in", highlight=False)
    console.print(f"{folder}/", soft_wrap=True, highlight=False)
    console.print("and everything on one page, to open in a browser:")
    console.print(f"{page}", soft_wrap=True, highlight=False)
    return folder


def _train(data, settings, bar):
    trainers = (
        ("train the stock network", training.train_stock_twin),
        ("train the 1-Lipschitz network", recipes.train_hkr),
    )
    for done, (name, train) in enumerate(trainers):
        epochs = [settings.epochs] * (len(trainers) - done)
        ticker = training.Ticker(bar, name, [*epochs, settings.moons_epochs])
        yield train(data, epochs=settings.epochs, callbacks=[ticker])


def _attack(models, data, settings):
    return evaluation.compare(
        models,
        data.x_test[: settings.points],
        data.y_test[: settings.points],
        norm=2,
        eps=list(settings.eps),
        attacks=settings.attacks,
        clip_values=data.clip_values,
        sanity=settings.sanity,
    )


def _table(report, settings):
    table = Table(
        title="Accuracy on test digits, in percent",
        caption=f"{settings.points} images, in the worst case over the attacks",
    )
    table.add_column("l2 radius", justify="right", vertical="bottom")
    for found in report.evaluations:
        table.add_column(f"{found.name}\nattacked", justify="right")
    table.add_column("1-Lipschitz\nproven", justify="right", style="bold")
    proven = report.evaluations[0].certified_accuracy
    clean = [found.clean_accuracy for found in report.evaluations]
    table.add_row("0.00", *(in_percent(cell, 1) for cell in [*clean, proven(0.0)]))
    for eps in settings.eps:
        cells = [found.robust_accuracy(eps) for found in report.evaluations]
        table.add_row(f"{eps:.2f}", *(in_percent(cell, 1) for cell in [*cells, proven(eps)]))
    return table


def _draw_counterfactuals(model, data):
    first_of_each_class = [int(np.argmax(data.y_test == label)) for label in range(10)]
    images = data.x_test[first_of_each_class]
    found = step_across(art.classifier(model, clip_values=data.clip_values), images)
    return figures.counterfactuals(
        images,
        found.moved,
        [data.classes[label] for label in found.before],
        [data.classes[label] for label in found.after],
    )


def _save(drawings, folder):
    folder = pathlib.Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in drawings.items():
        figure.savefig(folder / f"{name}.png", dpi=150)
    return folder
