"""The parts of the page that show one model: what is drawn, and the words around it."""

from typing import NamedTuple

import numpy as np

from lipot.evaluation.page import figures, images, views
from lipot.evaluation.page.prose import headline_eps, percent
from lipot.evaluation.page.svg import SERIES

_MOST_CLASSES = 20


class Drawing(NamedTuple):
    """A figure: its `<svg>`, what it shows in words, and a caption."""

    svg: str
    alt: str
    caption: str = ""


class Section(NamedTuple):
    """A heading with words and figures under it.

    Attributes:
        name: Id of the section, without that of the model.
        title: Heading.
        text: What the figures show.
        drawings: `Drawing`s.
        key: Pairs of a CSS colour and what it stands for.
        examples: Rows of the gallery.
        absent: Why there is nothing to show; empty where there is.
        panels: Whether the drawings are small and stand side by side.
    """

    name: str
    title: str
    text: str
    drawings: tuple = ()
    key: tuple = ()
    examples: tuple = ()
    absent: str = ""
    panels: bool = False


class Cell(NamedTuple):
    """An image of the gallery: its address, what it is in words, and a caption."""

    address: str
    alt: str
    caption: str


def sections(evaluation, prefix):
    """Returns the `Section`s of one evaluation.

    Args:
        evaluation: `lipot.evaluation.Evaluation`.
        prefix: Start of every id, different for every model of a page.
    """
    found = [_per_class(evaluation, prefix)]
    for name, title, make in _VIEWS:
        view = evaluation.views.get(name)
        if view is None:
            found.append(Section(name, title, "", absent="It was not asked for."))
        elif isinstance(view, views.Absent):
            found.append(Section(name, title, "", absent=view.reason))
        else:
            found.append(make(view, title, f"{prefix}-{name}"))
    return found


def _per_class(evaluation, prefix):
    eps = headline_eps(evaluation)
    shown = views.per_class(evaluation, eps)
    title, text = f"Class by class, at {eps:g}", "Bars: what stands under every attack. "
    if shown.certified is not None:
        text += "Narrow bars: what is proven to stand. "
    text += "Strokes: what is right without an attack."
    if len(shown.classes) > _MOST_CLASSES:
        shown = _weakest(shown)
        text += f" Only the {_MOST_CLASSES} classes that fare worst are shown."
    rows = [
        f"class {label}: {percent(clean)} clean, {percent(attacked)} under attack"
        for label, clean, attacked in zip(shown.classes, shown.clean, shown.attacked)
    ]
    svg = figures.classes(f"{prefix}-classes", shown)
    return Section("classes", title, text, (Drawing(svg, f"{'; '.join(rows)}."),))


def _weakest(shown):
    rows = np.sort(np.argsort(shown.attacked, kind="stable")[:_MOST_CLASSES])
    return views.PerClass(
        classes=shown.classes[rows],
        points=shown.points[rows],
        clean=shown.clean[rows],
        attacked=shown.attacked[rows],
        certified=None if shown.certified is None else shown.certified[rows],
        eps=shown.eps,
    )


def _gallery(view, title, prefix):
    text = (
        "Each row: an image, what the attack adds to it (magnified), the two together, and the "
        "counterfactual with its l2 distance: how much must change before the network means "
        "another class. "
        f"{view.counterfactual_is}"
    )
    if view.clean.shape[-1] == 1:
        text += " In the change, blue is more and red is less."
    return Section("gallery", title, text, examples=tuple(_examples(view)))


def _examples(view):
    changes = view.adversarial - view.clean
    reach = float(np.abs(changes).max())
    for row, label in enumerate(view.labels):
        seen, attacked, other = (
            int(numbers[row])
            for numbers in (view.seen_clean, view.seen_adversarial, view.seen_counterfactual)
        )
        far = f"{view.distances[row]:.2f}"
        yield (
            Cell(
                images.picture(view.clean[row], view.low, view.high),
                f"Image of class {label}, seen as {seen}",
                f"{label}, seen as {seen}",
            ),
            Cell(
                images.change(changes[row], reach),
                "What the attack changes in it",
                "change",
            ),
            Cell(
                images.picture(view.adversarial[row], view.low, view.high),
                f"The image under attack, seen as {attacked}",
                f"seen as {attacked}",
            ),
            Cell(
                images.picture(view.counterfactual[row], view.low, view.high),
                f"The counterfactual, l2 distance {far}, seen as {other}",
                f"seen as {other}, at {far}",
            ),
        )


