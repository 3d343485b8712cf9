"""How strongly a network's units respond to clean and to attacked inputs."""

import dataclasses

import numpy as np

from lipot.evaluation.page.prose import percent
from lipot.evaluation.page.section import Drawing, Section
from lipot.evaluation.page.svg import MOST_ROWS, WIDE, drawing, short
from lipot.evaluation.page.views.hidden import features, layer_outputs
from lipot.evaluation.page.views.spec import ViewSpec
from lipot.evaluation.record.palette import ACCENT, INK
from lipot.evaluation.record.view import View

_POINTS = 256


@dataclasses.dataclass(frozen=True, eq=False)
class Activations(View):
    """Magnitudes of the activations, clean against attacked.

    Attributes:
        layer: Name of the layer that reads the features.
        clean: Mean magnitude of each channel of the features on clean inputs, `(channels,)`,
            from the largest down.
        adversarial: The same channels on attacked inputs.
        layers: Names of all layers, in order; empty where the model shows none.
        change: For each layer, the mean of `|h(x_adv) - h(x)| / |h(x)|` in l2.

    Reference:
        OTJR, figure 2, for the magnitudes of the penultimate layer.
    """

    layer: str
    clean: np.ndarray
    adversarial: np.ndarray
    layers: tuple
    change: np.ndarray


def compute(subject):
    """Makes the `Activations` of a `Subject`."""
    x, x_adv = subject.x[:_POINTS], subject.x_adv[:_POINTS]
    before, after = features(subject.model, x), features(subject.model, x_adv)
    clean, attacked = _channels(before.values), _channels(after.values)
    order = np.argsort(-clean, kind="stable")
    changes = _changes(subject.model, x, x_adv)
    return Activations(
        layer=before.layer,
        clean=clean[order],
        adversarial=attacked[order],
        layers=tuple(changes),
        change=np.array(list(changes.values())),
    )


def _channels(values):
    """Mean magnitude of each channel over examples and positions."""
    return np.mean(np.abs(values, dtype="float64"), axis=tuple(range(values.ndim - 1)))


def _changes(model, x, x_adv):
    before, after = layer_outputs(model, x), layer_outputs(model, x_adv)
    return {name: _relative_change(before[name], after[name]) for name in before}


def _relative_change(before, after):
    before, after = (np.asarray(v, "float64").reshape(len(v), -1) for v in (before, after))
    sizes = np.linalg.norm(before, axis=1)
    moved = np.linalg.norm(after - before, axis=1)
    alive = sizes > 0.0
    return float(np.mean(moved[alive] / sizes[alive])) if alive.any() else 0.0


def section(view, prefix):
    """Returns the `Section` that shows it; `prefix` starts every id."""
    text = (
        f"How strongly the features that layer '{view.layer}' reads respond, channel by channel; "
        "and how much the attack changes what each layer gives. In a robust network the two "
        "curves lie close together, and the change does not grow from layer to layer."
    )
    clean, attacked = float(view.clean.mean()), float(view.adversarial.mean())
    alt = f"Mean magnitude {clean:.3g} on clean inputs and {attacked:.3g} under attack."
    drawings = [Drawing(_draw_channels(f"{prefix}-channels", view), alt)]
    if view.layers:
        alt = "; ".join(f"{layer}: {percent(c)}" for layer, c in zip(view.layers, view.change))
        drawings.append(Drawing(_draw_layer_changes(f"{prefix}-layers", view), f"{alt}."))
    key = (("var(--model)", "clean inputs"), ("currentColor", "under attack, dotted"))
    return Section(text, tuple(drawings), key)


def _draw_channels(name, shown):
    """Mean magnitude of each channel, clean against attacked."""

    def draw(axes):
        numbers = np.arange(1, len(shown.clean) + 1)
        axes.fill_between(numbers, shown.clean, color=ACCENT, alpha=0.25, linewidth=0)
        axes.plot(numbers, shown.clean, color=ACCENT, linewidth=1.4)
        axes.plot(numbers, shown.adversarial, ":", color=INK, linewidth=1.2)
        axes.set(xlim=(1, max(2, len(numbers))), xlabel="channel, strongest first")
        axes.set_ylim(bottom=0)
        axes.set_ylabel("mean magnitude")
        axes.grid(True, axis="y")

    return drawing(name, WIDE, 2.5, draw)


def _draw_layer_changes(name, shown):
    """How much the attack changes the output of each layer."""
    names, values = shown.layers[-MOST_ROWS:], shown.change[-MOST_ROWS:]

    def draw(axes):
        rows = np.arange(len(names))[::-1]
        axes.barh(rows, 100 * values, 0.6, color=ACCENT, linewidth=0)
        axes.set_yticks(rows, [short(layer) for layer in names])
        axes.set(ylim=(-0.7, len(rows) - 0.3), xlabel="change under attack (% of the output)")
        axes.grid(True, axis="x")
        axes.set_axisbelow(True)

    return drawing(name, WIDE, 0.9 + 0.28 * len(names), draw)


SPEC = ViewSpec("activations", "Activations, clean and attacked", compute, section)
