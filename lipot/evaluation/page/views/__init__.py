"""The registry of the views: what stands beside the numbers, as arrays and words and as shown."""

import importlib

from lipot.evaluation.page.section import Section
from lipot.evaluation.page.views.subject import make_subject
from lipot.evaluation.record.view import Absent, DoesNotApply

# A file of this folder each, in the order of the page.
_FILES = (
    "gallery",
    "cross_sections",
    "singular_values",
    "activations",
    "embedding",
)

VIEWS = {
    spec.name: spec
    for spec in (
        importlib.import_module(f"lipot.evaluation.page.views.{file}").SPEC for file in _FILES
    )
}


def compute(task, x_adv, *, eps=None, attacks=None, seed=0):
    """Makes every view of a model on some points.

    Args:
        task: `lipot.evaluation.run.task.Task`: the model, its points, and what may change them.
        x_adv: What an attack made of the points, shaped like them.
        eps: Radius of the attack; by default the middle one of the task's.
        attacks: Name of the attack that broke each point, empty where none did, `(n,)`.
        seed: Seed of the random directions and of t-SNE.

    Returns:
        Dict from the name of each view to its `View`; where a view does not apply to the model,
        an `Absent` that says why.

    Example:

    >>> import keras, numpy as np
    >>> from lipot.evaluation.run.task import make_task
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(2)])
    >>> x = np.random.default_rng(0).uniform(size=(8, 4)).astype("float32")
    >>> task = make_task(model, x, [0, 1] * 4, norm=2, eps=0.2, clip_values=(0, 1))
    >>> found = compute(task, x + 0.1)
    >>> len(found["singular_values"].layers), found["gallery"].reason[:20]
    (2, 'There is no gallery:')
    """
    eps = task.middle_eps if eps is None else eps
    subject = make_subject(task, x_adv, eps=eps, attacks=attacks, seed=seed)
    return {name: _made(spec, subject) for name, spec in VIEWS.items()}


def sections(evaluation, prefix):
    """Returns the `Section` of every view of one evaluation.

    Args:
        evaluation: `lipot.evaluation.Evaluation`.
        prefix: Start of every id, different for every model of a page.
    """
    return [
        _section(spec, evaluation.views.get(name), prefix)._replace(
            name=_dashed(name), title=spec.title
        )
        for name, spec in VIEWS.items()
    ]


def _section(spec, view, prefix):
    if view is None:
        return Section(absent="It was not asked for.")
    if isinstance(view, Absent):
        return Section(absent=view.reason)
    return spec.section(view, f"{prefix}-{_dashed(spec.name)}")


def _dashed(name):
    return name.replace("_", "-")


def _made(spec, subject):
    try:
        return spec.compute(subject)
    except DoesNotApply as error:
        return Absent(str(error))
    except Exception as error:
        # Hours of attacks must not be lost to a picture of a model nobody foresaw.
        return Absent(f"It could not be made: {type(error).__name__}: {error}")
