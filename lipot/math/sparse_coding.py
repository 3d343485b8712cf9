"""Convolutional sparse coding: the lasso over a dictionary of small images, by FISTA."""

import math
from typing import Any

import numpy as np
from keras import ops

# Squarings of the Gram matrix: its Frobenius norm then overstates by rank^(1/32) at most.
_SQUARINGS = 4


def synthesize(codes: Any, atoms: Any, strides: int) -> Any:
    """Adds up atoms where the codes say: `(batch, h, w, atoms) -> (batch, h s, w s, channels)`.

    An atom reaches `(size - strides) // 2` pixels over the upper and left edge of its place, as
    padding "same" has it.

    Args:
        codes: `(batch, h, w, atoms)`.
        atoms: `(size, size, channels, atoms)`.
        strides: Pixels from one place of an atom to the next.
    """
    return _pixels(_spread(codes, _turned(_block_atoms(atoms, strides))), strides)


def analyze(images: Any, atoms: Any, strides: int) -> Any:
    """The adjoint of `synthesize`: inner products with the atoms at every place."""
    return _gather(_blocks(images, strides), _block_atoms(atoms, strides))


def squared_norm_bound(atoms: Any, strides: int) -> Any:
    r"""Bounds $|D|^2$, the largest squared singular value of `synthesize`.

    A pixel lies in at most $o^2$ windows, $o = \lceil \text{size} / \text{strides} \rceil$, so
    $|D|^2 \le o^2 |G|$ with the Gram matrix $G$ of the atoms, and $|G| \le |G^{16}|_F^{1/16}$.

    Args:
        atoms: `(size, size, channels, atoms)`.
        strides: Pixels from one place of an atom to the next.

    Returns:
        Scalar tensor.
    """
    overlaps = math.ceil(atoms.shape[0] / strides) ** 2
    flat = ops.reshape(atoms, (-1, atoms.shape[-1]))
    wide = flat.shape[0] < flat.shape[1]
    gram = ops.matmul(flat, ops.transpose(flat)) if wide else ops.matmul(ops.transpose(flat), flat)
    log_bound, power = ops.zeros((), gram.dtype), 1.0
    for _ in range(_SQUARINGS):
        size = ops.maximum(ops.norm(gram), 1e-30)
        log_bound = log_bound + ops.log(size) / power
        gram, power = ops.matmul(gram / size, gram / size), 2.0 * power
    log_bound = log_bound + ops.log(ops.maximum(ops.norm(gram), 1e-30)) / power
    return overlaps * ops.exp(log_bound)


def sparse_codes(images: Any, atoms: Any, *, weight: float, strides: int, iterations: int) -> Any:
    r"""Solves the lasso by FISTA, from zero.

    $$ \min_z \; \tfrac12 |x - D z|^2 + \text{weight} \, |z|_1 $$

    Args:
        images: x, `(batch, height, width, channels)`, sides that `strides` divides.
        atoms: `(size, size, channels, atoms)`, what D places.
        weight: Non-negative float.
        strides: Pixels from one place of an atom to the next.
        iterations: Steps.

    Returns:
        z, `(batch, height / strides, width / strides, atoms)`.

    Reference:
        Beck and Teboulle, "A fast iterative shrinkage-thresholding algorithm", 2009, with
        constant step.
    """
    step = 1.0 / ops.maximum(squared_norm_bound(atoms, strides), 1e-12)
    blocks, atoms = _blocks(images, strides), _block_atoms(atoms, strides)
    turned = _turned(atoms)
    start = ops.zeros_like(_gather(blocks, atoms))

    def descend(_, state):
        codes, ahead, momentum = state
        residual = _spread(ahead, turned) - blocks
        moved = ahead - step * _gather(residual, atoms)
        # ops.soft_shrink takes a number known in advance; the step is a tensor.
        moved = moved - ops.clip(moved, -weight * step, weight * step)
        following = 0.5 * (1.0 + ops.sqrt(1.0 + 4.0 * momentum**2))
        return moved, moved + (momentum - 1.0) / following * (moved - codes), following

    momentum = ops.ones((), images.dtype)
    return ops.fori_loop(0, iterations, descend, (start, start, momentum))[0]


