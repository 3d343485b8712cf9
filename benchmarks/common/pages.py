"""What a page of measured results is made of."""

from pathlib import Path

from lipot.math.proportions import in_percent

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


def between_marks(text, body):
    """Replaces what stands between the marks of a page's measured results."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{body}\n{END}{rest.split(END)[1]}"


def markdown_table(header, rows):
    """A table in Markdown out of a row of titles and rows of values."""
    title, *lines = (f"| {' | '.join(map(str, row))} |" for row in (header, *rows))
    return "\n".join([title, f"|{'---|' * len(header)}", *lines])


def cores(record):
    """How many cores a result was made on, in words."""
    count = record["environment"]["cores"]
    return "one core" if count == 1 else f"{count} cores"


def on_processors(seeds):
    """Where the seeds of a row ran, in words for a cell: minutes of two machines do not compare.

    Args:
        seeds: Iterable of what `benchmarks.papers` stores for a seed.

    Example:

    >>> on_processors([{"machine": {"processor": "Intel(R) Xeon(R) Processor"}}, {}])
    ' on Intel Xeon'
    """
    stored = [made["machine"]["processor"] for made in seeds if "machine" in made]
    names = [name.replace("(R)", "").removesuffix(" Processor") for name in stored]
    return f" on {' and '.join(dict.fromkeys(names))}" if names else ""


def from_to(numbers):
    """The least and the largest of some numbers, rounded: `"40 to 146"`, one where they agree."""
    ends = dict.fromkeys(f"{end:.0f}" for end in (min(numbers), max(numbers)))
    return " to ".join(ends)


def percent(share):
    """A share in [0, 1] as a page shows it."""
    return f"{in_percent(share)} %"
