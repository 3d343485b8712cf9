"""The tables of docs/scale.md, each from the record of its command."""

from benchmarks.common import markdown_table


def streamed(record):
    """Memory and processor time of `certify` beside `predict`."""
    rows = []
    for count, found in record["figures"].items():
        predict, certify = found["predict"], found["certify"]
        rows.append(
            [
                f"{int(count):,}",
                *(_megabytes(row["peak_mb"]) for row in (predict, certify)),
                *(f"{row['cpu_s']:.1f} s" for row in (predict, certify)),
                f"{found['certify over predict, cpu']:.2f}",
            ]
        )
    header = ["images", "peak of `predict`", "of `certify`", "processor, `predict`"]
    table = markdown_table([*header, "`certify`", "ratio"], rows)
    before = next(iter(record["figures"].values()))["predict"]["peak_before_mb"]
    return (
        "Images of 28 x 28, each made when it was asked for, through a small convolutional "
        f"network. {_megabytes(before)} of each process are TensorFlow and the model; the ratio is "
        f"that of processor time.\n\n{table}"
    )


def millions(record):
    """OTAD by number of points, search and place."""
    rows, before = [], 0.0
    for name, found in record["figures"].items():
        if "from a memory map" in name:
            continue
        search, place, count = name.split(", ")
        before = found["before_mb"]
        rows.append(
            [
                f"{int(count):,}",
                f"`{search}`",
                place,
                f"{found['adapt_s']:.1f} s",
                f"{found['answer_s']:.2f} s",
                _megabytes(found["peak_mb"]),
                f"{found['recall']:.3f}" if "recall" in found else "1",
            ]
        )
    header = ["points", "search", "kept in", "adapt", "answer", "peak memory", "recall"]
    settings, wide = record["settings"], _mapped(record["figures"])
    return (
        f"Points of {settings['values']} values, {settings['neighbors']} neighbors; the time of an "
        f"answer is that of {settings['queries']} queries. {_megabytes(before)} of each process "
        f"are TensorFlow and the model.\n\n{markdown_table(header, rows)}\n\n{wide}"
    )


def _mapped(figures):
    """A sentence about the row that reads a memory map."""
    name, found = next((n, f) for n, f in figures.items() if "from a memory map" in n)
    count, width = (int(word) for word in name.split() if word.isdigit())
    adapt, answer = found["adapt"], found["answer"]
    return (
        f"{count:,} points of {width:,} values, {4e-9 * count * width:.1f} GB in a memory map: "
        f"adapted in {adapt['adapt_s']:.0f} s with a peak of {_megabytes(adapt['peak_mb'])}, "
        f"answered by another process in {answer['answer_s']:.1f} s with "
        f"{_megabytes(answer['peak_mb'])}, certified with {_megabytes(answer['peak_certify_mb'])}."
    )


def shared(record):
    """One evaluation by one process, by one and by two workers, and by two that are killed."""
    found, settings = record["figures"], record["settings"]
    rows = [
        [
            name,
            f"{run['seconds']:.0f} s",
            f"{1e3 * run['seconds a point']:.0f} ms",
            run["workers killed"],
        ]
        for name, run in found["runs"].items()
    ]
    same = "All four reports are equal" if all(found["equal"]) else "**The reports differ**"
    table = markdown_table(["by", "took", "a point", "killed"], rows)
    limit = found.get("two processes over one, arithmetic alone")
    machine = ""
    if limit:
        machine = f" Expect less: two processes of plain arithmetic gain {limit:.2f}x here."
    alone, two = (found["runs"][name]["seconds"] for name in ("no workers", "two workers"))
    return (
        f"{settings['points']} points of {settings['data']}, {' '.join(settings['attacks'])} "
        f"suite.\n\n{table}\n\n{same}. Two workers took {two:.0f} s, no workers {alone:.0f} s."
        f"{machine}"
    )


def plan(record):
    """What AutoAttack on a million images and a step of training cost, network by network."""
    figures, settings = record["figures"], record["settings"]
    attacks = next(iter(figures.values()))["core_hours_by_attack"]
    suite = markdown_table(
        ["network", "forward", "with gradient", *(f"`{name}`" for name in attacks), *_WORKERS],
        [
            [
                name,
                f"{found['forward_ms']:.2f} ms",
                f"{found['forward_and_gradient_ms']:.2f} ms",
                *(f"{hours:,.0f} h" for hours in found["core_hours_by_attack"].values()),
                *(f"{hours:,.0f} h" for hours in found["hours"].values()),
            ]
            for name, found in figures.items()
        ],
    )
    stand = ", ".join(
        f"{share:.0%} before `{name}`".replace("%", " %")
        for name, (_, _, share) in settings["suite"].items()
    )
    return (
        f"AutoAttack's standard suite on {settings['images']:,} images: processor time of a pass, "
        f"core hours by attack, and hours in all on 1, 8 and 64 workers of one core each, "
        f"simulated. The shares of points that still stand are assumed: {stand}."
        f"\n\n{suite}\n\nTraining, an image:\n\n{_training(figures, settings['methods'])}"
    )


def _training(figures, methods):
    """What an image costs in training by each method, network by network."""
    return markdown_table(
        ["network", "weights", "sent a step by each of 8 workers", *methods],
        [
            [
                name,
                f"{found['weights']:,}",
                f"{found['mb_a_step_for_each_of_8']:.1f} MB",
                *(
                    f"{found['core_ms_an_image_in_training'][method]:,.1f} ms, "
                    f"{found['mflop_an_image_in_training'][method] / 1e3:,.2f} GFLOP"
                    for method in methods
                ),
            ]
            for name, found in figures.items()
        ],
    )


_WORKERS = ("1 worker", "8", "64")


def _megabytes(number):
    return f"{number:,.0f} MB"
