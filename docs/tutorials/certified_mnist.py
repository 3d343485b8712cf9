# %% [markdown]
# # Certified MNIST in ten minutes
#
# A classifier of handwritten digits that comes with a proof: for every image a distance up to which
# no change, however clever, gives another answer. Ten minutes to read and run; half a minute of it
# is training.
#
# `pip install ".[tensorflow,evaluate]"` in the folder of the project brings all that is needed.
# Where MNIST cannot be fetched, the 8 x 8 digits of scikit-learn take its place.

# %%
import keras
import numpy as np

import lipot
from lipot import layers

keras.utils.set_random_seed(0)
try:
    data = lipot.datasets.load("mnist")
except OSError:
    data = lipot.datasets.load("digits")
print(data.name, data.x_train.shape, "values in", data.clip_values)

# %% [markdown]
# ## The network
#
# No layer may stretch a distance: then the whole network does not either, and an output can only
# change by as much as the image does. Such a network is called 1-Lipschitz. Convolution and dense
# layers keep orthonormal kernels. `GroupSort2` sorts pairs of values: it changes their order and nothing
# else, so lengths stay as they are, and gradients too. ReLU would set half of the values to zero.

# %%
shape = data.x_train.shape[1:]
model = keras.Sequential(
    [
        keras.Input(shape),
        layers.OrthogonalConv2D(8, 4, strides=2),
        layers.GroupSort2(),
        keras.layers.Flatten(),
        layers.SpectralDense(128),
        layers.GroupSort2(),
        layers.SpectralDense(128),
        layers.GroupSort2(),
        layers.FrobeniusDense(10, disjoint_neurons=True),
    ]
)
model.summary()

# %% [markdown]
# ## Training
#
# The loss asks for more than the right answer: it wants the right answer to lead by a margin, since
# a lead is what the proof is made of. `radius` is how far the proof should reach, in l2, the length
# of the change over all pixels. `TimeBudget` lets the learning rate fall to zero within the time
# given. With `minutes = 10.0` the figures below get a good deal better.

# %%
radius = 1.0 if data.name == "mnist" else 0.4
minutes = 0.4
loss = lipot.losses.MarginCategoricalCrossentropy(tau=6 / radius, min_margin=np.sqrt(2.0) * radius)
model.compile(keras.optimizers.Adam(2e-3), loss, metrics=["accuracy"])
budget = lipot.callbacks.TimeBudget(minutes)
history = model.fit(
    data.x_train,
    data.y_train_onehot,
    batch_size=128,
    epochs=1000,
    callbacks=[budget],
    verbose=0,
)
print(f"{len(history.epoch)} epochs, accuracy in training {history.history['accuracy'][-1]:.1%}")

# %% [markdown]
# ## The proof
#
# `lipot.certify` reads the constant of each layer from its weights, in float64 and with rounding
# counted, and turns the lead of each answer into a radius. Nothing is sampled, nothing is attacked.

# %%
x, y = data.x_test[:1000], data.y_test[:1000]
certificate = lipot.certify(model, x, y)
print(certificate.summary())

# %%
axes = certificate.plot()

# %% [markdown]
# At every radius the curve says which share of the test images is classified rightly and provably
# stays so.
#
# ## Does it hold?
#
# A proof may be put to the test. The attack below follows the gradient for 40 steps and may move
# each image as far as was proven for it. It changes no answer.

# %%
proven = certificate.radius > 0
images, reach = x[proven][:200], certificate.radius[proven][:200]
answers = certificate.predictions[proven][:200]
changed = 0
for level in np.quantile(reach, [0.0, 0.25, 0.5, 0.75]):
    attack = lipot.attacks.PGD(level, steps=40, norm=2, clip_min=0.0, clip_max=1.0, seed=0)
    inside = reach >= level
    moved = attack(model, images[inside], answers[inside])
    changed += int(np.sum(np.argmax(model.predict(moved, verbose=0), axis=1) != answers[inside]))
print("proven answers that the attack changed:", changed)
assert changed == 0

# %% [markdown]
# ## Keep it
#
# The file keeps layers and constraint, and `import lipot` is needed to load it. `lipot.to_keras`
# writes the same network in layers of Keras alone.

# %%
model.save("certified.keras")
again = keras.saving.load_model("certified.keras")
print("median radius after loading:", np.median(lipot.certify(again, x).radius).round(3))

# %% [markdown]
# ## Where to go from here
#
# - [Training for a certificate](../certified-training.md) tries losses and settings by itself, and takes the best.
# - [Certificates](../certificates.md) says exactly what is claimed.
# - [Is my model robust?](robust.md) asks the same of any Keras model.
