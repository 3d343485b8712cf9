"""Every figure of each method in one table, the last of docs/reproduction.md."""

from benchmarks.common import markdown_table, percent, read_result
from benchmarks.render import figures as read_in
from benchmarks.render.commands import command_of


def table():
    """Returns the table that the results give, in Markdown.

    A method whose benchmark has no stored result says which command makes it.
    """
    cells = []
    for method, name, read in METHODS:
        record = read_result(name)
        rows = list(read(record["figures"])) if record else []
        for what, figure in rows or [("", f"not run: `{command_of(name)}`")]:
            cells.append([method, what, figure])
    return markdown_table(["method", "measured", "figure"], cells)


def _proven(read, norm, radii):
    def rows(figures):
        found = read(figures)
        yield "MNIST: accuracy", percent(found.clean)
        for radius in radii:
            yield f"MNIST: proven at {norm} {radius}", percent(found.proven[radius])

    return rows


def _soundness(figures):
    changed = sum(found["changed"] for found in figures.values() if isinstance(found, dict))
    yield "MNIST: proven predictions that attacks changed", f"{changed} of {figures['points']}"


def _training_step(figures):
    for what, ratio in read_in.step_ratios(figures, "retraction").items():
        yield f"processor time of a training step, {what}", f"{ratio:.1f} times stock layers"


def _cost(figures):
    for steps, found in figures.items():
        for method in ("GOT-PGD-S", "OTJR"):
            ratio = found[method]["wall_ratio"]
            yield f"{method}: time of a training step, {steps}", f"{ratio:.2f} times PGD-AT"


def _adversarial(figures):
    for method in figures:
        found = read_in.adversarial(figures, method)
        shares = map(percent, (found.clean, *found.stands.values()))
        attacks = ", ".join(("clean", *found.stands))
        yield f"MNIST, {method}: {attacks} at l-infinity 0.3", ", ".join(shares)


def _ot_classifier(figures):
    for method in figures:
        found = read_in.ot_classifier(figures, method)
        shares = f"{percent(found.clean)}, {percent(found.stands['0.3'])}"
        yield f"MNIST, {method}: clean, PGD at l-infinity 0.3", shares


def _otad(figures):
    found = read_in.otad(figures)
    yield "MNIST: accuracy", percent(found.clean)
    for (kind, eps), share in found.stands.items():
        yield f"MNIST: under {kind}, l2 {eps}", percent(share)
    for radius, share in found.proven.items():
        yield f"MNIST: proven at l2 {radius}", percent(share)


def _wine(figures):
    for model in ("network", "OTAD"):
        clean = figures["clean"][model]["MSE"]
        attacked = figures["eps = 0.2"]["attack"][model]["MSE"]
        yield f"red wine, {model}: MSE clean, attacked at l2 0.2", f"{clean:.3f}, {attacked:.3f}"


def _cells(figures):
    found = figures["PBMC 68k"]
    yield "single cells: accuracy", percent(found["standard accuracy"] / 100)
    for attack in ("BPDA + PGD", "AutoPGD, true gradient"):
        share = percent(found[f"{attack}, eps = 2.0"] / 100)
        yield f"single cells: under {attack}, l2 2", share


def _throughput(figures):
    seconds = figures["d = 784"]["solver"]["wall"]
    yield (
        "time of a query, 784 features, 10 neighbors, in batches of 512",
        f"{1e6 * seconds:.0f} µs",
    )


# Method, result, and what to read in it.
METHODS = (
    ("hinge-KR", "hkr_mnist", _proven(read_in.certified_by_seed, "l2", ("0.5", "1.0", "1.58"))),
    ("EMMA", "certified_mnist", _proven(read_in.certified_by_seed, "l2", ("0.5", "1.0", "1.58"))),
    (
        "l-infinity distances",
        "linf_mnist",
        _proven(read_in.certified, "l-infinity", ("0.1", "0.3")),
    ),
    ("hinge-KR", "soundness", _soundness),
    ("hinge-KR", "training_step", _training_step),
    ("GOT, OTJR", "papers/got-1", _adversarial),
    ("GOT, OTJR", "transport/cost", _cost),
    ("OT-Classifier", "papers/ot-classifier", _ot_classifier),
    ("OTAD", "otad/mnist", _otad),
    ("OTAD", "otad/wine", _wine),
    ("OTAD", "otad/cells", _cells),
    ("OTAD", "otad/throughput", _throughput),
)
