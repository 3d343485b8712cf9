"""Writes the measured tables and the timing plot of docs/otad.md from the stored results.

python -m benchmarks.render.otad
"""

import itertools

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from benchmarks.common import DOCS, NEAR, between_marks, markdown_table, paper_row, read_result

PAGE = DOCS / "otad.md"
PLOT = DOCS / "images" / "otad-time.png"
# The copy of the paper that was read does not show these figures.
NOT_AT_HAND = "not at hand"

GRADIENTS = ("BPDA + PGD", "PGD, true gradient", "AutoPGD, true gradient", "worst of these")


def main():
    """Brings the page and its plot up to date."""
    PAGE.write_text(rendered())
    if read_result("otad/throughput"):
        draw_time(read_result("otad/throughput")["figures"])


def rendered():
    """Returns the text of the page with the tables that the results give."""
    sections = [text for make in _SECTIONS for text in make()]
    body = "\n\n".join(sections) or "Run the scripts under `benchmarks/otad/` first."
    return between_marks(PAGE.read_text(), f"\n{body}\n")


def draw_time(figures):
    """Draws seconds a query against the dimension."""
    ours = figures["against dimension"]
    dimensions = [int(d) for d in ours if d.isdigit()]
    fig, axes = plt.subplots(figsize=(6, 3.6))
    axes.loglog(dimensions, [ours[str(d)]["wall"] for d in dimensions], "o-", label="lipot, exact")
    for name in ("CIPNet", "Clarabel"):
        compared = (784, 16384)
        seconds = [figures[f"d = {d}"][name]["wall"] for d in compared]
        axes.loglog(compared, seconds, "s--", label=name)
    (mosek,) = _paper("IX", "OTAD-T")
    axes.axhline(mosek, color="gray", linewidth=1, linestyle=":")
    label = {"color": "gray", "fontsize": 8, "ha": "right"}
    axes.text(17000, 2.0, "paper, MOSEK, d = 16384", **label)
    axes.set_ylim(top=6.0)
    axes.set_xlabel("dimension d (K = 10)")
    axes.set_ylabel("seconds a query")
    axes.legend(loc="center left")
    axes.grid(alpha=0.3)
    fig.tight_layout()
    fig.savefig(PLOT, dpi=150)
    plt.close(fig)


def _paper(table, label, about=""):
    """What the paper has in a row of a table, `None` where it has nothing."""
    return paper_row("OTAD", table, label, about=about)


def _beside(found, paper):
    """Our figure with the paper's in brackets, where there is one."""
    return found if paper is None else f"{found} ({paper})"


def _table(title, header, rows):
    rows = list(rows)
    return [f"### {title}\n\n{markdown_table(header, rows)}"] if rows else []


def _parts(name):
    record = read_result(name)
    return record["figures"] if record else {}


def _settings(name):
    record = read_result(name)
    return record["settings"] if record else {}


def _oracle():
    figures = _parts("otad/oracle")
    kinds = [kind for kind in figures if "float32" in figures[kind]]
    rows = [
        (
            kind,
            figures[kind]["float32"]["problems"],
            *(f"{figures[kind][p]['largest']:.1e}" for p in ("float32", "float64")),
            f"{figures[kind]['Clarabel on (16) as written']['largest']:.1e}",
        )
        for kind in kinds
    ]
    header = ("problems", "number", "float32", "float64", "Clarabel, (16) as written")
    yield from _table("Largest relative error of the feature", header, rows)
    if "feasibility verdicts" in figures:
        found = figures["feasibility verdicts"]
        worst = {k: figures["Lipschitz"][k] for k in ("feasible", "infeasible")}
        yield (
            f"Verdicts on feasibility agree with Clarabel's in {found['equal']} of "
            f"{found['problems']} problems, {found['feasible']} of them feasible. Over "
            f"{figures['Lipschitz']['pairs']} pairs the largest $|z'(x) - z'(y)| / (L |x - y|)$ is "
            f"{worst['feasible']:.4f} for a feasible neighborhood and {worst['infeasible']:.4f} "
            "for one that is not."
        )


