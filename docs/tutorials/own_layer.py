# %% [markdown]
# # Bring your own layer
#
# lipot certifies a network from what each layer states about itself. This notebook writes a layer,
# states its bound, tests the statement, and sees what happens when it is missing or wrong.
#
# The layer is soft thresholding: every value moves towards 0 by a threshold, and no further
# than 0. It moves no two points further apart.

# %%
import keras
import numpy as np
from keras import ops

import lipot
from lipot.layers.base import LipschitzLayer
from lipot.math.rounding import LayerBound

keras.utils.set_random_seed(0)


# %%
@keras.saving.register_keras_serializable(package="tutorial")
class SoftThreshold(LipschitzLayer):
    """Moves every value towards 0 by `threshold`, and no further than 0."""

    def __init__(self, threshold=0.1, k_coef_lip=1.0, **kwargs):
        super().__init__(k_coef_lip=k_coef_lip, **kwargs)
        self.threshold = threshold

    def call(self, inputs):
        return self.k_coef_lip * ops.soft_shrink(inputs, self.threshold)

    def bound(self, input_shape, norm=2):
        # A difference, a scale and a product round, each of them of a value no larger than the input.
        return LayerBound(self.k_coef_lip, roundings=3, gain=max(1.0, self.k_coef_lip))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "threshold": self.threshold}


# %% [markdown]
# `bound` stands next to `call`, because it is about it: the Lipschitz constant, and how many roundings
# of values of which size stand between the formula and what a machine computes. A slope of 0 or 1
# stretches nothing in l2 nor in l-infinity, so the answer is the same for both norms.
#
# ## Test the statement
#
# A bound that is too large wastes radius; one that is too small is a false proof. The steepest
# direction at a point is the norm of the Jacobian there.

# %%
layer = SoftThreshold(0.3, k_coef_lip=0.5)
layer.build((None, 6))
points = np.random.default_rng(0).normal(size=(200, 6))
step, steepest = 1e-3, 0.0
for point in points:
    shifted = point + step * np.eye(6)
    jacobian = (layer(shifted) - layer(point[None])) / step
    steepest = max(steepest, np.linalg.norm(ops.convert_to_numpy(jacobian), 2))
print(f"steepest seen {steepest:.4f}, stated {layer.lipschitz_bound}")
assert steepest <= layer.lipschitz_bound * 1.001

# %% [markdown]
# ## Use it
#
# The layer goes wherever a layer goes; the certificate takes its word.

# %%
digits = lipot.datasets.load("digits")
model = keras.Sequential(
    [
        keras.Input((8, 8, 1)),
        keras.layers.Flatten(),
        lipot.layers.SpectralDense(64),
        SoftThreshold(0.02),
        lipot.layers.SpectralDense(64),
        lipot.layers.GroupSort2(),
        lipot.layers.FrobeniusDense(10, disjoint_neurons=True),
    ]
)
model.compile("adam", lipot.losses.MulticlassHKR(alpha=20, min_margin=0.6), metrics=["accuracy"])
model.fit(digits.x_train, digits.y_train_onehot, batch_size=64, epochs=10, verbose=0)
print(lipot.certify(model, digits.x_test, digits.y_test).summary())

# %% [markdown]
# It saves and loads as any other, since it is registered and has a `get_config`.

# %%
model.save("own.keras")
again = keras.saving.load_model("own.keras")
print(
    np.allclose(
        again.predict(digits.x_test[:5], verbose=0), model.predict(digits.x_test[:5], verbose=0)
    )
)

# %% [markdown]
# ## A layer that says nothing
#
# Of a layer without a bound nothing is assumed, least of all that it is 1.


# %%
class Silent(keras.layers.Layer):
    def call(self, inputs):
        return 3.0 * inputs

    def compute_output_shape(self, input_shape):
        return input_shape


silent = keras.Sequential([keras.Input((4,)), Silent(), lipot.layers.FrobeniusDense(2)])
try:
    lipot.lipschitz_constant(silent)
except ValueError as error:
    print(error)


# %% [markdown]
# ## A subclass that changes what is computed
#
# A bound is about one `call`. Where a subclass overrides it, the statement of its parent is refused
# until it makes its own.


# %%
class Steeper(SoftThreshold):
    def call(self, inputs):
        return 2.0 * super().call(inputs)


steeper = keras.Sequential([keras.Input((4,)), Steeper(), lipot.layers.FrobeniusDense(2)])
try:
    lipot.lipschitz_constant(steeper)
except ValueError as error:
    print(error)

# %% [markdown]
# ## Where to go from here
#
# - [How to add something](../how-to-add.md): layers with kernels, losses, attacks, views of a report.
# - [Certificates](../certificates.md): how bounds are put together over a graph.