def _cross_sections(view, title, prefix):
    drawings = []
    for index, label in enumerate(view.labels):
        free = view.free[index]
        distance = f"another at {free:.2g}" if np.isfinite(free) else "no other in sight"
        alt = (
            f"Decision regions around a point of class {label}: {distance} on this plane, attack "
            f"radius {view.eps:g}."
        )
        svg = figures.cross_section(f"{prefix}-{index}", view, index)
        drawings.append(Drawing(svg, alt, f"class {label}, {distance}"))
    text = (
        "The class the network sees on planes through test points (the cross). To the right goes "
        "the direction in which its class loses ground fastest, upwards a random one at right "
        f"angles. Full line: what an attack of {view.eps:g} can reach. Dotted circle: how far the "
        "region of the class reaches on this plane in l2. Points may leave the range of the data."
    )
    numbers = np.unique(view.classes)
    key = tuple((_css(figures.pale(number)), f"class {number}") for number in numbers)
    return Section("cross-sections", title, text, tuple(drawings), key, panels=True)


def _singular_values(view, title, prefix):
    text = (
        "The factors by which each kernel stretches what it reads; of a convolution, on one "
        "patch. Dotted: 1, where lengths are kept."
    )
    if len(view.layers) > figures.MOST_ROWS:
        text += f" The first {figures.MOST_ROWS} layers."
    ranges = [
        f"{layer} from {values.min():.3g} to {values.max():.3g}"
        for layer, values in zip(view.layers, view.values)
    ]
    svg = figures.singular_values(prefix, view)
    return Section("singular-values", title, text, (Drawing(svg, f"{'; '.join(ranges)}."),))


def _activations(view, title, prefix):
    text = (
        f"How strongly the features that layer '{view.layer}' reads respond, channel by channel; "
        "and how much the attack changes what each layer gives. In a robust network the two "
        "curves lie close together, and the change does not grow from layer to layer."
    )
    clean, attacked = float(view.clean.mean()), float(view.adversarial.mean())
    alt = f"Mean magnitude {clean:.3g} on clean inputs and {attacked:.3g} under attack."
    drawings = [Drawing(figures.channels(f"{prefix}-channels", view), alt)]
    if view.layers:
        alt = "; ".join(f"{layer}: {percent(c)}" for layer, c in zip(view.layers, view.change))
        drawings.append(Drawing(figures.layer_changes(f"{prefix}-layers", view), f"{alt}."))
    key = (("var(--series-0)", "clean inputs"), ("var(--series-1)", "under attack"))
    return Section("activations", title, text, tuple(drawings), key)


def _embedding(view, title, prefix):
    both = np.concatenate([view.clean, view.adversarial])
    margin = 0.04 * np.ptp(both, axis=0) + 1e-6
    limits = list(zip(both.min(axis=0) - margin, both.max(axis=0) + margin))
    drawings = []
    for name, points, right in (
        ("clean", view.clean, view.right),
        ("under attack", view.adversarial, view.right_adversarial),
    ):
        svg = figures.embedding(f"{prefix}-{name[:5]}", points, view.labels, right, limits)
        caption = f"{name}: {percent(right.mean())} right"
        drawings.append(Drawing(svg, f"Features of the points {caption}.", caption))
    text = (
        f"The features before the last layer, in a plane ({view.method}), the same for clean and "
        "attacked points. Colours are classes; a cross is a point the network gets wrong."
    )
    numbers = np.unique(view.labels)
    key = tuple((f"var(--series-{n % len(SERIES)})", f"class {n}") for n in numbers)
    return Section("embedding", title, text, tuple(drawings), key, panels=True)


def _css(color):
    return f"rgb({', '.join(str(round(255 * part)) for part in color)})"


_VIEWS = (
    ("gallery", "What the attack does, and what it would take", _gallery),
    ("cross_sections", "Decision regions around some points", _cross_sections),
    ("singular_values", "Singular values of the layers", _singular_values),
    ("activations", "Activations, clean and attacked", _activations),
    ("embedding", "The points as the last layer sees them", _embedding),
)
