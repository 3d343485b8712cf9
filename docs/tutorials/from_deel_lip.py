# %% [markdown]
# # From deel-lip
#
# deel-lip's networks move to lipot by changing imports: names, arguments, their order and the
# conventions for labels are the same. This notebook moves a model, loads its trained weights, and shows
# what becomes possible.

# %%
import h5py
import keras
import numpy as np

import lipot
from lipot.layers import (
    FrobeniusDense,
    GroupSort2,
    ScaledL2NormPooling2D,
    SpectralConv2D,
    SpectralDense,
)
from lipot.losses import MulticlassHKR

keras.utils.set_random_seed(0)

# %% [markdown]
# ## The imports
#
# ```diff
# -from deel.lip.layers import SpectralConv2D, SpectralDense, FrobeniusDense, GroupSort2
# -from deel.lip.losses import MulticlassHKR
# -from deel.lip.model import Sequential
# +from lipot.layers import SpectralConv2D, SpectralDense, FrobeniusDense, GroupSort2
# +from lipot.losses import MulticlassHKR
# +from lipot import Sequential
# ```
#
# The rest is as it was, down to `k_coef_lip` and `multi_gpu`.

# %%
digits = lipot.datasets.load("digits")
model = lipot.Sequential(
    [
        keras.layers.Input(shape=(8, 8, 1)),
        SpectralConv2D(16, (3, 3), activation=GroupSort2(), use_bias=True),
        ScaledL2NormPooling2D(pool_size=(2, 2)),
        keras.layers.Flatten(),
        SpectralDense(32, activation=GroupSort2(), use_bias=True),
        FrobeniusDense(10, activation=None, use_bias=False, disjoint_neurons=True),
    ],
    k_coef_lip=1.0,
    name="hkr",
)
model.compile(
    keras.optimizers.Adam(5e-3), MulticlassHKR(alpha=20, min_margin=0.5), metrics=["accuracy"]
)
model.fit(digits.x_train, digits.y_train_onehot, batch_size=64, epochs=10, verbose=0)
print(f"accuracy: {model.evaluate(digits.x_test, digits.y_test_onehot, verbose=0)[1]:.1%}")

# %% [markdown]
# ## Weights that deel-lip trained
#
# `lipot.interop.deel_lip.load_weights` reads the `.h5`, `.weights.h5` and `.keras` files that deel-lip
# saved. Build the same network, then load. The file below is written by hand in the same layout: one
# dense layer, a kernel that deel-lip left near orthonormal, and a bias.

# %%
kernel = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0] * 1.0005
with h5py.File("deel.weights.h5", "w") as saved:
    for place, values in enumerate((kernel, np.zeros(4))):
        saved[f"layers/spectral_dense/vars/{place}"] = values

small = keras.Sequential([keras.Input((4,)), SpectralDense(4)])
lipot.interop.deel_lip.load_weights(small, "deel.weights.h5")
singular = np.linalg.svd(keras.ops.convert_to_numpy(small.layers[0].inference_kernel))[1]
print("singular values in the file:", np.linalg.svd(kernel)[1].round(5))
print("singular values in lipot:   ", singular.round(5))

# %% [markdown]
# lipot makes the kernel exactly orthonormal. For convolutions it divides by a proven bound of the
# norm, where deel-lip divides by an average: with `normalization="average"` both answer alike, and
# `lipschitz_bound` says what that costs.

# %%
for normalization in ("average", "operator"):
    layer = SpectralConv2D(16, 3, normalization=normalization)
    layer.build((None, 8, 8, 4))
    print(f"{normalization:9} {layer.lipschitz_bound:.4f}")

# %% [markdown]
# ## The constant is a number, and proofs follow
#
# deel-lip's `evaluate_lip_const` samples, and gives a bound from below. Here the bound is from above,
# for the ten outputs together; that of the features before the last layer stands below.

# %%
print("Lipschitz constant:", round(lipot.lipschitz_constant(model), 6))
certificate = lipot.certify(model, digits.x_test, digits.y_test)
print(certificate.summary())

# %% [markdown]
# ## Away from lipot
#
# `vanilla_export` is there as before. `lipot.to_keras` replaces activations and poolings too: the file
# loads where lipot is not installed.

# %%
plain = lipot.to_keras(model)
print([type(layer).__name__ for layer in plain.layers][:5])
gap = np.abs(
    plain.predict(digits.x_test, verbose=0) - model.predict(digits.x_test, verbose=0)
).max()
print(f"largest difference of outputs: {gap:.1e}")

# %% [markdown]
# ## Where to go from here
#
# - [Coming from deel-lip](../coming-from-deel-lip.md) lists what differs, name by name.
# - [What orthogonality costs](../speed.md) times both.
