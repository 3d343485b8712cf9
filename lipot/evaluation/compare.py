"""Several models in one report."""

import dataclasses
import itertools

import keras

from lipot import checks
from lipot.batches import is_dataset
from lipot.evaluation.evaluate import evaluate
from lipot.evaluation.record.report import RobustnessReport
from lipot.evaluation.run.storage import held


def compare(models, x=None, y=None, norm=None, eps=None, attacks="standard", **settings):
    """Puts several models side by side, evaluated now or before.

    Args:
        models: List of reports of `lipot.evaluate`, or a list of models, or a dictionary from
            name to model.
        x: Points as in `lipot.evaluate`, for models.
        y: Labels, for models; `None` for a data set, which brings its own.
        norm: As in `lipot.evaluate`, for models.
        eps: Radius or list of radii, for models.
        attacks: As in `lipot.evaluate`, for models.
        **settings: More arguments of `lipot.evaluate`, for models. With `resume`, each model has
            a folder of its own inside that one.

    Returns:
        A `RobustnessReport` with an evaluation for each model. Names that come more than once in
        a norm are numbered.

    Example:

    >>> import keras, lipot, numpy as np
    >>> networks = {
    ...     f"{width} wide": keras.Sequential(
    ...         [keras.Input((4,)), keras.layers.Dense(width), keras.layers.Dense(2)])
    ...     for width in (2, 8)}
    >>> x = np.random.default_rng(0).uniform(size=(6, 4)).astype("float32")
    >>> report = lipot.compare(networks, x, [0, 1] * 3, norm=2, eps=0.1, attacks=["fgsm"],
    ...                        clip_values=(0, 1), sanity=False, views=False, progress=False)
    >>> report.table()["model"].tolist()
    ['2 wide', '8 wide']
    """
    if "name" in settings:
        several = "none: names of models are the keys of a dictionary `models`"
        raise checks.invalid("name", several, settings["name"])
    if not isinstance(models, list | tuple | dict) or not models:
        raise checks.refused("models", "reports, or a list or dictionary of models", repr(models))
    if isinstance(models, dict):
        named = models
    elif all(isinstance(model, RobustnessReport) for model in models):
        return _joined(models)
    else:
        named = dict(zip(_distinct([getattr(m, "name", "") for m in models]), models))
    if not all(isinstance(model, keras.Model) for model in named.values()):
        kinds = ", ".join(type(model).__name__ for model in named.values())
        raise checks.refused(
            "models", "all reports or all models", f"a {type(models).__name__} of {kinds}"
        )
    needed = {"x": x, "y": y, "norm": norm, "eps": eps}
    if is_dataset(x):
        # It brings its own labels.
        del needed["y"]
    missing = [name for name, value in needed.items() if value is None]
    if missing:
        raise checks.refused(
            "models", f"{', '.join(missing)} as well, to evaluate models on", "models alone"
        )
    # Read once: a data set that shuffles has another order in every pass.
    x, y = held(x, y)
    resume = settings.pop("resume", None)
    if resume is not None:
        resume = checks.folder("resume", resume, "the path of a folder, or None")
    return _joined(
        evaluate(
            model,
            x,
            y,
            norm,
            eps,
            attacks,
            name=name,
            resume=resume and resume / f"{place:02d}",
            **settings,
        )
        for place, (name, model) in enumerate(named.items())
    )


def _joined(reports):
    evaluations = [evaluation for report in reports for evaluation in report.evaluations]
    points = {evaluation.settings.get("data") for evaluation in evaluations}
    if len(points) > 1:
        names = ", ".join(f"'{evaluation.name}'" for evaluation in evaluations)
        raise checks.refused(
            "models", "reports on the same points", f"{len(points)} different sets, for {names}"
        )
    # The same model may be there in both norms, whose rows are apart.
    names = _distinct([e.name for e in evaluations], [e.norm for e in evaluations])
    return RobustnessReport(
        dataclasses.replace(evaluation, name=name) for evaluation, name in zip(evaluations, names)
    )


def _distinct(names, norms=()):
    """Numbers the names that come more than once in a norm, past those that end so already."""
    pairs = list(itertools.zip_longest(names, norms))
    taken, found = set(pairs), []
    for name, norm in pairs:
        if pairs.count((name, norm)) > 1:
            numbered = (f"{name} ({number})" for number in itertools.count(1))
            name = next(text for text in numbered if (text, norm) not in taken)
            taken.add((name, norm))
        found.append(name)
    return found
