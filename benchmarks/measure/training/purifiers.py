"""Trains every purifier on MNIST and attacks it by BPDA, EOT-PGD and AutoAttack.

    LIPOT_DATA_DIR=... python -m benchmarks.measure.training.purifiers \
        [--minutes 15] [--points 500] [--eps 0.1 0.3]

One purifier after the other in front of the same classifier, which knows nothing of attacks. Each
is trained for the minutes given; what is trained and attacked is kept in a folder, and the same
command goes on where it was stopped, inside a purifier too. A row is written after each attack:
`--attacks` names some, and a later command adds the others to it, on as many points. `--small` runs
everything in small on a few points and writes no result.

Three attacks, in l-infinity by default, each on every point that is classified rightly:

- `bpda`: PGD of 40 steps, the purifier taken for the identity on the way back;
- `eot_pgd`: PGD of 40 steps, through the purifier for those that `--exact` names; elsewhere as
  `bpda`, which takes as many draws;
- `auto_attack`: AutoAttack likewise. Of a random purifier its version for random defences, Auto-PGD
  on the cross-entropy and on the logits ratio; of a certain one the whole.

A random purifier is attacked along the mean of `--eot-samples` draws, which also decides.
`--norm l2` attacks in l2 instead, into a result of its own.
"""

import argparse
import json
from pathlib import Path

import keras

import lipot
from benchmarks.common import markdown_table, read_result, write_result
from benchmarks.common.purified import robust, shown
from lipot import attacks, callbacks, purifiers
from lipot.evaluation import AttackSpec
from lipot.evaluation.attacks.pgd import LOSSES
from lipot.models import Purified, carlini_wagner

SHAPE = (28, 28, 1)
RANDOM = ("DefenseGAN", "DiffusionPurifier")
ATTACKS = ("bpda", "eot_pgd", "auto_attack")


def median_filter(classifier, small):
    """Windows of 3x3 pixels; nothing is trained."""
    return purifiers.MedianFilter(3)


def sparse_transform(classifier, small):
    """All 25 atoms of 5x5 pixels, at every second pixel."""
    return purifiers.SparseTransform(size=5, strides=2, iterations=5 if small else 30)


def ape_gan(classifier, small):
    """Trained on FGSM of radius 0.3."""
    filters = 4 if small else 32
    return purifiers.APEGAN(
        purifiers.image_autoencoder(SHAPE, filters),
        purifiers.image_discriminator(SHAPE, filters),
        attacks.FGSM(0.3),
        classifier,
    )


def defense_gan(classifier, small):
    """4 restarts of 50 steps in a small generator: the paper's 10 of 200 would take days."""
    filters = 4 if small else 16
    return purifiers.DefenseGAN(
        purifiers.code_generator(SHAPE, code_size=32, filters=filters),
        purifiers.wasserstein_critic(SHAPE, filters=2 * filters),
        steps=3 if small else 50,
        restarts=2 if small else 4,
        seed=0,
    )


def diffusion_purifier(classifier, small):
    """A fifth of 50 steps to noise, and back."""
    network = purifiers.denoising_unet(SHAPE, filters=8 if small else 16)
    steps, level = (25, 0.08) if small else (50, 0.2)
    return purifiers.DiffusionPurifier(network, steps=steps, level=level, seed=0)


MADE = {
    "MedianFilter": median_filter,
    "SparseTransform": sparse_transform,
    "APEGAN": ape_gan,
    "DefenseGAN": defense_gan,
    "DiffusionPurifier": diffusion_purifier,
}
RATES = {
    "SparseTransform": 1e-3,
    "APEGAN": 1e-3,
    "DefenseGAN": 5e-4,
    "DiffusionPurifier": 2e-3,
}


def optimizer_of(name):
    """The optimizer of a purifier that is trained; a game of two networks has less momentum."""
    return keras.optimizers.Adam(RATES[name], beta_1=0.5 if "GAN" in name else 0.9)


