"""How robust is a model? One call from a Keras classifier to a report."""

import contextlib
import importlib.metadata

import keras
import numpy as np

from lipot import checks, notices
from lipot.evaluation.attacks import suite
from lipot.evaluation.page import views as page_views
from lipot.evaluation.record.about import about, circumstances
from lipot.evaluation.record.report import RobustnessReport
from lipot.evaluation.record.result import Evaluation
from lipot.evaluation.run import checkpoints, engine, identity, proofs
from lipot.evaluation.run.randomness import drawn_from
from lipot.evaluation.run.task import make_task, recipe, remake
from lipot.evaluation.sanity import checks as sanity_checks
from lipot.evaluation.sanity.gradients import check_gradients
from lipot.files import digest
from lipot.interop.art.estimator import NotFinite
from lipot.progress import Bar, Silence
from lipot.workers import Pool, check_workers

_PACKAGES = ("lipot", "keras", "numpy", "adversarial-robustness-toolbox", "nevergrad")


def evaluate(
    model,
    x,
    y=None,
    norm=None,
    eps=None,
    attacks="standard",
    *,
    name=None,
    clip_values=None,
    outputs="auto",
    batch_size=256,
    seed=0,
    resume=None,
    sanity=True,
    views=True,
    progress=True,
    notes=None,
    workers=None,
    eot_samples=None,
):
    r"""Measures how robust a Keras classifier is, in the worst case over a suite of attacks.

    A point counts as robust at a radius where no attack found a misclassified point inside the
    ball and inside the range of the data:

    $$ \frac{1}{n} \sum_i \min_{a} \mathbf{1}\bigl[\arg\max f(a(x_i)) = y_i\bigr],
       \quad \|a(x_i) - x_i\| \le \epsilon $$

    Each attack gets the points that the ones before it left standing; a point broken at one
    radius is broken at every larger one. The model's own `predict` decides. Proven accuracy
    stands beside the attacked one where `lipot.certify` knows the model.

    Args:
        model: Built Keras classifier with outputs `(n, units)`: logits or probabilities, with
            whatever preprocessing inside.
        x: Points `(n, ...)`, as the model takes them: an array or a memory map, or a
            `tf.data.Dataset`, `keras.utils.PyDataset` or `torch.utils.data.DataLoader` of batches
            `(x, y)`. What is in no memory is read in parts; a data set is copied to a temporary
            file first.
        y: Labels: class numbers, or one-hot rows; `None` for a data set, which brings its own.
        norm: `2` or `"inf"`; `"l2"`, `"linf"` and `np.inf` will do.
        eps: Radius or list of radii, in units of `x`.
        attacks: `"quick"` (PGD and Auto-PGD), `"standard"` (FGSM, MIM, PGD, DeepFool,
            Carlini-Wagner, AutoAttack, Square, SimBA and HopSkipJump), `"exhaustive"` (NGOpt
            too, which needs Nevergrad and patience); the name of one attack, or a list of names
            and `lipot.evaluation.AttackSpec`s.
        name: What the report calls the model; its own name by default.
        clip_values: Pair of the least and greatest value of an input. `None` recognizes images
            in [0, 1], and in [0, 255] where the model's own first layers bring that down, and
            refuses anything else.
        outputs: `"logits"` or `"probabilities"`, what the model returns; `"auto"` finds out.
        batch_size: Points attacked at once, and between two checkpoints.
        seed: Integer from 0 to 2**31, from which all randomness is derived.
        resume: Folder to keep what was found in. Started again with the same arguments, an
            evaluation goes on where it was stopped.
        sanity: Whether to check the evaluation itself for signs of masked gradients, as Carlini
            et al. ask.
        views: Whether to make the pictures of the page.
        progress: Whether to show a progress bar with the time left.
        notes: Dictionary of texts that a leaderboard shows of the model, such as
            `{"training": "12 min on one GPU", "architecture": "ResNet-18"}`.
        workers: Number of processes to attack with, or the address `"ray://host:port"` of a Ray
            cluster (`pip install 'lipot[ray]'`); `None` for this process alone. The result is
            the same: chunks of `batch_size` points are attacked side by side. The model must
            load from a `.keras` file there.
        eot_samples: Draws of a random model whose mean decides, and whose mean logits and
            gradients attacks follow (expectation over randomness). `None` for 16 where the model
            answers differently when asked again, and 1 elsewhere. They take as many times the
            memory: where it does not suffice, a smaller `batch_size` does.

    Returns:
        A `RobustnessReport` of one evaluation.

    Raises:
        ValueError: An argument that does not fit, named in the message with what was expected.
        RuntimeError: An attack broke a certificate, which would be an error of lipot.

    Reference:
        Carlini et al., "On evaluating adversarial robustness", 2019; Croce and Hein, "Reliable
        evaluation of adversarial robustness with an ensemble of diverse parameter-free attacks",
        2020.

    Example:

    >>> import keras, lipot, numpy as np
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    >>> model.layers[0].set_weights([np.array([[1.0, -1.0], [0.0, 0.0]]), np.array([-1.0, 0.0])])
    >>> x = np.array([[0.9, 0.5], [0.1, 0.5]])
    >>> report = lipot.evaluate(model, x, [0, 1], norm=2, eps=[0.2, 0.5], attacks=["pgd"],
    ...                         clip_values=(0, 1), sanity=False, views=False, progress=False)
    >>> report.table()[["eps", "clean", "robust", "certified"]].values.tolist()
    [[0.2, 1.0, 1.0, 1.0], [0.5, 1.0, 0.0, 0.0]]
    """
    seed = checks.seed("seed", seed)
    _check_settings(name, resume, notes, workers)
    for switch, value in (("sanity", sanity), ("views", views), ("progress", progress)):
        checks.boolean(switch, value)
    # Wrong names are told before the model is asked for anything.
    suite.read(attacks)
    chosen = {"norm": norm, "eps": eps, "clip_values": clip_values, "outputs": outputs}
    chosen = {**chosen, "batch_size": batch_size, "eot_samples": eot_samples}
    with _repeatable(seed, model):
        task = make_task(model, x, y, **chosen)
        specs, left_out = suite.resolve(attacks, task.target, task.norm)
        check_gradients(task, specs)
        settings = _settings(task, specs, left_out, seed)
        store = _store(resume, task, specs, settings)
        name = model.name if name is None else name
        pool = _pool(workers, task)
        with Bar(name) if progress else Silence() as bar, pool or contextlib.nullcontext():
            how = {"seed": seed, "store": store, "progress": bar}
            outcome = engine.run(task, specs, pool=pool, **how)
            verdicts = sanity_checks.run(task, outcome, specs, **how) if sanity else ()
        evaluation = Evaluation(
            name=name,
            norm=task.norm,
            eps=task.eps,
            attacks=tuple(outcome.seconds),
            labels=task.y,
            predictions=task.predictions,
            broken_by=dict(zip(task.eps, outcome.broken_by)),
            seconds=outcome.seconds,
            sanity=verdicts,
            settings=settings,
            versions=_versions(),
            about=about(model, notes),
            circumstances=circumstances(task.x.shape, max(task.outputs.units, 2)),
            views=_views(task, outcome, seed) if views else {},
            **_proofs(task, outcome),
        )
    return RobustnessReport([evaluation])