def _throughput():
    figures = _parts("otad/throughput")
    rows = []
    for dimension in (784, 16384):
        found = figures.get(f"d = {dimension}")
        if found:
            rows += [
                (dimension, name, f"{found[key]['wall']:.2e}", f"{found[key]['cpu']:.2e}")
                for name, key in (
                    ("exact, here", "solver"),
                    ("with its gradient", "gradient"),
                    ("CIPNet", "CIPNet"),
                    ("Clarabel through cvxpy", "Clarabel"),
                )
            ]
    yield from _table(
        "Seconds a query, K = 10", ("d", "method", "wall", "CPU of the process"), rows
    )
    if "against queries" in figures:
        yield _growth(figures)


def _growth(figures):
    """Says how far ahead the exact solver is, and that its cost grows linearly."""
    small, large = figures["d = 784"], figures["d = 16384"]
    dimensions, queries = figures["against dimension"], figures["against queries"]
    longer = dimensions["16384"]["wall"] / dimensions["2048"]["wall"]
    more = queries["1024"]["wall"] / queries["16"]["wall"]
    return (
        f"By the wall clock Clarabel takes {small['Clarabel over solver, wall']:,.0f} times as "
        f"long at d = 784 and {large['Clarabel over solver, wall']:,.0f} times at d = 16384, "
        f"CIPNet {small['CIPNet over solver, wall']:.0f} and "
        f"{large['CIPNet over solver, wall']:.1f} times; counted in CPU time of the process, "
        f"Clarabel takes {small['Clarabel over solver, cpu']:,.0f} and "
        f"{large['Clarabel over solver, cpu']:,.0f} times as much. Eight times the dimension "
        f"(2048 to 16384) takes {longer:.1f} times as long, 64 times the queries (16 to 1024) "
        f"{more:.0f} times. Ours are seconds of a query in batches of 512 at d = 784 and of 128 at "
        "d = 16384; Clarabel takes one query at a time, (15) and (16), the time of cvxpy included, "
        f"and its figure is the median of {small['Clarabel']['queries']}."
    )


def _mnist():
    figures, settings = _parts("otad/mnist"), _settings("otad/mnist")
    rows = [
        row for make in (_mnist_clean, _by_gradients, _without_gradients) for row in make(figures)
    ]
    header = ("attack", "OTAD here, %", "paper, %")
    yield from _table("MNIST: accuracy under attack (tables I, II, III, XIII)", header, rows)
    if settings:
        yield _mnist_settings(figures, settings)
    rows = []
    for index, count in enumerate((5, 10, 15)):
        if f"K = {count}" in figures:
            pairs = [
                (figures[f"K = {count}"][name], _paper("XII", name, "MNIST")[index])
                for name in ("OTAD", "KNN")
            ]
            rows.append((count, *pairs[0], *pairs[1]))
    header = ("K", "OTAD here", "paper", "KNN here", "paper")
    yield from _table("MNIST: standard accuracy against nearest means (table XII)", header, rows)
    names = (
        "standard accuracy",
        "BPDA + PGD, eps = 3",
        "local Lipschitz constant",
        "relative error",
    )
    rows = [
        (label.removeprefix("L - l = "), *(found[name] for name in names))
        for label, found in figures.items()
        if label.startswith("L - l")
    ]
    yield from _table("MNIST: what L - l does (figure 2)", ("L - l", *names), rows)


def _mnist_clean(figures):
    if "standard accuracy" in figures:
        yield "no attack", figures["standard accuracy"]["accuracy"], _paper("I", "OTAD")[0]


def _by_gradients(figures):
    """Rows of table II, with attacks that the paper does not have."""
    for eps in (1.0, 2.0, 3.0):
        found = figures.get(f"gradient attacks, eps = {eps}", {})
        paper = dict.fromkeys(GRADIENTS, "none") | {"BPDA + PGD": NOT_AT_HAND}
        for name in GRADIENTS:
            if name in found:
                yield f"{name}, eps = {eps:g}", found[name], paper[name]


