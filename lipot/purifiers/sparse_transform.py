"""Sparse transformation layer: an image becomes a sparse sum of small learned images."""

import keras
from keras import ops

from lipot import backend, checks
from lipot.math import sparse_coding
from lipot.math.scaling import at_least_float32
from lipot.purifiers.purifier import Purifier, check_images, shaped_like


@keras.saving.register_keras_serializable(package="lipot")
class SparseTransform(Purifier):
    r"""Replaces an image by what few atoms of a convolutional dictionary make of it (STL).

    $$ p(x) = D z, \quad z = \arg\min_z \tfrac12 |x - D z|^2 + \text{weight} \, |z|_1 $$

    The atoms start as those of a cosine transform and have length 1; without training it is
    shrinkage in a sliding DCT. `fit(x)` learns them: the gradient of the minimum with respect to
    D is that of the objective at the minimizer. It draws no random numbers.

    Args:
        atoms: Positive int, number of atoms, at most `size**2 * channels`; `None` for all of them.
        size: Positive int, pixels along the side of an atom.
        strides: Positive int, pixels from one place of an atom to the next, which must divide the
            sides of the images; `size` codes separate patches.
        weight: Non-negative float, factor of the l1 norm: larger ones leave less of the image and
            of a perturbation.
        iterations: Positive int, steps of the solver.
        **kwargs: Arguments of `keras.Model`.

    Input shape:
        Images in [0, 1], `(batch, height, width, channels)`.

    Output shape:
        That of the input.

    Lipschitz bound:
        None is stated: `lipot.certify` refuses it.

    Reference:
        Sun, Tsai, Liu, Yu and Su, "Adversarial defense by stratified convolutional sparse
        coding", 2019, in one layer and with an l1 penalty; a baseline of OTAD, tables I to VIII.

    Example:

    >>> import numpy as np
    >>> model = SparseTransform(size=4, strides=2, weight=0.05)
    >>> model.compile("adam")
    >>> x = np.random.default_rng(0).uniform(size=(8, 8, 8, 1)).astype("float32")
    >>> sorted(model.fit(x, verbose=0).history)
    ['loss']
    >>> model.predict(x, verbose=0).shape
    (8, 8, 8, 1)
    """

    def __init__(self, atoms=None, size=5, strides=1, weight=0.1, iterations=30, **kwargs):
        super().__init__(**kwargs)
        self.atoms = checks.optional(checks.positive_int, "atoms", atoms)
        self.size = checks.positive_int("size", size)
        self.strides = checks.positive_int("strides", strides)
        if self.strides > self.size:
            raise checks.invalid("strides", f"at most `size`, {self.size}", strides)
        self.weight = checks.nonnegative_float("weight", weight)
        self.iterations = checks.positive_int("iterations", iterations)
        self.supports_jit = backend.compiles_loops_well()

    def build(self, input_shape):
        check_images(input_shape)
        channels = input_shape[-1]
        self.input_spec = shaped_like((None, None, None, channels))
        most = self.size**2 * channels
        count = most if self.atoms is None else self.atoms
        if count > most:
            raise checks.invalid("atoms", f"at most size**2 * channels, {most}", self.atoms)
        if any(side is not None and side % self.strides for side in input_shape[1:3]):
            raise checks.refused(
                "inputs",
                f"sides that strides={self.strides} divides",
                f"shape {tuple(input_shape)}",
            )
        first = sparse_coding.cosine_atoms(self.size, channels, count)
        self.dictionary = self.add_weight(
            name="dictionary",
            shape=first.shape,
            initializer=lambda shape, dtype: ops.convert_to_tensor(first, dtype),
            autocast=False,
        )
        self.built = True

    def unit_atoms(self):
        """Returns the atoms, each of length 1, `(size, size, channels, atoms)`."""
        dictionary = at_least_float32(self.dictionary)
        squares = ops.sum(ops.square(dictionary), axis=(0, 1, 2), keepdims=True)
        return dictionary / ops.sqrt(ops.maximum(squares, 1e-12))

    def purify(self, inputs):
        # In half precision the solver ends a few hundredths away.
        atoms = self.unit_atoms()
        codes = self._codes(at_least_float32(inputs), atoms)
        return sparse_coding.synthesize(codes, atoms, self.strides)

    def purification_losses(self, x, y, training):
        # The sum over a large image is infinite in half precision.
        x, atoms = at_least_float32(x), self.unit_atoms()
        codes = ops.stop_gradient(self._codes(x, ops.stop_gradient(atoms)))
        how = {"weight": self.weight, "strides": self.strides}
        return sparse_coding.objective(x, codes, atoms, **how)

    def _codes(self, inputs, atoms):
        return sparse_coding.sparse_codes(
            inputs,
            atoms,
            weight=self.weight,
            strides=self.strides,
            iterations=self.iterations,
        )

    def get_config(self):
        return {
            **super().get_config(),
            "atoms": self.atoms,
            "size": self.size,
            "strides": self.strides,
            "weight": self.weight,
            "iterations": self.iterations,
        }
