"""Every figure of each method in one table, the last of docs/reproduction.md."""

from benchmarks.common import markdown_table, read_result


def table():
    """Returns the table that the results give, in Markdown.

    A method whose benchmark has no stored result says which command makes it.
    """
    cells = []
    for method, name, command, read in METHODS:
        record = read_result(name)
        rows = list(read(record["figures"])) if record else []
        for what, figure in rows or [("", f"not run: `python -m benchmarks.{command}`")]:
            cells.append([method, what, figure])
    return markdown_table(["method", "measured", "figure"], cells)


def _hkr(figures):
    yield "MNIST: accuracy", f"{100 * figures['clean']:.2f} %"
    for radius in ("0.5", "1.0", "1.58"):
        yield f"MNIST: proven at l2 {radius}", f"{100 * figures['certified'][radius]:.2f} %"


def _certified(figures):
    found = figures["summary"]
    yield "MNIST: accuracy", f"{100 * found['clean']['mean']:.2f} %"
    for radius in ("0.5", "1.0", "1.58"):
        yield f"MNIST: proven at l2 {radius}", f"{100 * found[radius]['mean']:.2f} %"


def _linf(figures):
    yield "MNIST: accuracy", f"{100 * figures['clean']:.2f} %"
    for radius in ("0.1", "0.3"):
        proven = figures["certified"][radius]
        yield f"MNIST: proven at l-infinity {radius}", f"{100 * proven:.2f} %"


def _soundness(figures):
    changed = sum(found["changed"] for found in figures.values() if isinstance(found, dict))
    yield "MNIST: proven predictions that attacks changed", f"{changed} of {figures['points']}"


def _training_step(figures):
    for network, what in (("mlp", "dense network"), ("cnn", "small CNN")):
        ratio = figures[network]["retraction"]["train_cpu_ratio"]
        yield f"processor time of a training step, {what}", f"{ratio:.1f} times stock layers"


def _cost(figures):
    for steps, found in figures.items():
        for method in ("GOT-PGD-S", "OTJR"):
            ratio = found[method]["wall_ratio"]
            yield f"{method}: time of a training step, {steps}", f"{ratio:.2f} times PGD-AT"


def _adversarial(figures):
    for method, found in figures.items():
        shown = [f"{100 * found['mean'][key]:.2f} %" for key in ("clean", "pgd")]
        shown += [f"{100 * value:.2f} %" for value in [found["mean"].get("autoattack")] if value]
        yield f"MNIST, {method}: clean, PGD, AutoAttack at l-infinity 0.3", ", ".join(shown)


def _ot_classifier(figures):
    for method, found in figures.items():
        clean, attacked = (100 * found["mean"]["accuracy"][eps] for eps in ("0", "0.3"))
        yield f"MNIST, {method}: clean, PGD at l-infinity 0.3", f"{clean:.2f} %, {attacked:.2f} %"


def _otad(figures):
    if "standard accuracy" in figures:
        yield "MNIST: accuracy", f"{figures['standard accuracy']['accuracy']:.2f} %"
    for eps in ("1.0", "2.0", "3.0"):
        found = figures.get(f"gradient attacks, eps = {eps}")
        if found:
            yield f"MNIST: under gradient attacks, l2 {eps}", f"{found['worst of these']:.2f} %"
    if "certificate" in figures:
        yield "MNIST: proven at l2 0.05", f"{figures['certificate']['certified at 0.05']:.2f} %"


def _wine(figures):
    for model in ("network", "OTAD"):
        clean = figures["clean"][model]["MSE"]
        attacked = figures["eps = 0.2"]["attack"][model]["MSE"]
        yield f"red wine, {model}: MSE clean, attacked at l2 0.2", f"{clean:.3f}, {attacked:.3f}"


def _cells(figures):
    found = figures["PBMC 68k"]
    yield "single cells: accuracy", f"{found['standard accuracy']:.2f} %"
    for attack in ("BPDA + PGD", "AutoPGD, true gradient"):
        yield f"single cells: under {attack}, l2 2", f"{found[f'{attack}, eps = 2.0']:.2f} %"


def _throughput(figures):
    seconds = figures["d = 784"]["solver"]["wall"]
    yield "time of a query, 784 features, 10 neighbors", f"{1e6 * seconds:.0f} µs"


# Method, result, its command beneath `benchmarks`, and what to read in it.
METHODS = (
    ("hinge-KR", "hkr_mnist", "measure.training.hkr_mnist", _hkr),
    ("EMMA", "certified_mnist", "measure.training.certified_mnist", _certified),
    ("l-infinity distances", "linf_mnist", "measure.training.linf_mnist", _linf),
    ("hinge-KR", "soundness", "measure.attacks.soundness", _soundness),
    ("hinge-KR", "training_step", "measure.speed.training_step", _training_step),
    ("GOT, OTJR", "papers/got-1", "papers --table got-1", _adversarial),
    ("GOT, OTJR", "transport/cost", "transport.cost", _cost),
    ("OT-Classifier", "papers/ot-classifier", "papers --table ot-classifier", _ot_classifier),
    ("OTAD", "otad/mnist", "otad.mnist", _otad),
    ("OTAD", "otad/wine", "otad.wine", _wine),
    ("OTAD", "otad/cells", "otad.vectors cells", _cells),
    ("OTAD", "otad/throughput", "otad.throughput", _throughput),
)