def _without_gradients(figures):
    """Rows of tables I, III and XIII."""
    for eps, paper in zip((2.0, 3.0), _paper("III", "OTAD")[1:]):
        if f"Square, eps = {eps}" in figures:
            found = figures[f"Square, eps = {eps}"]["accuracy"]
            yield f"Square, 2000 queries, eps = {eps:g}", found, paper
    for sigma, paper in zip((0.1, 0.15, 0.2), _paper("I", "OTAD")[1:]):
        found = figures.get(f"NGOpt, sigma = {sigma}")
        if found:
            yield f"CW by NGOpt, c = 100, sigma = {sigma}", found["accuracy"], paper
            yield f"the same, only within a norm of 3, sigma = {sigma}", found[NEAR], "none"
    for name in ("resnet", "plain"):
        found = figures.get(f"{name}, Square with 500 queries")
        if found:
            paper = _paper("XIII", name, "MNIST")[-1]
            yield f"{name}: Square, 500 queries, eps = 3", found["Square, eps = 3"], paper


def _mnist_settings(figures, settings):
    """Says what was trained and attacked, and where true gradients broke more."""
    text = (
        f"Trained for {settings['epochs']} epochs (test accuracy of the network itself: "
        f"{figures['backbone']['test accuracy']} %). Gradient attacks on {settings['points']} "
        f"test points, Square on {settings['square_points']}, NGOpt on "
        f"{settings['ngopt_points']}; the paper takes 1000. In NGOpt's objective c is what a wrong "
        "answer weighs against the distance, which the paper does not say. With c = 10 the attack "
        "stays nearer and leaves more: [table I](reproduction.md#otad) has those figures."
    )
    broken = [
        f"{found['BPDA + PGD']} % to {found['worst of these']} % at eps = {eps:g}"
        for eps in (1.0, 2.0, 3.0)
        if (found := figures.get(f"gradient attacks, eps = {eps}"))
        and found["worst of these"] < found["BPDA + PGD"]
    ]
    if broken:
        text += (
            " Gradients through the solver break what the paper's surrogate did not: together "
            f"with it they take the accuracy from {', '.join(broken)}."
        )
    # At eps = 2 the two differ by less than the few points of Square can tell.
    square, gradients = (
        figures.get(f"{kind}, eps = 3.0") for kind in ("Square", "gradient attacks")
    )
    if square and gradients and square["accuracy"] < gradients["worst of these"]:
        text += (
            f" Square, which sees no gradient, leaves {square['accuracy']} % at eps = 3, less than "
            "all of them together: the gradients mislead there too, and the true accuracy is lower "
            "still."
        )
    return text


def _wine():
    rows = []
    for label, found in _parts("otad/wine").items():
        kinds = {"no noise": found} if label == "clean" else found
        for kind, scores in kinds.items():
            if isinstance(scores, dict):
                rows += [
                    (label, kind, name, s["MSE"], s.get("E", ""), s["SMAPE"])
                    for name, s in scores.items()
                    if isinstance(s, dict)
                ]
    header = ("level", "input", "model", "MSE", "E", "SMAPE")
    yield from _table("Red wine, a regression (table V)", header, rows)
    if rows:
        yield (
            "E is how far noise or an attack within an l2 radius of eps moves the predictions, as "
            "a share of the clean ones."
        )


