"""Choosing the size of a code, and looking at codes."""

import numpy as np

from lipot import checks, extras
from lipot.math.proportions import in_percent


def intrinsic_dimension(x, *, neighbors=10, samples=1000, seed=0):
    """Estimates the intrinsic dimension of data by maximum likelihood, to choose a code size.

    The estimator is that of the package `scikit-dimension`.

    Args:
        x: Data `(count, ...)`.
        neighbors: Number of nearest neighbors the likelihood is written for.
        samples: Number of examples to use, drawn at random.
        seed: Seed of the draw.

    Returns:
        The estimate, a float. The paper reports 13 for MNIST and 17 for CIFAR-10.

    Reference:
        Levina and Bickel, "Maximum likelihood estimation of intrinsic dimension", 2005;
        OT-Classifier, section 4.3.
    """
    try:
        from skdim.id import MLE
    except ImportError as error:
        raise ImportError("intrinsic_dimension needs: pip install scikit-dimension") from error
    checks.positive_int("neighbors", neighbors)
    x = np.asarray(x, "float64").reshape(len(x), -1)
    if len(x) <= neighbors:
        raise checks.refused("x", f"more than {neighbors} examples", str(len(x)))
    chosen = np.random.default_rng(seed).permutation(len(x))[:samples]
    return float(MLE(K=neighbors).fit(x[chosen]).dimension_)


def plot_codes(model, x, y, x_adv, *, seed=0):
    """Draws clean and adversarial codes side by side, in the plane of one t-SNE.

    A code whose example is classified wrongly is drawn as a triangle.

    Args:
        model: `lipot.OTClassifier`, or any model with `encoder` and `classifier`.
        x: Clean inputs.
        y: Integer labels.
        x_adv: Adversarial inputs, shaped like `x`.
        seed: Seed of t-SNE.

    Returns:
        A `matplotlib.figure.Figure`.

    Reference:
        OT-Classifier, figure 5.
    """
    with extras.named():
        from matplotlib.figure import Figure
        from sklearn.manifold import TSNE

    y = np.asarray(y)
    codes = [model.encoder.predict(inputs, verbose=0) for inputs in (x, x_adv)]
    plane = TSNE(random_state=seed, perplexity=min(30, len(y) - 1)).fit_transform(np.vstack(codes))
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    for panel, title, code, points in zip(
        panels, ("clean", "adversarial"), codes, np.split(plane, 2)
    ):
        right = model.classifier.predict(code, verbose=0).argmax(axis=1) == y
        for chosen, marker, label in ((right, ".", "right"), (~right, "v", "wrong")):
            dots = panel.scatter(
                *points[chosen].T,
                c=y[chosen],
                cmap="tab10",
                marker=marker,
                s=18,
                label=label,
                vmin=0,
                vmax=max(9, y.max()),
            )
        panel.set(
            title=f"{title} codes: {in_percent(right.mean(), 1)} % right", xticks=[], yticks=[]
        )
        panel.legend(loc="upper right")
    figure.colorbar(dots, ax=panels, label="class", shrink=0.8)
    return figure
