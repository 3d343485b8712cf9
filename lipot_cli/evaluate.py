"""`lipot evaluate`: attacks on a saved model, and the page about them."""

import pathlib

from lipot_cli.options import (
    ATTACKS,
    RADII,
    RADII_HELP,
    SUITES,
    WORKERS_HELP,
    HelpFormatter,
    add_points,
    check_attacks,
    check_folder,
    check_output,
    check_range,
    finite_float,
    positive_float,
    positive_int,
    seed,
    workers,
)


def add_to(commands):
    """Adds the command."""
    command = commands.add_parser(
        "evaluate",
        help="attack a saved model and report how robust it is",
        description="Attacks a Keras classifier, yours or lipot's, and counts the points that "
        "every attack leaves standing; proves what can be proven; checks itself for masked "
        "gradients. Prints a table and writes a page.",
        epilog="An evaluation that was stopped goes on with the same --resume FOLDER and options.",
        formatter_class=HelpFormatter,
    )
    add_points(command, "as the model takes them")
    _add_how_to_attack(command.add_argument)
    _add_what_to_keep(command.add_argument)
    command.set_defaults(run=_run, how_to_go_on=_how_to_go_on)


def _add_how_to_attack(add):
    radii = f"radii of the attacks in the units of x, such as 0.5 or 8/255; {RADII_HELP}"
    add("--eps", type=positive_float, nargs="+", metavar="RADIUS", help=radii)
    add(
        "--attacks",
        nargs="+",
        default=["quick"],
        metavar="NAME",
        help=f"a suite: {', '.join(SUITES)}; or attacks among: {', '.join(ATTACKS)}",
    )
    add(
        "--range",
        type=finite_float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="least and greatest value of an input; if left out, recognized of images in [0, 1], "
        "and in [0, 255] where the model itself scales them",
    )
    add(
        "--outputs",
        choices=["auto", "logits", "probabilities"],
        default="auto",
        help="what the model returns; auto tells it by the values",
    )
    add("--batch-size", type=positive_int, default=256, metavar="N", help="points attacked at once")
    add("--seed", type=seed, default=0, metavar="N", help="seed of everything random")
    add("--no-sanity", action="store_true", help="leave out the checks for masked gradients")
    add(
        "--eot-samples",
        type=positive_int,
        metavar="N",
        help="draws of a random model whose mean decides and is attacked; if left out, 16 where "
        "the model answers differently when asked again, else 1",
    )
    add("--workers", type=workers, metavar="N", help=WORKERS_HELP)


def _add_what_to_keep(add):
    add("--out", default="report.html", metavar="FILE", help="where to write the page")
    add("--json", metavar="FILE", help="where to store the evaluation for `lipot report`")
    add(
        "--note",
        nargs=2,
        action="append",
        metavar=("NAME", "TEXT"),
        help="what a leaderboard shows of the model, such as: --note training '12 min on one "
        "GPU'; may be given several times",
    )
    add("--resume", metavar="FOLDER", help="where to keep what was found, to go on after a stop")


def _how_to_go_on(options):
    if options.resume:
        return f"The same command, with --resume {options.resume}, goes on from there."
    return "Nothing was kept; started with --resume FOLDER, it can go on where it is stopped."


def _run(options):
    check_output("--out", options.out, ".html")
    check_output("--json", options.json, ".json")
    if options.resume is not None:
        check_folder("--resume", options.resume)
    check_range(options.range)
    check_attacks(options.attacks)
    import numpy as np

    from lipot_cli.points import labels_hint, read_model, read_points

    points = read_points(options.data, options.limit)
    x = np.asarray(points.x, "float32")
    model = read_model(options.model, x)
    report = _evaluated(options, points, x, model)
    print(report.table("terminal"))
    (found,) = report.evaluations
    if hint := labels_hint(found.predictions, found.labels):
        print(hint)
    if options.json:
        report.to_json(options.json)
        print(f"Data: {options.json}")
    print(f"Page: {report.save_html(options.out)}")


def _evaluated(options, points, x, model):
    # The attacks take a while to import: errors of the arguments come before.
    from lipot import checks, evaluation

    return evaluation.evaluate(
        model,
        x,
        points.y,
        norm=options.norm,
        eps=options.eps or RADII[checks.norm("norm", options.norm)],
        attacks=options.attacks[0] if len(options.attacks) == 1 else options.attacks,
        name=pathlib.Path(options.model).stem.removeprefix("preset:"),
        clip_values=_clip_values(options, points, x, model),
        outputs=options.outputs,
        batch_size=options.batch_size,
        seed=options.seed,
        resume=options.resume,
        sanity=not options.no_sanity,
        notes={"data": pathlib.Path(options.data).name, **dict(options.note or ())},
        workers=options.workers,
        eot_samples=options.eot_samples,
    )


def _clip_values(options, points, x, model):
    """The range that was given, or that of the data set; `None` where it shows in the points."""
    import numpy as np

    from lipot.certificates.input_scale import input_scale
    from lipot.evaluation.run.ranges import UnknownRange, find_range
    from lipot_cli.points import range_option

    if options.range:
        return tuple(options.range)
    # What is wrong with no points, or with infinite ones, is said later.
    if points.clip_values is not None or x.size == 0 or not np.all(np.isfinite(x)):
        return points.clip_values
    try:
        find_range(x, scale=input_scale(model, x))
    except UnknownRange as error:
        raise ValueError(
            f"The range of the inputs of {options.data} is not known: {error.why}. Expected the "
            "least and the greatest value that an attack may use, such as "
            f"{range_option(x)}"
        ) from error
    return None