def classifier_of(data, options):
    """The network that all purifiers stand before, trained once."""
    file = options.folder / "classifier.keras"
    if file.exists():
        return keras.saving.load_model(file)
    keras.utils.set_random_seed(options.seed)
    network = carlini_wagner()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
    count = 512 if options.small else len(data.x_train)
    epochs = 1 if options.small else 4
    network.fit(
        data.x_train[:count], data.y_train[:count], batch_size=128, epochs=epochs, verbose=2
    )
    network.save(file)
    return network


def trained(name, classifier, data, options):
    """A trained purifier and the minutes that this took."""
    file = options.folder / f"{name}.keras"
    if file.exists():
        return keras.saving.load_model(file), json.loads(file.with_suffix(".minutes").read_text())
    keras.utils.set_random_seed(options.seed)
    purifier, minutes = MADE[name](classifier, options.small), 0.0
    if name in RATES:
        purifier.compile(optimizer_of(name))
        budget = callbacks.TimeBudget(options.minutes, warmup=0.02)
        kept = callbacks.Backup(options.folder / f"{name}.training", keeps=[budget])
        images = data.x_train[:512] if options.small else data.x_train
        followed = [budget, kept]
        purifier.fit(images, batch_size=128, epochs=10_000, verbose=2, callbacks=followed)
        minutes = budget.spent
    else:
        purifier(data.x_train[:1])
    wrapped = keras.Sequential([keras.Input(SHAPE), purifier]) if name not in RATES else purifier
    wrapped.save(file)
    file.with_suffix(".minutes").write_text(json.dumps(minutes))
    return wrapped, minutes


class _ForRandomDefences:
    """AutoAttack's version for random defences, with the interface of an ART attack."""

    def __init__(self, target, norm, eps, *, steps):
        names = ("apgd-ce", "apgd-dlr")
        how = {"steps": steps, "attacks": names, "outputs": "logits"}
        self._attack, self._victim = attacks.AutoAttack(eps, norm, **how), target.victim()

    def generate(self, x, y):
        """Returns adversarial examples."""
        return self._attack.generate(self._victim, x, y)


def attack_rows(name, options):
    """What is measured: for each row the derivative, and the attack."""
    through = "exact" if name in options.exact else "identity"
    # One ascent: what follows gradients through a purifier takes minutes as it is.
    one = {"steps": options.pgd_steps, "losses": LOSSES[:1]}
    pgd = lipot.evaluation.ATTACKS["pgd"]._replace(settings=one)
    if name in RANDOM:
        settings = {"steps": options.steps}
        auto = AttackSpec("autoattack", _ForRandomDefences, settings, cost=6 * options.steps)
    else:
        settings = {"steps": options.steps, "queries": options.queries}
        auto = lipot.evaluation.ATTACKS["autoattack"]._replace(settings=settings)
    return {
        "bpda": ("identity", pgd),
        "eot_pgd": (through, pgd),
        "auto_attack": (through, auto),
    }


def measured(name, model_of, data, options, figures):
    """Adds the attacks that are missing to a row, one at a time; yields it after each.

    Args:
        name: Name of the purifier.
        model_of: Function from `"identity"` or `"exact"` to the model that is attacked.
        data: The data set.
        options: The command line.
        figures: The row as it is.
    """
    points = figures.setdefault("points", options.points)
    x, y = data.x_test[:points], data.y_test[:points]
    for row, (backward, spec) in attack_rows(name, options).items():
        if row in figures or row not in options.attacks:
            continue
        if row == "eot_pgd" and backward == "identity" and "bpda" in figures:
            figures[row] = figures["bpda"]
            yield figures
            continue
        report = lipot.evaluate(
            model_of(backward),
            x,
            y,
            options.norm,
            options.eps,
            [spec],
            clip_values=(0, 1),
            outputs="logits",
            batch_size=options.batch_size,
            sanity=False,
            views=False,
            resume=options.folder / f"{name}-{row}{_beside(options)}",
            eot_samples=options.eot_samples if name in RANDOM else None,
        )
        (found,) = report.evaluations
        figures["clean"] = found.clean_accuracy
        figures["random"] = found.random
        figures[row] = {
            "robust": {f"{eps:g}": found.robust_accuracy(eps) for eps in found.eps},
            "derivative of the purifier": backward,
            "draws": found.settings["eot samples"],
        }
        print(name, row, figures[row], flush=True)
        yield figures


