"""Writes the measured tables of the docs from the stored results.

python -m benchmarks.render.measured
"""

from benchmarks.common import (
    DEEL_LIP,
    DOCS,
    between_marks,
    cores,
    markdown_table,
    percent,
    read_result,
)
from benchmarks.render import figures as read_in
from benchmarks.render import scale
from benchmarks.render.commands import command_of

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
    command = command_of(name)
    if record is None:
        return f"{heading}There is no stored result of `{command}` yet."
    caption = f"*`{command}`, {record['date']}, {cores(record)}.*"
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
    """Extreme singular values after training of the layers that each network is named after."""
    rows = []
    for network in record["figures"]:
        layers = read_in.layers_of(record["figures"], network)
        least, largest = (
            pick(layer[end] for layer in layers)
            for pick, end in ((min, "smallest"), (max, "largest"))
        )
        rows.append([network, f"{least:.7f}", f"{largest:.7f}"])
    return markdown_table(["layers", "smallest singular value", "largest"], rows)


def orthogonalizers(record):
    """What each way to keep kernels orthonormal reaches at equal epochs."""
    rows = []
    for data, found in record["figures"].items():
        for name, row in found.items():
            proven = next(key for key in row if key.startswith("proven"))
            minutes = sum(run["seconds"] for run in row["runs"]) / len(row["runs"]) / 60
            shares = [percent(row[key] / 100) for key in ("clean", proven)]
            rows.append([data, f"`{name}`", *shares, proven[10:], f"{minutes:.1f}"])
    header = ["data", "orthogonalizer", "clean", "proven", "at l2", "minutes"]
    seeds = len(record["settings"]["seeds"])
    return f"Medians over {seeds} seeds:\n\n{markdown_table(header, rows)}"


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


def constants(record):
    """Seconds of a first prediction, the constant and four certificates, by network and size."""
    rows = []
    for name, found in record["figures"].items():
        network, _, size = name.rpartition("_")
        seconds = (f"{found[key]:.1f} s" for key in _PROOFS)
        rows.append([_PROVEN.get(network, network), size, *seconds, f"{found['load']:.1f}"])
    header = ["network", "size", "first `predict`", "constant", "four certificates", "load"]
    return (
        "Seconds of the processor. Orthogonal kernels have a constant that needs "
        "no look at frequencies; where the load is above two, other programs ran beside. By the "
        "clock TensorFlow may hold back the end of a first `predict` for up to as long again, with "
        "plain Keras layers too: it tunes pipelines at moments that lie ever further apart. "
        "`predict_on_batch` does not wait.\n\n"
        f"{markdown_table(header, rows)}"
    )


_PROOFS = ("first_predict_cpu_s", "constant_cpu_s", "certify_four_cpu_s")
_PROVEN = {
    "resnet_spectral": "ResNet-18, `SpectralConv2D`",
    "resnet_orthogonal": "ResNet-18, `OrthogonalConv2D`",
    "dense": "`SpectralDense`",
}


def overhead(record):
    """The picture that the benchmark drew, and whether it was drawn before the table by width."""
    base, wide = record["settings"], read_result("training_step_wide")
    text = (
        "![Ratio of a training step to plain Keras against batch, width and depth]"
        "(images/overhead.png)\n\n"
        f"By the processor's time and by the clock: an MLP of {base['depth']} layers of width "
        f"{base['width']}, batch {base['batch']}, one of the three changed at a time. The kernels "
        "cost the same whatever the batch; products of kernels grow with the cube of the width "
        "where those with a batch grow with its square."
    )
    if wide and record["date"] < wide["date"]:
        text += (
            f" This was measured on {record['date']}, before the retraction took as few steps as "
            f"in the table by width above{_elsewhere(record, wide)}."
        )
    return text


def _elsewhere(record, other):
    names = {found["environment"]["processor"] for found in (record, other)}
    return ", and on another processor" if len(names) > 1 else ""


def auto_attack(record):
    """Robust accuracy and time of both implementations."""
    rows, points = [], record["settings"]["points"]
    for network, norms in record["figures"]["networks"].items():
        for norm, row in norms.items():
            ours, theirs = row["lipot"], row["art"]
            rows.append(
                [
                    _ATTACKED[network],
                    f"l{norm} {row['eps']:g}",
                    percent(ours["robust_accuracy"]),
                    percent(theirs["robust_accuracy"]),
                    f"{ours['seconds']:.0f} s",
                    f"{theirs['seconds']:.0f} s",
                    f"{row['speedup']:.1f}x",
                ]
            )
    restarts = record["settings"]["restarts"]
    header = ["network", "ball", "stand, lipot", "stand, ART", "lipot, 1 start"]
    header += [f"ART, {restarts} starts", "faster"]
    return f"On {points} test points of MNIST:\n\n{markdown_table(header, rows)}"


_ATTACKED = {
    "lipschitz": "1-Lipschitz CNN",
    "pgd": "plain CNN, trained against PGD",
    "plain": "plain CNN",
}


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
    spent = found["processor_seconds"]
    rows.append(["the same, of the processor", f"{spent['lipot']:.0f} s", f"{spent['art']:.0f} s"])
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
        ("As the work grows", "overhead", overhead),
        ("What a proof takes", "constant_time", constants),
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
