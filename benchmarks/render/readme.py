"""Writes the table of measured results into README.md, from the JSON in `benchmarks/results/`.

Run it as `python -m benchmarks.render.readme` whenever a result has changed.
"""

from benchmarks.common import DEEL_LIP, ROOT, between_marks, read_result

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
    header = ["| measured | here | to compare | how |", "|---|---|---|---|"]
    return "\n".join(header + rows)


def _rows(name, read):
    record = read_result(name)
    if record is None:
        return []
    trained_on = record["settings"].get("trained_on")
    machine = f"{trained_on or str(record['environment']['cores']) + ' cores'}, {record['date']}"
    source = f"[{name}](benchmarks/results/{name}.json), {machine}"
    return [f"| {what} | {ours} | {theirs} | {source} |" for what, ours, theirs in read(record)]


def _mnist(record):
    figures, published = record["figures"], record["settings"]["published for BCP"]
    setting = f"MNIST, hinge-KR, {figures['minutes']:.0f} minutes of training"
    yield (
        f"{setting}: accuracy",
        f"{100 * figures['clean']:.2f} %",
        f"BCP {100 * published['clean']:.2f} %",
    )
    yield (
        f"{setting}: proven accuracy at l2 radius 1.58",
        f"{100 * figures['certified']['1.58']:.2f} %",
        f"BCP {100 * published['1.58']:.2f} %",
    )


def _certified_mnist(record):
    found, published = record["figures"]["summary"], record["figures"]["gloro, its paper"]
    spent = [run["processor_minutes"] for run in record["figures"]["runs"].values()]
    setting = (
        f"MNIST, EMMA and ManifoldAdam, {sum(spent) / len(spent):.0f} processor minutes, "
        f"{len(spent)} seeds"
    )
    yield f"{setting}: accuracy", _spread(found["clean"]), _gloro_here(lambda row: row["clean"])
    for radius, share in published.items():
        here = _gloro_here(lambda row, radius=radius: row["certified"][radius])
        theirs = f"gloro, its paper {100 * share:.1f} %"
        both = ", ".join(filter(None, [theirs, here]))
        yield f"{setting}: proven at l2 radius {radius}", _spread(found[radius]), both


def _gloro_here(read):
    """A share of gloro's network that was trained on the same machine, or nothing."""
    record = read_result("gloro_mnist")
    if record is None:
        return ""
    minutes = record["figures"]["processor_minutes"]
    return f"gloro, {minutes:.0f} processor minutes here {100 * read(record['figures']):.1f} %"


def _spread(row):
    return f"{100 * row['mean']:.2f} % ({100 * row['least']:.2f} to {100 * row['most']:.2f})"


def _certified_cifar10(record):
    figures, minutes = record["figures"], record["settings"]["minutes"]
    rows = {name: next(iter(runs.values())) for name, runs in figures.items()}
    proven = {name: row["certified"]["36/255"] for name, row in rows.items()}
    best = max((name for name in rows if name.startswith("lipot")), key=proven.get)
    setting = f"CIFAR-10 (JPEG), {_NETWORKS[best]}, {minutes:g} minutes on one core"
    for what, shares, paper in (
        ("accuracy", {name: row["clean"] for name, row in rows.items()}, 77.0),
        ("proven at l2 radius 36/255", proven, 60.0),
    ):
        theirs = f"gloro, its paper {paper:.1f} %"
        if _DEEL in shares:
            theirs += f", deel-lip in the same time {100 * shares[_DEEL]:.1f} %"
        yield f"{setting}: {what}", f"{100 * shares[best]:.1f} %", theirs


_DEEL = "deel-lip 1.5.0"
_NETWORKS = {
    "lipot, the same layers": "convolutions and pooling",
    "lipot, orthogonal": "orthogonal convolutions",
    "lipot, LipNeXt": "LipNeXt",
}


def _lipnext(record):
    figures = record["figures"]
    minutes, points = record["settings"]["minutes"], record["settings"]["points"]
    setting = f"CIFAR-10 (JPEG), LipNeXt, {minutes:g} minutes on one GPU, {points} test images"
    proven = figures["certified"]["36/255"]
    yield f"{setting}: accuracy", f"{100 * figures['clean']:.1f} %", ""
    theirs = "LiResNet with generated data, its README 78.1 %"
    yield f"{setting}: proven at l2 radius 36/255", f"{100 * proven:.1f} %", theirs


def _linf(record):
    figures, theirs = record["figures"], record["settings"]["published for l-inf-dist net"]
    setting = f"MNIST, l-infinity distances, {figures['minutes']:.0f} minutes on one core"
    published = f"its authors {100 * theirs['clean']:.2f} %"
    yield f"{setting}: accuracy", f"{100 * figures['clean']:.2f} %", published
    yield (
        f"{setting}: proven at l-infinity radius 0.3",
        f"{100 * figures['certified']['0.3']:.2f} %",
        f"its authors {100 * theirs['certified at 0.3']:.2f} %",
    )


def _training_step(record):
    figures = record["figures"]
    theirs = _deel_lip(figures)
    for network, what in (("mlp", "dense network"), ("cnn", "small CNN")):
        ours = figures[network]["retraction"]["train_cpu_ratio"]
        yield (
            f"Processor time of a training step of a {what}, relative to stock layers",
            f"{ours:.1f}x",
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
    figures = record["figures"]["plain"]
    for attack in ("PGD", "AutoPGD", "DeepFool", "CW"):
        seconds = figures[attack]["seconds"]
        yield (
            f"{attack} on {record['settings']['points']} MNIST images",
            f"{seconds['lipot']:.1f} s",
            f"ART's own estimator {seconds['art']:.1f} s",
        )


def _evaluation(record):
    seconds, robust = record["figures"]["seconds"], record["figures"]["robust_accuracy"]
    yield (
        f"All attacks of the standard suite on {record['settings']['points']} MNIST images, "
        f"l2 {record['settings']['eps']:g}",
        f"{seconds['lipot']:.0f} s, {100 * robust['lipot']:.1f} % stand",
        f"one by one on ART's own estimator {seconds['art']:.0f} s, "
        f"{100 * robust['art']:.1f} % stand",
    )


def _orthogonality(record):
    networks = record["figures"]
    for network, kernel in (("SpectralDense", "dense"), ("OrthogonalConv2D, circular", "conv")):
        rows = [row for row in networks[network]["layers"] if kernel in row["layer"]]
        off = max(abs(row[end] - 1.0) for row in rows for end in ("largest", "smallest"))
        yield (
            f"{network}, {record['settings']['steps']} training steps: distance of the "
            "singular values from 1",
            f"at most {off:.0e}",
            "",
        )


_ROWS = (
    ("certified_mnist", _certified_mnist),
    ("certified_cifar10", _certified_cifar10),
    ("lipnext_cifar10", _lipnext),
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