def arguments():
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--only", nargs="+", choices=["none", *MADE], default=["none", *MADE])
    add("--minutes", type=float, default=15.0, help="of training for each purifier")
    add("--attacks", nargs="+", choices=ATTACKS, default=list(ATTACKS))
    add("--points", type=int, default=500)
    add("--norm", choices=["inf", "l2"], default="inf")
    add("--eps", type=float, nargs="+", default=[0.1, 0.3])
    add("--eot-samples", type=int, default=8)
    add("--pgd-steps", type=int, default=40)
    add("--steps", type=int, default=100, help="of AutoAttack's gradient attacks")
    add("--queries", type=int, default=1000, help="of Square")
    add("--exact", nargs="*", default=["MedianFilter", "SparseTransform", "APEGAN"])
    add("--batch-size", type=int, default=100)
    add("--seed", type=int, default=0)
    add("--folder", type=Path, default=Path("runs/purifiers"))
    add("--small", action="store_true", help="try everything in a minute or two; no result")
    options = parser.parse_args()
    if options.small:
        options.folder = options.folder / "small"
        options.minutes, options.points, options.eps = 0.02, 8, [0.3]
        options.eot_samples, options.pgd_steps, options.steps, options.queries = 2, 2, 2, 5
    return options


def main():
    """Runs what each purifier asked for has not been attacked by, and writes after each attack."""
    options = arguments()
    options.folder.mkdir(parents=True, exist_ok=True)
    data = lipot.datasets.load("mnist")
    classifier = classifier_of(data, options)
    for name in options.only:
        file = file_of(name, options)
        row = json.loads(file.read_text()) if file.exists() else {}
        if row.keys() >= set(options.attacks):
            continue
        purifier, minutes = None, 0.0
        if name != "none":
            purifier, minutes = trained(name, classifier, data, options)
        row.setdefault("training minutes", minutes)

        def model_of(backward, purifier=purifier):
            return classifier if purifier is None else Purified(purifier, classifier, backward)

        for figures in measured(name, model_of, data, options, row):
            file.write_text(json.dumps(figures, indent=1))
            if not options.small:
                keep(name, figures, options)
    print(table(rows_of(options)))


def file_of(name, options):
    """Where the row of a purifier is kept."""
    return options.folder / f"{name}{_beside(options)}.json"


def _beside(options):
    """What names in l2 end in, beside those of l-infinity."""
    return "_l2" if options.norm == "l2" else ""


def rows_of(options):
    """The rows known so far by name, in the order of the purifiers."""
    files = {name: file_of(name, options) for name in ["none", *MADE]}
    return {name: json.loads(f.read_text()) for name, f in files.items() if f.exists()}


def keep(name, row, options):
    """Puts a row beside those of the stored result, which other commands may have made."""
    result = f"purifiers{_beside(options)}"
    stored = read_result(result)
    rows = {**(stored["figures"] if stored else {}), name: row}
    figures = {known: rows[known] for known in ["none", *MADE] if known in rows}
    settings = {key: value for key, value in vars(options).items() if key != "folder"}
    write_result(result, figures, seed=options.seed, settings=settings)


def table(figures):
    """The accuracies as a page shows them."""
    radii = list(dict.fromkeys(eps for row in figures.values() for eps in robust(row, ATTACKS[0])))
    rows = [
        [name, row["points"], shown(row.get("clean"))]
        + [shown(robust(row, attack).get(eps)) for attack in ATTACKS for eps in radii]
        for name, row in figures.items()
    ]
    header = [f"{attack} {eps}" for attack in ATTACKS for eps in radii]
    return markdown_table(["purifier", "points", "clean", *header], rows)


if __name__ == "__main__":
    main()
