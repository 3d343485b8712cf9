"""Writes the measured tables of the docs from the stored results.

python -m benchmarks.render.measured
"""

from benchmarks.common import DEEL_LIP, DOCS, between_marks, markdown_table, percent, read_result
from benchmarks.render import scale

# What made each result, beneath `benchmarks`.
_COMMANDS = {
    "certified_mnist": "measure.training.certified_mnist",
    "evaluate_mnist": "measure.attacks.evaluate_mnist",
    "orthogonality": "measure.kernels.orthogonality",
    "auto_attack": "measure.attacks.auto_attack --points 150 --networks lipschitz",
    "auto_attack_pgd": (
        "measure.attacks.auto_attack --points 150 --networks pgd --name auto_attack_pgd"
    ),
    "auto_attack_plain": (
        "measure.attacks.auto_attack --points 150 --networks plain --name auto_attack_plain"
    ),
    "interrupted_evaluation": "measure.attacks.interrupted_evaluation --points 100",
    "orthogonalizers": "measure.training.orthogonalizers --epochs 1 --only retraction bjorck",
    "manifold_adam": (
        "measure.training.orthogonalizers --epochs 1 --only retraction manifold_adam --seeds 0 1 2 "
        "--name manifold_adam"
    ),
    "streamed_certify": "measure.speed.streamed_certify",
    "otad/millions": "otad.millions",
    "shared_evaluation": "measure.attacks.shared_evaluation",
    "plan": "measure.speed.plan",
    "training_step_wide": (
        "measure.speed.training_step --networks mlp mlp1024 mlp2048 cnn "
        "--only retraction manifold_adam --steps 20 --rounds 3 --name training_step_wide"
    ),
    "training_step_large_batch": (
        "measure.speed.training_step --networks mlp mlp1024 --only retraction manifold_adam "
        "--steps 6 --rounds 3 --batch-size 1024 --name training_step_large_batch"
    ),
    "training_step": (
        "measure.speed.training_step --steps 20 --rounds 3 --networks mlp cnn resnet "
        "--only retraction --deel PYTHON"
    ),
}

_NETWORKS = {
    "mlp": "MLP",
    "mlp1024": "MLP, 1024 wide",
    "mlp2048": "MLP, 2048 wide",
    "cnn": "CNN",
    "resnet": "ResNet-18",
}


def main():
    """Brings the pages up to date."""
    for page in PAGES:
        page.write_text(rendered(page))


def rendered(page):
    """Returns the text of a page with the tables that the results give."""
    parts = (_part(*part) for part in PAGES[page])
    return between_marks(page.read_text(), "\n" + "\n\n".join(parts) + "\n")


def _part(title, name, table):
    heading = f"## {title}\n\n" if title else ""
    record = read_result(name)
    command = f"python -m benchmarks.{_COMMANDS[name]}"
    if record is None:
        return f"{heading}There is no stored result of `{command}` yet."
    caption = f"*`{command}`, {record['date']}, {record['environment']['cores']} cores.*"
    return f"{heading}{table(record)}\n\n{caption}"


def _times(ratio):
    return f"{ratio:.2f}x"


def training_step(record):
    """Each network and its twin of stock layers."""
    rows = []
    figures = record["figures"]
    names = {
        "sorted": "stock kernels, `GroupSort2` and L2 pooling",
        "retraction": "**orthogonal kernels, the default**",
        "manifold_adam": "the same with `ManifoldAdam`",
        "bjorck": "15 Björck iterations",
        "cholesky": "Cholesky",
    }
    for network, title in _NETWORKS.items():
        found = figures.get(network, {})
        shown = [(names[key], found[key]) for key in names if key in found]
        theirs = figures.get(DEEL_LIP, {}).get(network)
        if theirs:
            shown.append(("deel-lip 1.5.0, beside its own stock twin", theirs))
        rows += [[title, name, *_step(row)] for name, row in shown]
    header = ["network", "layers", "step", "step, processor", "predict", "predict, processor"]
    return markdown_table(header, rows)


def _step(row):
    keys = ("train_ratio", "train_cpu_ratio", "predict_ratio", "predict_cpu_ratio")
    return [_times(row[key]) for key in keys]


def orthogonality(record):
    """Extreme singular values of the maps of all layers after training."""
    rows = [
        [
            name,
            f"{min(layer['smallest'] for layer in found['layers']):.7f}",
            f"{max(layer['largest'] for layer in found['layers']):.7f}",
        ]
        for name, found in record["figures"].items()
    ]
    return markdown_table(["layers", "smallest singular value", "largest"], rows)


