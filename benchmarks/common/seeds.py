"""Figures of several seeds in one row."""

import numpy as np


def summary(runs, radii):
    """Mean and spread of clean accuracy, and of what is proven at each radius.

    Args:
        runs: Figures of each seed, a dict with `clean` and `certified`, a dict by radius.
        radii: Radii to read there.

    Returns:
        Dict by `clean` and radius, each with `mean`, `least` and `most`.
    """
    columns = {"clean": [run["clean"] for run in runs]}
    columns |= {str(r): [run["certified"][str(r)] for run in runs] for r in radii}
    return {
        name: {"mean": float(np.mean(values)), "least": min(values), "most": max(values)}
        for name, values in columns.items()
    }