def _gaussians():
    names = ("network accuracy", "standard accuracy", "BPDA + PGD, eps = 1.0", "relative error")
    rows = []
    for label, found in _parts("otad/gaussians").items():
        theirs = _paper("XIV", label.replace(" = ", " "))
        pairs = [_beside(found[name], value) for name, value in zip(names, theirs)]
        rows.append((label, *pairs, found["AutoPGD, true gradient, eps = 1.0"]))
    header = ("", *names, "AutoPGD, true gradient, eps = 1")
    yield from _table("Gaussians (table XIV; the paper's figure in brackets)", header, rows)
    settings = _settings("otad/gaussians")
    if settings:
        yield (
            f"{settings['train']} training points here, 50000 in the paper; attacks on "
            f"{settings['points']}. The means lie some 1.4 apart, so a step of 1 leads past the "
            "middle between two of them, and accuracy near zero is what a strong attack must find. "
            "Where a true gradient finds less than BPDA, the cross-entropy of a sure prediction is "
            "flat: believe the worst of both."
        )


def _cells():
    for found in _parts("otad/cells").values():
        rows = [(name, value) for name, value in found.items() if name != "seconds"]
        title = "Single cells: PBMC 68k reduced, 560 to train and 140 to test, not the paper's data"
        yield from _table(title, ("", "here"), rows)


def _cifar10():
    figures, settings = _parts("otad/cifar10"), _settings("otad/cifar10")
    header = ("metric", "standard", "BPDA + PGD", "DML attack", "AutoPGD, true gradient")
    header += ("vote of 10 neighbors", "untrained")
    title = "CIFAR-10, eps = 0.5 (tables VI, VII; the paper's figure in brackets)"
    yield from _table(title, header, _by_metric(figures))
    header = ("metric", "alpha", "standard", "BPDA + PGD", "PGD, true gradient")
    header += ("AutoPGD, true gradient", "relative error of CIPNet")
    title = (
        "OTAD-T-NN on CIFAR-10, eps = 0.5 (tables VI, VII, X, XI; the paper's figure in brackets)"
    )
    yield from _table(title, header, _by_alpha(figures))
    if figures:
        yield (
            f"CIFAR-10 here: {settings['blocks']} blocks of width {settings['width']}, the paper's "
            f"network, {settings['epochs']} epochs of it and {settings['metric_epochs']} of each "
            f"metric; {settings['stored']} stored points; attacks on {settings['points']} points. "
            "In the DML attack (deep metric learning) the code alone is moved, by which neighbors "
            "are searched. PGD along the gradient of OTAD-T-NN leaves more than PGD along that of "
            "the network (BPDA), so believe the least of the three. The vote is that of the 10 "
            "nearest codes of all training images, beside that of the metric before it was "
            "trained. "
            f"{figures.get('network', {}).get('note', '')}"
        )


def _by_metric(figures):
    for name in ("resnet", "cnn", "transformer", "attention"):
        found = figures.get(f"metric {name}")
        if found:
            keys = ("standard accuracy", "BPDA + PGD", "DML attack")
            pairs = [
                _beside(found.get(key, ""), paper)
                for key, paper in zip(keys, _paper("VI, VII", f"metric {name}"))
            ]
            votes = (found.get(f"neighbors' vote{of}", "") for of in ("", ", untrained"))
            yield name, *pairs, found.get("AutoPGD, true gradient", ""), *votes


def _by_alpha(figures):
    for label, alpha in itertools.product(("attention", "ResNet"), ("1.0", "0.5", "0.0")):
        trained = figures.get(f"CIPNet, alpha = {alpha}", {})
        found = trained.get(label.lower())
        if found:
            clean, pgd = _paper("X, XI", f"with {label}, alpha {alpha}")
            bpda = _paper("VI, VII", f"OTAD-T-NN with {label}")[1] if alpha == "1.0" else None
            keys = ("standard accuracy", "BPDA + PGD", "PGD, true gradient")
            pairs = (
                _beside(found.get(key, ""), paper) for key, paper in zip(keys, (clean, bpda, pgd))
            )
            auto = found.get("AutoPGD, true gradient", "")
            yield label.lower(), alpha, *pairs, auto, trained["relative error of CIPNet"]


_SECTIONS = (_oracle, _throughput, _mnist, _wine, _gaussians, _cells, _cifar10)


if __name__ == "__main__":
    main()