def orthogonalizers(record):
    """What each way to keep kernels orthonormal reaches at equal epochs."""
    rows = []
    for data, found in record["figures"].items():
        for name, row in found.items():
            proven = next(key for key in row if key.startswith("proven"))
            minutes = sum(run["seconds"] for run in row["runs"]) / len(row["runs"]) / 60
            shares = [f"{row['clean']:.2f} %", f"{row[proven]:.2f} %"]
            rows.append([data, f"`{name}`", *shares, proven[10:], f"{minutes:.1f}"])
    return markdown_table(["data", "orthogonalizer", "clean", "proven", "at l2", "minutes"], rows)


def certified_mnist(record):
    """Clean and proven accuracy of each seed."""
    runs = record["figures"]["runs"]
    radii = next(iter(runs.values()))["certified"]
    header = ["seed", "clean", *(f"proven at {radius}" for radius in radii), "processor minutes"]
    rows = []
    for seed, found in runs.items():
        shares = [percent(found["clean"]), *map(percent, found["certified"].values())]
        rows.append([seed, *shares, f"{found['processor_minutes']:.0f}"])
    return markdown_table(header, rows)


def auto_attack(record):
    """Robust accuracy and time of both implementations."""
    rows, points = [], record["settings"]["points"]
    for network, norms in record["figures"]["networks"].items():
        for norm, row in norms.items():
            ours, theirs = row["lipot"], row["art"]
            rows.append(
                [
                    network,
                    f"l{norm} {row['eps']:g}",
                    percent(ours["robust_accuracy"]),
                    percent(theirs["robust_accuracy"]),
                    f"{ours['seconds']:.0f} s",
                    f"{theirs['seconds']:.0f} s",
                    f"{row['speedup']:.1f}x",
                ]
            )
    header = ["network", "ball", "stand, lipot", "stand, ART", "lipot", "ART", "faster"]
    return f"On {points} points:\n\n{markdown_table(header, rows)}"


def evaluate(record):
    """Seconds of each attack of the suite."""
    found = record["figures"]
    seconds = found["seconds_by_attack"]
    rows = [
        [f"`{name}`", f"{seconds['lipot'].get(name, 0.0):.1f} s", f"{spent:.1f} s"]
        for name, spent in seconds["art"].items()
    ]
    total, robust = found["seconds"], found["robust_accuracy"]
    rows.append(["in all", f"{total['lipot']:.0f} s", f"{total['art']:.0f} s"])
    rows.append(["stand", percent(robust["lipot"]), percent(robust["art"])])
    header = ["attack", "`lipot.evaluate`", "one by one on ART's own estimator"]
    points, eps = record["settings"]["points"], record["settings"]["eps"]
    return f"{points} points of MNIST, l2 {eps:g}:\n\n" + markdown_table(header, rows)


def interrupted(record):
    """What a killed evaluation ends with."""
    found = record["figures"]
    kills = ", ".join(f"{kill['after_seconds']:.0f} s" for kill in found["kills"])
    same = "the same report" if found["equal"] else "**another report**"
    return (
        f"An evaluation of {found['seconds_through']:.0f} s, killed after {kills} and started "
        f"again each time, ended with {same}, point by point."
    )


PAGES = {
    DOCS / "speed.md": (
        ("A training step", "training_step", training_step),
        ("By width and optimizer", "training_step_wide", training_step),
        ("The same with batches of 1024", "training_step_large_batch", training_step),
        ("How orthogonal", "orthogonality", orthogonality),
        ("What the fast way loses", "orthogonalizers", orthogonalizers),
        ("ManifoldAdam beside Adam", "manifold_adam", orthogonalizers),
        ("MNIST, for clean and proven accuracy", "certified_mnist", certified_mnist),
    ),
    DOCS / "scale.md": (
        ("Certifying a stream", "streamed_certify", scale.streamed),
        ("OTAD with many points", "otad/millions", scale.millions),
        ("One evaluation by two workers", "shared_evaluation", scale.shared),
        ("A plan", "plan", scale.plan),
    ),
    DOCS / "auto-attack.md": (
        ("", "auto_attack", auto_attack),
        ("", "auto_attack_pgd", auto_attack),
        ("", "auto_attack_plain", auto_attack),
    ),
    DOCS / "evaluate.md": (
        ("", "evaluate_mnist", evaluate),
        ("", "interrupted_evaluation", interrupted),
    ),
}


if __name__ == "__main__":
    main()
