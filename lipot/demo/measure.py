"""What the demo measures on a trained network."""

from typing import Any, NamedTuple

import numpy as np
from art.attacks.evasion import ProjectedGradientDescent
from keras import ops

from lipot import backend
from lipot.interop import art


class DecisionMap(NamedTuple):
    """A function on a grid of the plane: `values[row, column]` at `(x[column], y[row])`."""

    x: Any
    y: Any
    values: Any


class Counterfactuals(NamedTuple):
    """Points moved across a decision: `moved` and the labels seen before and after."""

    moved: Any
    before: Any
    after: Any


def pgd(steps):
    """Projected gradient descent in l2, as a function of the target and the radius.

    It climbs the difference of logits ratio: on logits that differ by less than 1, as a 1-Lipschitz
    network's do, cross-entropy pulls towards all other classes at once instead of the nearest.
    """

    def attack(target, radius):
        return ProjectedGradientDescent(
            target.with_loss("difference_logits_ratio"),
            norm=2,
            eps=radius,
            eps_step=radius / 8,
            max_iter=steps,
            batch_size=512,
            verbose=False,
        )

    return attack


def autoattack(steps, queries):
    """AutoAttack in l2 with one restart, as a function of the target and the radius."""

    def attack(target, radius):
        return art.auto_attack(
            target, norm=2, eps=radius, max_iter=steps, restarts=1, queries=queries
        )

    return attack


def accuracy_under(attack, target, x, y, radii, *, advance):
    """Measures accuracy under attack at growing radii; a point lost at one is lost at the next.

    Args:
        attack: Function of a target and a radius that returns an ART attack.
        target: What `lipot.interop.art.classifier` returns.
        x: Inputs.
        y: Integer labels.
        radii: Increasing l2 radii; 0 gives the clean accuracy.
        advance: Called after each radius.

    Returns:
        Array of accuracies, one for each radius.
    """
    standing = np.argmax(target.predict(x), axis=1) == y
    accuracies = []
    for radius in radii:
        if radius > 0 and standing.any():
            moved = attack(target, radius).generate(x[standing], y[standing])
            standing[standing] = np.argmax(target.predict(moved), axis=1) == y[standing]
        accuracies.append(float(np.mean(standing)))
        advance()
    return np.array(accuracies)


def counterfactuals(model, x):
    r"""Moves points along the gradient to the class that is next: $x - 2 f(x) \nabla f(x)$.

    $f = (f_i - f_j) / |w_i - w_j|$ is the 1-Lipschitz function that decides between the predicted
    class $i$ and the runner-up $j$, where $w$ are the columns of the last kernel (hKR, section 5).

    Args:
        model: A 1-Lipschitz network that ends in a dense lipot layer.
        x: Inputs.

    Returns:
        `Counterfactuals`.
    """
    logits = np.asarray(model.predict(x, verbose=0))
    runner_up, before = np.argsort(logits, axis=1)[:, -2:].T
    kernel = np.asarray(ops.convert_to_numpy(model.layers[-1].inference_kernel))
    classes = np.eye(logits.shape[1], dtype="float32")
    rows = classes[before] - classes[runner_up]
    rows /= np.linalg.norm(rows @ kernel.T, axis=1, keepdims=True)

    def gradient(forward, points, rows):
        return backend.value_and_input_gradient(lambda z: ops.sum(forward(z) * rows), points)[1]

    slope = backend.compile_over(model, gradient)(
        ops.convert_to_tensor(x), ops.convert_to_tensor(rows)
    )
    decision = np.sum(logits * rows, axis=1).reshape(-1, *(1,) * (x.ndim - 1))
    moved = x - 2.0 * decision * ops.convert_to_numpy(slope)
    return Counterfactuals(moved, before, np.argmax(model.predict(moved, verbose=0), axis=1))


def decision_map(model, points, *, size=160, border=0.4):
    """Evaluates a function of the plane on a grid around some points.

    Args:
        model: A Keras model from `(n, 2)` to `(n, 1)`.
        points: The points, `(n, 2)`.
        size: Grid points on each axis.
        border: Distance between the points and the edge of the grid.

    Returns:
        `DecisionMap`.
    """
    low, high = points.min(axis=0) - border, points.max(axis=0) + border
    grid_x, grid_y = (np.linspace(low[i], high[i], size) for i in range(2))
    grid = np.stack(np.meshgrid(grid_x, grid_y), axis=-1).reshape(-1, 2).astype("float32")
    values = model.predict(grid, batch_size=4096, verbose=0)
    return DecisionMap(grid_x, grid_y, np.asarray(values).reshape(size, size))
