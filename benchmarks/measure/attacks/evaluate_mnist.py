"""Times `lipot.evaluate` against the same attacks called one by one on ART's own estimator.

    python -m benchmarks.measure.attacks.evaluate_mnist [--points 1000] [--eps 1.58] [--data mnist]

Both sides attack the same model, a plain CNN, on the same points in l2, with the settings of the
standard suite. ART's side is what one writes without lipot: a `TensorFlowV2Classifier`, every
attack on every point that is classified rightly, with `batch_size` set where ART's default is 1,
and the worst case over the attacks at the end. Its AutoAttack is ART's, with as many steps,
queries and restarts as lipot's; lipot's adds targets and FAB, and its `pgd` a second ascent. The
imports are counted on neither side, compilation is on both. Time by the clock is stored for each
attack; processor time, of both cores, for each side as a whole.
"""

import argparse
import time

import keras
import numpy as np
from art.attacks import evasion
from art.attacks.evasion.projected_gradient_descent.projected_gradient_descent_numpy import (
    ProjectedGradientDescentNumpy,
)

import lipot
from benchmarks.common import write_result
from benchmarks.measure.attacks.art_attacks import arts_estimator, load_data, networks, train
from lipot.evaluation import ATTACKS, SUITES, WRONG
from lipot.evaluation.attacks import pgd
from lipot.evaluation.run.engine import seeded

BATCH = 256


def art_attack(name, model, eps, settings):
    """One attack of the suite as ART has it, in l2."""
    if name == "simba":
        # ART's asks for probabilities.
        model = keras.Sequential([model, keras.layers.Softmax()])
        model.build((None, *model.input_shape[1:]))
    target = arts_estimator(model)
    if name in _OF_ART:
        return _OF_ART[name](target, eps, **settings)
    attack = ATTACKS[name].build(target, 2, eps, **settings)
    attack.set_params(batch_size=BATCH)
    return attack


def _pgd(target, eps, *, steps, losses):
    # lipot's goes on with the margin, a loss that ART's estimator has not.
    attack = pgd.ascent(target, 2, eps, steps)
    attack.set_params(batch_size=BATCH)
    return attack


def _square(target, eps, *, queries):
    return evasion.SquareAttack(
        target, norm=2, eps=eps, max_iter=queries, batch_size=BATCH, verbose=False
    )


def _mim(target, eps, *, steps):
    # ART's TensorFlow version of projected gradient has no momentum.
    return ProjectedGradientDescentNumpy(
        target,
        norm=2,
        eps=eps,
        eps_step=2.5 * eps / steps,
        decay=1.0,
        max_iter=steps,
        batch_size=BATCH,
        verbose=False,
    )


def _simba(target, eps, *, steps, step_size):
    return evasion.SimBA(target, attack="px", max_iter=steps, epsilon=step_size, verbose=False)


def _hop_skip_jump(target, eps, *, steps, queries):
    return evasion.HopSkipJump(
        target,
        norm=2,
        max_iter=steps,
        max_eval=queries,
        init_eval=min(100, queries),
        batch_size=BATCH,
        verbose=False,
    )


def _auto_attack(target, eps, *, steps, queries):
    gradient_attacks = [
        evasion.AutoProjectedGradientDescent(
            target,
            norm=2,
            eps=eps,
            eps_step=2.0 * eps,
            max_iter=steps,
            nb_random_init=1,
            batch_size=BATCH,
            loss_type=loss,
            verbose=False,
        )
        for loss in ("cross_entropy", "difference_logits_ratio")
    ]
    others = [
        evasion.DeepFool(target, max_iter=steps, epsilon=1e-3, batch_size=BATCH, verbose=False),
        evasion.SquareAttack(
            target, norm=2, eps=eps, max_iter=queries, batch_size=BATCH, verbose=False
        ),
    ]
    return evasion.AutoAttack(
        target,
        norm=2,
        eps=eps,
        eps_step=2.0 * eps,
        attacks=gradient_attacks + others,
        batch_size=BATCH,
    )


_OF_ART = {
    "autoattack": _auto_attack,
    "hopskipjump": _hop_skip_jump,
    "mim": _mim,
    "pgd": _pgd,
    "simba": _simba,
    "square": _square,
}