def _check_settings(name, resume, notes, workers):
    checks.instance("name", name, str | None, "a string or None")
    checks.instance("notes", notes, dict | None, "a dictionary of texts, or None")
    if resume is not None:
        checks.folder("resume", resume, "the path of a folder, or None")
    if workers is not None:
        check_workers(workers)


def _repeatable(seed, model):
    # What is no model is refused by name later.
    return drawn_from(seed, model) if isinstance(model, keras.Model) else contextlib.nullcontext()


def _pool(workers, task):
    if workers is None:
        return None
    return Pool(workers, task.model, remake, recipe(task), most=len(task.x))


def _proofs(task, outcome):
    radius, note = proofs.proven_radius(task)
    if radius is not None:
        broken_by = dict(zip(task.eps, outcome.broken_by))
        proofs.check_against(radius, broken_by, task.eps, tuple(outcome.seconds))
    return {"certified_radius": radius, "certificate_note": note}


def _settings(task, specs, left_out, seed):
    return {
        "points": len(task.x),
        "norm": task.norm,
        "eps": list(task.eps),
        "data range": [task.range.low, task.range.high],
        "data range is": task.range.how,
        "outputs": task.outputs.kind,
        "outputs are": task.outputs.how,
        "attacks": {spec.name: identity.recorded(spec.settings) for spec in specs},
        "left out": left_out,
        "random model": task.random,
        "eot samples": task.eot_samples,
        "batch size": task.batch_size,
        "seed": seed,
        "data": digest(task.x, task.y),
        "model": identity.model_digest(task.model),
    }


def _store(resume, task, specs, settings):
    if resume is None:
        return checkpoints.Memory()
    told = {
        **settings,
        # What was found is kept by the place of an attack among the others.
        "attacks": [identity.attack_told(spec) for spec in specs],
        "predictions": digest(task.predictions),
        "versions": _versions(),
    }
    return checkpoints.Folder(resume, told)


def _views(task, outcome, seed):
    names = np.array([*outcome.seconds, ""])
    # Neither "stands" nor "wrong" is an attack's index.
    broken_by = np.maximum(outcome.broken_by[task.middle], -1)
    shown = {"eps": task.middle_eps, "attacks": names[broken_by], "seed": seed}
    try:
        return page_views.compute(task, outcome.x_adv[task.middle], **shown)
    except NotFinite as error:
        notices.warn(f"The report has no pictures. {error}")
        return {}


def _versions():
    packages = [*_PACKAGES, keras.backend.backend()]
    versions = {}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
