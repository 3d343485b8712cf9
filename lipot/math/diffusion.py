"""Diffusion of images to noise and back, in discrete steps."""

from typing import Any, NamedTuple

import numpy as np
from keras import ops


class Schedule(NamedTuple):
    """How much noise each step adds.

    Attributes:
        noise: Variance that step t adds, `(steps,)`: beta_t.
        kept: Share of the variance of the image after step t, `(steps,)`: the product of all
            `1 - noise` up to t.
    """

    noise: np.ndarray
    kept: np.ndarray

    @property
    def kept_before(self) -> np.ndarray:
        """`kept` before each step, 1 before the first."""
        return np.concatenate([[1.0], self.kept[:-1]])


def linear_schedule(steps: int) -> Schedule:
    """Ho, Jain and Abbeel's schedule, shortened: 1000 steps from 1e-4 to 0.02.

    Fewer steps add proportionally more each, so that little of the image is left at the end.

    Args:
        steps: How many, 25 at least.

    Example:

    >>> [round(float(v), 4) for v in linear_schedule(1000).noise[[0, -1]]]
    [0.0001, 0.02]
    >>> bool(linear_schedule(50).kept[-1] < 1e-4)
    True
    """
    noise = np.linspace(1e-4, 0.02, steps) * 1000.0 / steps
    return Schedule(noise, np.cumprod(1.0 - noise))


def diffuse(images: Any, noise: Any, kept: Any) -> Any:
    r"""Draws $x_t$ given $x_0$: $\sqrt{\bar\alpha_t} \, x_0 + \sqrt{1 - \bar\alpha_t} \, n$."""
    return ops.sqrt(kept) * images + ops.sqrt(1.0 - kept) * noise


def denoised(diffused: Any, noise: Any, kept: Any) -> Any:
    """The image that `diffuse` started from, given the noise in what it made."""
    return (diffused - ops.sqrt(1.0 - kept) * noise) / ops.sqrt(kept)


class Posterior(NamedTuple):
    """Distribution of the state before a step, normal with the same variance everywhere.

    Attributes:
        mean: Shaped like the state.
        variance: Scalar.
    """

    mean: Any
    variance: Any


def posterior(images: Any, diffused: Any, *, noise: Any, kept: Any, kept_before: Any) -> Posterior:
    r"""Distribution of $x_{t-1}$ given $x_t$ and $x_0$.

    $$ \mu = \frac{\sqrt{\bar\alpha_{t-1}} \, \beta_t}{1 - \bar\alpha_t} x_0
       + \frac{\sqrt{1 - \beta_t} \, (1 - \bar\alpha_{t-1})}{1 - \bar\alpha_t} x_t, \quad
       \sigma^2 = \frac{1 - \bar\alpha_{t-1}}{1 - \bar\alpha_t} \beta_t $$

    Args:
        images: $x_0$.
        diffused: $x_t$.
        noise: $\beta_t$.
        kept: $\bar\alpha_t$.
        kept_before: $\bar\alpha_{t-1}$.

    Returns:
        `Posterior`.

    Reference:
        Ho, Jain and Abbeel, "Denoising diffusion probabilistic models", 2020, equations 6 and 7.
    """
    of_image = ops.sqrt(kept_before) * noise / (1.0 - kept)
    of_state = ops.sqrt(1.0 - noise) * (1.0 - kept_before) / (1.0 - kept)
    variance = noise * (1.0 - kept_before) / (1.0 - kept)
    return Posterior(of_image * images + of_state * diffused, variance)
