"""Writes the measured tables and the timing plot of docs/otad.md from the stored results.

python -m benchmarks.render.otad
"""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from benchmarks.common import DOCS, between_marks, markdown_table, read_result

PAGE = DOCS / "otad.md"
PLOT = DOCS / "images" / "otad-time.png"
MISSING = "not in the text at hand"

NEAR = "accuracy where a norm above 3 does not count"
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
    axes.axhline(1.6436, color="gray", linewidth=1, linestyle=":")
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
        f"{more:.0f} times."
    )


def _mnist():
    figures, settings = _parts("otad/mnist"), _settings("otad/mnist")
    rows = []
    if "standard accuracy" in figures:
        rows.append(("no attack", figures["standard accuracy"]["accuracy"], 96.3))
    for eps in (1.0, 2.0, 3.0):
        found = figures.get(f"gradient attacks, eps = {eps}", {})
        paper = dict.fromkeys(GRADIENTS, "none") | {"BPDA + PGD": MISSING}
        rows += [(f"{n}, eps = {eps:g}", found[n], paper[n]) for n in GRADIENTS if n in found]
    for eps, paper in ((2.0, 63.0), (3.0, 41.6)):
        if f"Square, eps = {eps}" in figures:
            found = figures[f"Square, eps = {eps}"]["accuracy"]
            rows.append((f"Square, 2000 queries, eps = {eps:g}", found, paper))
    for sigma, paper in ((0.1, 81.3), (0.15, 73.4), (0.2, 63.2)):
        if f"NGOpt, sigma = {sigma}" in figures:
            found = figures[f"NGOpt, sigma = {sigma}"]["accuracy"]
            rows.append((f"CW by NGOpt, sigma = {sigma}", found, paper))
            near = figures[f"NGOpt, sigma = {sigma}"][NEAR]
            rows.append((f"the same, only within a norm of 3, sigma = {sigma}", near, "none"))
    for name in ("resnet", "plain"):
        found = figures.get(f"{name}, Square with 500 queries")
        paper = {"resnet": 56.3, "plain": 59.3}[name]
        if found:
            label = f"{name}: Square, 500 queries, eps = 3"
            rows.append((label, found["Square, eps = 3"], paper))
    header = ("attack", "OTAD here, %", "paper, %")
    yield from _table("MNIST: accuracy under attack (tables I, II, III, XIII)", header, rows)
    if settings:
        yield _mnist_settings(figures, settings)
    rows = [
        (k, figures[f"K = {k}"]["OTAD"], ours, figures[f"K = {k}"]["KNN"], theirs)
        for k, ours, theirs in ((5, 96.3, 96.2), (10, 96.3, 95.0), (15, 96.0, 94.9))
        if f"K = {k}" in figures
    ]
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


def _mnist_settings(figures, settings):
    """Says what was trained and attacked, and where true gradients broke more."""
    text = (
        f"Trained for {settings['epochs']} epochs (test accuracy of the network itself: "
        f"{figures['backbone']['test accuracy']} %). Gradient attacks on {settings['points']} "
        f"test points, Square on {settings['square_points']}, NGOpt on "
        f"{settings['ngopt_points']}; the paper takes 1000."
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
    blind = [
        f"{square['accuracy']} % at eps = {eps:g}"
        for eps in (2.0, 3.0)
        if (square := figures.get(f"Square, eps = {eps}"))
        and square["accuracy"] < figures[f"gradient attacks, eps = {eps}"]["worst of these"]
    ]
    if blind:
        text += (
            f" Square, which sees no gradient, leaves {' and '.join(blind)}, less than all of them "
            "together: the gradients mislead there too, and the true accuracy is lower still."
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


def _gaussians():
    paper = {
        "0.1": (100.0, 100.0, 100.0, 0.0424),
        "0.2": (100.0, 99.44, 75.78, 0.1567),
        "0.3": (99.0, 78.69, 35.44, 0.4385),
        "0.4": (89.29, 70.52, 20.73, 0.4556),
        "0.5": (70.47, 55.42, 14.61, 0.4880),
        "0.6": (51.68, 48.28, 12.23, 0.5876),
    }
    names = ("network accuracy", "standard accuracy", "BPDA + PGD, eps = 1.0", "relative error")
    rows = []
    for label, found in _parts("otad/gaussians").items():
        theirs = paper[label.removeprefix("std = ")]
        pairs = [f"{found[name]} ({value})" for name, value in zip(names, theirs)]
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
        yield from _table("Single cells: PBMC 68k, not the paper's data", ("", "here"), rows)


def _cifar10():
    figures, settings = _parts("otad/cifar10"), _settings("otad/cifar10")
    paper = {
        "resnet": (88.4, 81.5, 33.0),
        "cnn": (60.0, "", 48.0),
        "transformer": (53.1, "", 32.8),
        "attention": (61.3, 54.4, MISSING),
    }
    rows = []
    for name, theirs in paper.items():
        found = figures.get(f"metric {name}")
        if found:
            keys = ("standard accuracy", "BPDA + PGD", "DML attack")
            pairs = [
                f"{found.get(key, '')} ({value})" if value else ""
                for key, value in zip(keys, theirs)
            ]
            votes = (found.get(f"neighbors' vote{of}", "") for of in ("", ", untrained"))
            rows.append((name, *pairs, found.get("AutoPGD, true gradient", ""), *votes))
    header = ("metric", "standard", "BPDA + PGD", "DML attack", "AutoPGD, true gradient")
    header += ("vote of 10 neighbors", "untrained")
    title = "CIFAR-10, eps = 0.5 (tables VI, VII; the paper's figure in brackets)"
    yield from _table(title, header, rows)
    paper = {"1.0": (62.2, 60.2), "0.5": (63.9, 37.8), "0.0": (59.3, 19.7)}
    rows = []
    for alpha, theirs in paper.items():
        found = figures.get(f"CIPNet, alpha = {alpha}")
        if found:
            keys = ("standard accuracy", "PGD")
            pairs = [f"{found['attention'][k]} ({v})" for k, v in zip(keys, theirs)]
            rows.append((alpha, *pairs, found["relative error of CIPNet"]))
    header = ("alpha", "standard", "PGD", "relative error of CIPNet")
    yield from _table("OTAD-T-NN on CIFAR-10 (table XI)", header, rows)
    if figures:
        yield (
            f"CIFAR-10 here: {settings['blocks']} blocks of width {settings['width']}, the paper's "
            f"network, {settings['epochs']} epochs of it and {settings['metric_epochs']} of each "
            f"metric; {settings['stored']} stored points; attacks on {settings['points']} points. "
            "The vote is that of the 10 nearest codes of all training images, beside that of the "
            f"metric before it was trained. {figures.get('network', {}).get('note', '')}"
        )


_SECTIONS = (_oracle, _throughput, _mnist, _wine, _gaussians, _cells, _cifar10)


if __name__ == "__main__":
    main()
