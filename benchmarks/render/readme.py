"""Writes the measured results into README.md and docs/results.md, from `benchmarks/results/`.

Run it as `python -m benchmarks.render.readme` whenever a result has changed.
"""

import math

from benchmarks.common import (
    DEEL_LIP,
    DOCS,
    ROOT,
    between_marks,
    cores,
    from_to,
    markdown_table,
    percent,
    read_result,
)
from benchmarks.render import figures as read_in
from lipot.math.proportions import in_percent

README = ROOT / "README.md"
# What the README has no room for.
MORE = DOCS / "results.md"


def main():
    """Brings README.md and docs/results.md up to date."""
    README.write_text(rendered())
    MORE.write_text(rendered_more())


def rendered():
    """Returns the text of README.md with the table that the results give."""
    return between_marks(README.read_text(), _table(_ROWS, "[{0}](benchmarks/results/{0}.json)"))


def rendered_more():
    """Returns the text of docs/results.md with the table that the other results give."""
    return between_marks(MORE.read_text(), _table(_MORE, "`benchmarks/results/{0}.json`"))


def _table(parts, link):
    rows = [row for name, read in parts for row in _rows(name, read, link)]
    if not rows:
        return "Run the scripts under `benchmarks/`, then `python -m benchmarks.render.readme`."
    return markdown_table(["measured", "here", "to compare", "how"], rows)


def _rows(name, read, link):
    record = read_result(name)
    if record is None:
        return []
    trained_on = record["settings"].get("trained_on")
    machine = f"{trained_on or cores(record)}, {record['date']}"
    source = f"{link.format(name)}, {machine}"
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
    return f"{from_to(spent)} processor minutes, {len(spent)} seeds"


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
    return f"gloro here {_rounded(read(record['figures']))}"


def _spread(row):
    least, most = in_percent(row["least"]), in_percent(row["most"])
    return f"{percent(row['mean'])} ({least} to {most})"


def _rounded(share):
    return f"{in_percent(share, 1)} %"


def _certified_cifar10(record):
    figures, minutes = record["figures"], record["settings"]["minutes"]
    rows = {name: next(iter(runs.values())) for name, runs in figures.items()}
    proven = {name: row["certified"]["36/255"] for name, row in rows.items()}
    clean = {name: row["clean"] for name, row in rows.items()}
    yield from _equal_weights(rows, clean, proven, minutes)
    best = max((name for name in rows if name.startswith("lipot")), key=proven.get)
    setting = f"CIFAR-10 (JPEG), {_NETWORKS[best]}, {minutes:g} minutes by the clock, one seed"
    yield f"{setting}: accuracy", percent(clean[best]), "gloro, its paper 77.0 %"
    yield (
        f"{setting}: proven at l2 radius 36/255",
        percent(proven[best]),
        "gloro, its paper 60.0 %",
    )


def _equal_weights(rows, clean, proven, minutes):
    """The network of deel-lip's layers beside the same one of lipot's."""
    ours, theirs = rows.get(_SAME), rows.get(_DEEL)
    if not (ours and theirs and ours["weights"] == theirs["weights"]):
        return
    setting = (
        f"CIFAR-10 (JPEG), layers of deel-lip's names, {ours['weights']:,} weights, "
        f"{minutes:g} minutes by the clock ({ours['processor_minutes']:.0f} of the processor), "
        "one seed"
    )
    other = f"deel-lip ({theirs['processor_minutes']:.0f} of the processor)"
    for what, shares in (("accuracy", clean), ("proven at l2 radius 36/255", proven)):
        yield f"{setting}: {what}", percent(shares[_SAME]), f"{other} {percent(shares[_DEEL])}"


_DEEL, _SAME = "deel-lip 1.5.0", "lipot, the same layers"
_NETWORKS = {
    _SAME: "convolutions and pooling",
    "lipot, orthogonal": "orthogonal convolutions",
    "lipot, LipNeXt": "LipNeXt",
}


def _pyramid(record):
    figures, minutes = record["figures"], record["settings"]["minutes"]
    setting = (
        f"CIFAR-10 (JPEG), orthogonal convolutions, {minutes:g} minutes on one GPU, half of them "
        "[lost to a wrong setting](docs/cifar10.md#minutes-on-a-gpu), one seed"
    )
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
    batch = record["settings"]["batch_size"]
    networks = {"mlp": "dense network 784-256-256-256-10", "cnn": "small CNN"}
    for ratio, (network, name) in zip(ours.values(), networks.items()):
        yield (
            f"Processor time of a training step of a {name}, batch {batch}, relative to stock "
            "layers",
            f"{ratio:.1f}x",
            f"deel-lip {theirs[network]:.1f}x",
        )


def _wide_step(record):
    batch = record["settings"]["batch_size"]
    for network, width in (("mlp", 256), ("mlp1024", 1024), ("mlp2048", 2048)):
        rows = record["figures"][network]
        yield (
            "Processor time of a training step with `ManifoldAdam`, dense network of width "
            f"{width}, batch {batch}, relative to stock layers",
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
    settings = record["settings"]
    for attack, found in record["figures"]["plain"].items():
        if attack == "clean_accuracy":
            continue
        seconds, left = found["seconds"], found["robust_accuracy"]
        yield (
            f"{attack.replace(', ', ' with ')}, {_STEPS[attack.partition(',')[0]]} steps, l2 "
            f"{settings['eps']:g}, on {settings['points']} MNIST images and a plain CNN",
            f"{seconds['lipot']:.1f} s, {_rounded(left['lipot'])} stand",
            f"ART's own estimator {seconds['art']:.1f} s, {_rounded(left['art'])} stand",
        )


# As `benchmarks.measure.attacks.art_attacks` asks for; of AutoPGD the default of ART.
_STEPS = {"PGD": 40, "AutoPGD": 100, "DeepFool": 20, "CW": "4 times 10"}


def _evaluation(record):
    seconds, robust = record["figures"]["seconds"], record["figures"]["robust_accuracy"]
    processor, settings = record["figures"]["processor_seconds"], record["settings"]
    yield (
        f"Time of the standard suite of attacks on {settings['points']} MNIST images, "
        f"l2 {settings['eps']:g}. `lipot.evaluate` takes a point out once it is broken",
        f"{seconds['lipot']:.0f} s ({processor['lipot']:.0f} s of the processor), "
        f"{_rounded(robust['lipot'])} stand",
        f"ART's attacks, each on every point, {seconds['art']:.0f} s ({processor['art']:.0f} s), "
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
    ("hkr_mnist", _mnist),
    ("linf_mnist", _linf),
    ("certified_cifar10", _certified_cifar10),
    ("pyramid_cifar10", _pyramid),
    ("training_step", _training_step),
    ("evaluate_mnist", _evaluation),
)
_MORE = (
    ("training_step_wide", _wide_step),
    ("orthogonality", _orthogonality),
    ("art_attacks", _attacks),
)

if __name__ == "__main__":
    main()
