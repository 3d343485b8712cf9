"""What `lipot demo` does: train, certify and attack two small networks, and draw the outcome."""

import pathlib
import time
from typing import Any, NamedTuple

import keras
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from lipot import datasets, recipes
from lipot.certify import certify
from lipot.demo import figures, measure, training
from lipot.interop import art


class Settings(NamedTuple):
    """How long the demo trains, and where it attacks."""

    epochs: int = 30
    moons_epochs: int = 40
    radii: tuple = (0.0, 0.25, 0.5, 0.75, 1.0)
    points: int = 360
    autoattack_points: int = 100
    pgd_steps: int = 40
    autoattack_steps: int = 100
    square_queries: int = 500


class Attacked(NamedTuple):
    """Accuracy of one network at each radius, under two attacks."""

    pgd: Any
    autoattack: Any


def run(folder="demo-report", settings=None):
    """Runs the demo on the digits of scikit-learn and prints what it finds.

    An unconstrained network and its 1-Lipschitz twin learn the same digits; the accuracy of the
    second is then proven at several l2 radii, and both are attacked there.

    Args:
        folder: Where the figures go; made if it is missing.
        settings: `Settings`; the defaults take about a minute on two cores.

    Returns:
        The folder as an absolute `pathlib.Path`.
    """
    settings, console, started = settings or Settings(), Console(), time.monotonic()
    keras.utils.set_random_seed(0)
    data = datasets.load("digits")
    console.print(
        f"Digits of scikit-learn, 8 x 8 pixels: {len(data.x_train)} to train on, "
        f"{len(data.x_test)} to test.",
        highlight=False,
    )
    with _progress(console) as progress:
        stock, lipschitz = _train(data, settings, progress)
        certificate = certify(lipschitz, data.x_test, data.y_test)
        attacked = {
            name: _attack(name, model, data, settings, progress)
            for name, model in (("stock", stock), ("1-Lipschitz", lipschitz))
        }
        # The figure must not depend on how many numbers the attacks drew.
        keras.utils.set_random_seed(0)
        moons = datasets.load("two_moons")
        ticker = training.Ticker(progress, "train on two moons", settings.moons_epochs)
        critic = training.train_on_moons(moons, epochs=settings.moons_epochs, callbacks=[ticker])
    console.print(_table(attacked, certificate, settings))
    drawings = {
        "accuracy": _draw_accuracy(attacked, certificate, settings),
        "counterfactuals": _draw_counterfactuals(lipschitz, data),
        "two-moons": figures.level_map(
            moons.x_test, moons.y_test, measure.decision_map(critic, moons.x_test)
        ),
    }
    folder = _save(drawings, folder)
    console.print(f"Took {time.monotonic() - started:.0f} s. The figures are in", highlight=False)
    console.print(f"{folder}/", soft_wrap=True, highlight=False)
    return folder


def _train(data, settings, progress):
    trainers = (
        ("train the stock network", training.train_stock_twin),
        ("train the 1-Lipschitz network", recipes.train_hkr),
    )
    for name, train in trainers:
        ticker = training.Ticker(progress, name, settings.epochs)
        yield train(data, epochs=settings.epochs, callbacks=[ticker])


def _attack(name, model, data, settings, progress):
    found = []
    for attack, suite, points in (
        ("PGD", measure.pgd(settings.pgd_steps), settings.points),
        (
            "AutoAttack",
            measure.autoattack(settings.autoattack_steps, settings.square_queries),
            settings.autoattack_points,
        ),
    ):
        task = progress.add_task(f"{attack} on the {name} network", total=len(settings.radii))
        accuracy = measure.accuracy_under(
            suite,
            art.classifier(model, clip_values=data.clip_values),
            data.x_test[:points],
            data.y_test[:points],
            settings.radii,
            advance=lambda task=task: progress.advance(task),
        )
        found.append(accuracy)
    return Attacked(*found)


def _table(attacked, certificate, settings):
    table = Table(
        title="Accuracy on test digits, in percent",
        caption=f"PGD, proof: {settings.points} images; AutoAttack: {settings.autoattack_points}",
    )
    table.add_column("l2 radius", justify="right", vertical="bottom")
    for network in attacked:
        for attack in ("PGD", "AutoAttack"):
            table.add_column(f"{network}\n{attack}", justify="right")
    table.add_column("1-Lipschitz\nproven", justify="right", style="bold")
    for row, radius in enumerate(settings.radii):
        cells = [accuracy[row] for network in attacked.values() for accuracy in network]
        cells.append(certificate.accuracy(radius))
        table.add_row(f"{radius:.2f}", *(f"{100 * cell:.1f}" for cell in cells))
    return table


def _draw_accuracy(attacked, certificate, settings):
    certified_radii = np.linspace(0.0, settings.radii[-1], 200)
    return figures.accuracy_against_radius(
        settings.radii,
        attacked["stock"].pgd,
        attacked["1-Lipschitz"].pgd,
        certified_radii,
        np.array([certificate.accuracy(radius) for radius in certified_radii]),
    )


def _draw_counterfactuals(model, data):
    first_of_each_class = [int(np.argmax(data.y_test == label)) for label in range(10)]
    images = data.x_test[first_of_each_class]
    found = measure.counterfactuals(model, images)
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


def _progress(console):
    return Progress(
        TextColumn("{task.description:36}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(),
        console=console,
    )