def one_by_one(model, x, y, eps, seed, attacks):
    """Runs each attack on every point.

    Yields:
        The seconds by attack, what stands by then and the processor time so far.
    """
    standing = model.predict(x, verbose=0).argmax(axis=1) == y
    right, labels, seconds = standing.copy(), np.eye(model.output_shape[-1])[y], {}
    processor = time.process_time()
    for name in attacks:
        started = time.perf_counter()
        with seeded(seed):
            attack = art_attack(name, model, eps, ATTACKS[name].settings)
            adversarial = attack.generate(x[right], labels[right])
        predicted = model.predict(adversarial, verbose=0).argmax(axis=1)
        distance = np.linalg.norm((adversarial - x[right]).reshape(len(adversarial), -1), axis=1)
        broken = (predicted != y[right]) & (distance <= eps * (1 + 1e-4))
        standing[np.flatnonzero(right)[broken]] = False
        seconds[name] = round(time.perf_counter() - started, 2)
        print(f"  ART    {name:12} {seconds[name]:8.1f} s, {broken.sum()} broken", flush=True)
        yield dict(seconds), float(standing.mean()), time.process_time() - processor


def evaluated(model, x, y, eps, seed, attacks):
    """The same by `lipot.evaluate`: its evaluation."""
    report = lipot.evaluate(
        model, x, y, 2, eps, list(attacks), seed=seed, batch_size=BATCH, sanity=False, views=False
    )
    (evaluation,) = report.evaluations
    for name, value in evaluation.seconds.items():
        broken = evaluation.broken(name, eps)
        print(f"  lipot  {name:12} {value:8.1f} s, {broken} more broken", flush=True)
    return evaluation


def compared(evaluation, overhead, theirs, robust_art, eps):
    """The figures over the attacks that both sides have finished.

    lipot's side took `overhead` seconds outside its attacks, all of which are counted.
    """
    ours = {name: round(evaluation.seconds[name], 2) for name in theirs}
    total, total_art = overhead + sum(ours.values()), sum(theirs.values())
    done = [evaluation.attacks.index(name) for name in theirs]
    broken_by = np.asarray(evaluation.broken_by[eps])
    fallen = (broken_by == WRONG) | np.isin(broken_by, done)
    return {
        "seconds": {"art": round(total_art, 2), "lipot": round(total, 2)},
        "speedup": round(total_art / total, 2),
        "robust_accuracy": {"art": robust_art, "lipot": float(np.mean(~fallen))},
        "seconds_by_attack": {"art": theirs, "lipot": ours},
    }


def main():
    options = parsed()
    data = load_data(options.data)
    x, y = data.x_test[: options.points], data.y_test[: options.points]
    keras.utils.set_random_seed(options.seed)
    model = networks(data.x_train.shape[1:])["plain"]
    train(model, data)
    asked = (model, x, y, options.eps, options.seed, options.attacks)
    started, processor = time.perf_counter(), time.process_time()
    evaluation = evaluated(*asked)
    overhead = time.perf_counter() - started - sum(evaluation.seconds.values())
    processor = time.process_time() - processor
    for theirs, robust_art, processor_art in one_by_one(*asked):
        figures = compared(evaluation, overhead, theirs, robust_art, options.eps)
        if len(theirs) == len(evaluation.attacks):
            spent = {"art": round(processor_art, 2), "lipot": round(processor, 2)}
            figures["processor_seconds"] = spent
        settings = {
            **vars(options),
            "data": data.name,
            "batch_size": BATCH,
            "attacks": {name: ATTACKS[name].settings for name in theirs},
        }
        # ART's side takes hours: what is done is kept.
        path = write_result(options.name, figures, seed=options.seed, settings=settings)
    seconds, robust = figures["seconds"], figures["robust_accuracy"]
    print(
        f"{len(x)} points of {data.name}, l2 {options.eps:g}: ART {seconds['art']:.0f} s, lipot "
        f"{seconds['lipot']:.0f} s, {figures['speedup']:.1f}x; robust {robust['art']:.1%} and "
        f"{robust['lipot']:.1%}"
    )
    print("Written to", path)


def parsed():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="mnist", choices=("mnist", "digits"))
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--eps", type=float, default=1.58, help="l2 radius")
    parser.add_argument("--attacks", nargs="+", default=list(SUITES["standard"]))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--name", default="evaluate_mnist", help="name of the result file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
