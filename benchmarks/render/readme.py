"""Writes the table of measured results into README.md, from the JSON in `benchmarks/results/`.

Run it as `python -m benchmarks.render.readme` whenever a result has changed.
"""

import math

from benchmarks.common import (
    DEEL_LIP,
    ROOT,
    between_marks,
    markdown_table,
    percent,
    read_result,
)
from benchmarks.render import figures as read_in

README = ROOT / "README.md"


def main():
    """Brings README.md up to date."""
    README.write_text(rendered())


def rendered():
    """Returns the text of README.md with the table that the results give."""
    return between_marks(README.read_text(), _table())


def _table():
    rows = [row for name, read in _ROWS for row in _rows(name, read)]
    if not rows:
        return "Run the scripts under `benchmarks/`, then `python -m benchmarks.render.readme`."
    return markdown_table(["measured", "here", "to compare", "how"], rows)


def _rows(name, read):
    record = read_result(name)
    if record is None:
        return []
    trained_on = record["settings"].get("trained_on")
    machine = f"{trained_on or str(record['environment']['cores']) + ' cores'}, {record['date']}"
    source = f"[{name}](benchmarks/results/{name}.json), {machine}"
    return [[*row, source] for row in read(record)]


def _mnist(record):
    found, published = record["figures"]["summary"], record["figures"]["published for BCP"]
    setting = f"MNIST, hinge-KR, {_spent(record)}"
    yield f"{setting}: accuracy", _spread(found["clean"]), f"BCP {percent(published['clean'])}"
    yield (
        f"{setting}: proven at l2 radius 1.58",
        _spread(found["1.58"]),
        f"BCP {percent(published['1.58'])}",
    )


def _spent(record):
    """What the training of one of several seeds took."""
    spent = [run["processor_minutes"] for run in record["figures"]["runs"].values()]
    return f"{sum(spent) / len(spent):.0f} processor minutes, {len(spent)} seeds"


def _certified_mnist(record):
    found, published = record["figures"]["summary"], record["figures"]["gloro, its paper"]
    setting = f"MNIST, EMMA and ManifoldAdam, {_spent(record)}"
    yield f"{setting}: accuracy", _spread(found["clean"]), _gloro_here(lambda row: row["clean"])
    for radius, share in published.items():
        here = _gloro_here(lambda row, radius=radius: row["certified"][radius])
        theirs = f"gloro, its paper {_rounded(share)}"
        both = ", ".join(filter(None, [theirs, here]))
        yield f"{setting}: proven at l2 radius {radius}", _spread(found[radius]), both


def _gloro_here(read):
    """A share of gloro's network that was trained on the same machine, or nothing."""
    record = read_result("gloro_mnist")
    if record is None:
        return ""
    minutes = record["figures"]["processor_minutes"]
    epochs = record["settings"]["epochs"]
    share = _rounded(read(record["figures"]))
    return f"gloro, {epochs} epochs in {minutes:.0f} processor minutes here {share}"


def _spread(row):
    return f"{percent(row['mean'])} ({100 * row['least']:.2f} to {100 * row['most']:.2f})"


def _rounded(share):
    return f"{100 * share:.1f} %"


def _certified_cifar10(record):
    figures, minutes = record["figures"], record["settings"]["minutes"]
    rows = {name: next(iter(runs.values())) for name, runs in figures.items()}
    proven = {name: row["certified"]["36/255"] for name, row in rows.items()}
    best = max((name for name in rows if name.startswith("lipot")), key=proven.get)
    setting = f"CIFAR-10 (JPEG), {_NETWORKS[best]}, {minutes:g} minutes by the clock, one seed"
    for what, shares, paper in (
        ("accuracy", {name: row["clean"] for name, row in rows.items()}, 77.0),
        ("proven at l2 radius 36/255", proven, 60.0),
    ):
        theirs = f"gloro, its paper {paper:.1f} %"
        if _DEEL in shares:
            theirs += (
                ", deel-lip's layers in a smaller network with its own loss, in the same time, "
                f"{_rounded(shares[_DEEL])}"
            )
        yield f"{setting}: {what}", _rounded(shares[best]), theirs


_DEEL = "deel-lip 1.5.0"
_NETWORKS = {
    "lipot, the same layers": "convolutions and pooling",
    "lipot, orthogonal": "orthogonal convolutions",
    "lipot, LipNeXt": "LipNeXt",
}