def objective(images: Any, codes: Any, atoms: Any, *, weight: float, strides: int) -> Any:
    """What `sparse_codes` minimizes, for each image, `(batch,)`."""
    residual = images - synthesize(codes, atoms, strides)
    squares = 0.5 * ops.sum(ops.square(residual), axis=(1, 2, 3))
    return squares + weight * ops.sum(ops.abs(codes), axis=(1, 2, 3))


# A transposed convolution with strides is slow on processors. With the pixels of a place as the
# channels of one block, both directions are convolutions without strides.


def _blocks(images, strides):
    """`(batch, h s, w s, channels) -> (batch, h, w, s s channels)`."""
    batch, height, width, channels = ops.shape(images)
    rows, columns = height // strides, width // strides
    split = ops.reshape(images, (batch, rows, strides, columns, strides, channels))
    joined = ops.transpose(split, (0, 1, 3, 2, 4, 5))
    return ops.reshape(joined, (batch, rows, columns, strides**2 * channels))


def _pixels(blocks, strides):
    """The inverse of `_blocks`."""
    batch, rows, columns, depth = ops.shape(blocks)
    channels = depth // strides**2
    split = ops.reshape(blocks, (batch, rows, columns, strides, strides, channels))
    joined = ops.transpose(split, (0, 1, 3, 2, 4, 5))
    return ops.reshape(joined, (batch, rows * strides, columns * strides, channels))


def _block_atoms(atoms, strides):
    """Atoms on blocks, `(places, places, strides**2 * channels, atoms)`, places odd."""
    size, _, channels, count = atoms.shape
    over = (size - strides) // 2
    reach = max(math.ceil(over / strides), math.ceil((size - over) / strides) - 1)
    places = 2 * reach + 1
    before = reach * strides - over
    pad = (before, places * strides - size - before)
    padded = ops.pad(atoms, (pad, pad, (0, 0), (0, 0)))
    split = ops.reshape(padded, (places, strides, places, strides, channels, count))
    joined = ops.transpose(split, (0, 2, 1, 3, 4, 5))
    return ops.reshape(joined, (places, places, strides**2 * channels, count))


def _gather(blocks, block_atoms):
    """`analyze` on blocks."""
    return ops.conv(blocks, block_atoms, padding="same", data_format="channels_last")


def _turned(block_atoms):
    """The kernel by which `_spread` convolves."""
    return ops.transpose(ops.flip(block_atoms, (0, 1)), (0, 1, 3, 2))


def _spread(codes, turned):
    """`synthesize` on blocks."""
    return ops.conv(codes, turned, padding="same", data_format="channels_last")


def cosine_atoms(size: int, channels: int, count: int) -> np.ndarray:
    """The first atoms of the discrete cosine transform of a window, low frequencies first.

    Args:
        size: Pixels along a side.
        channels: Channels of an image.
        count: How many atoms, `size**2 * channels` at most.

    Returns:
        Float32 array `(size, size, channels, count)` of orthonormal atoms.

    Example:

    >>> cosine_atoms(2, 1, 4)[..., 0, 0].tolist()
    [[0.5, 0.5], [0.5, 0.5]]
    """
    row, column, channel = (_cosines(length) for length in (size, size, channels))
    # (size, size, channels) of each triple of frequencies.
    atoms = np.einsum("ai,bj,ck->abcijk", row, column, channel)
    frequencies = np.indices((size, size, channels)).sum(axis=0).ravel()
    order = np.argsort(frequencies, kind="stable")[:count]
    return atoms.reshape(size, size, channels, -1)[..., order].astype("float32")


def _cosines(length):
    """Orthonormal columns of the DCT-II."""
    places, frequencies = np.arange(length)[:, None] + 0.5, np.arange(length)
    basis = np.cos(np.pi * places * frequencies / length)
    return basis / np.linalg.norm(basis, axis=0)