def _pyramid(record):
    figures, minutes = record["figures"], record["settings"]["minutes"]
    setting = f"CIFAR-10 (JPEG), orthogonal convolutions, {minutes:g} minutes on one GPU, one seed"
    proven = figures["certified"]["36/255"]
    yield f"{setting}: accuracy", _rounded(figures["clean"]), ""
    theirs = "LiResNet with generated data, its README 78.1 %"
    yield f"{setting}: proven at l2 radius 36/255", _rounded(proven), theirs


def _linf(record):
    found = read_in.certified(record["figures"])
    theirs, minutes = (
        record["settings"]["published for l-inf-dist net"],
        record["figures"]["minutes"],
    )
    setting = f"MNIST, l-infinity distances, {minutes:.0f} minutes by the clock, one seed"
    yield f"{setting}: accuracy", percent(found.clean), f"its authors {percent(theirs['clean'])}"
    yield (
        f"{setting}: proven at l-infinity radius 0.3",
        percent(found.proven["0.3"]),
        f"its authors {percent(theirs['certified at 0.3'])}",
    )


def _training_step(record):
    ours, theirs = (
        read_in.step_ratios(record["figures"], "retraction"),
        _deel_lip(record["figures"]),
    )
    for (what, ratio), network in zip(ours.items(), ("mlp", "cnn")):
        yield (
            f"Processor time of a training step of a {what}, relative to stock layers",
            f"{ratio:.1f}x",
            f"deel-lip {theirs[network]:.1f}x",
        )


def _wide_step(record):
    for network, width in (("mlp", 256), ("mlp1024", 1024), ("mlp2048", 2048)):
        rows = record["figures"][network]
        yield (
            f"The same with `ManifoldAdam`, dense network of width {width}",
            f"{rows['manifold_adam']['train_cpu_ratio']:.1f}x",
            f"with Adam {rows['retraction']['train_cpu_ratio']:.1f}x",
        )


def _deel_lip(figures):
    """deel-lip's ratios: those of the same run if it was there, else those measured apart."""
    found = figures.get(DEEL_LIP)
    if found:
        return {network: row["train_cpu_ratio"] for network, row in found.items()}
    return figures["deel-lip 1.5.0, measured apart"]


def _attacks(record):
    for attack, found in record["figures"]["plain"].items():
        if attack == "clean_accuracy":
            continue
        seconds = found["seconds"]
        yield (
            f"{attack.replace(', ', ' with ')} on {record['settings']['points']} MNIST images",
            f"{seconds['lipot']:.1f} s",
            f"ART's own estimator {seconds['art']:.1f} s",
        )


def _evaluation(record):
    seconds, robust = record["figures"]["seconds"], record["figures"]["robust_accuracy"]
    settings = record["settings"]
    simba, points = settings["attacks"]["simba"]["steps"], settings["points"]
    yield (
        f"The standard suite of {record['date']} (SimBA with {simba} steps) on {points} "
        f"MNIST images, l2 {settings['eps']:g}",
        f"each point until it falls {seconds['lipot']:.0f} s, {_rounded(robust['lipot'])} stand",
        f"every attack on every point, ART's own estimator and AutoAttack {seconds['art']:.0f} s, "
        f"{_rounded(robust['art'])} stand",
    )


def _orthogonality(record):
    for network in ("SpectralDense", "OrthogonalConv2D, circular"):
        rows = read_in.layers_of(record["figures"], network)
        off = max(abs(row[end] - 1.0) for row in rows for end in ("largest", "smallest"))
        yield (
            f"{network}, {record['settings']['steps']} training steps: distance of the "
            "singular values from 1",
            f"at most {_rounded_up(off)}",
            "",
        )


def _rounded_up(number):
    """Two digits of a small number, never below it."""
    power = 10.0 ** (math.floor(math.log10(number)) - 1)
    return f"{math.ceil(number / power) * power:.1e}"


_ROWS = (
    ("certified_mnist", _certified_mnist),
    ("certified_cifar10", _certified_cifar10),
    ("pyramid_cifar10", _pyramid),
    ("linf_mnist", _linf),
    ("hkr_mnist", _mnist),
    ("training_step", _training_step),
    ("training_step_wide", _wide_step),
    ("orthogonality", _orthogonality),
    ("art_attacks", _attacks),
    ("evaluate_mnist", _evaluation),
)

if __name__ == "__main__":
    main()
