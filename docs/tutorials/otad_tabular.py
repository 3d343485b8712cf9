# %% [markdown]
# # OTAD on tabular data
#
# Optimal-transport-induced adversarial defense (OTAD) trains a network, keeps its training points,
# and then answers a query with a smooth convex function that is fitted to the nearest of them. The
# answer can move only so fast as the query does. Here it classifies wines by 13 chemical
# measurements, the table that comes with scikit-learn.

# %%
import keras
import numpy as np
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split

import lipot

keras.utils.set_random_seed(0)
x, y = load_wine(return_X_y=True)
x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.3, random_state=0, stratify=y)
# Columns have units of their own: a distance means something once they are scaled.
mean, spread = x_train.mean(axis=0), x_train.std(axis=0)
x_train, x_test = (((part - mean) / spread).astype("float32") for part in (x_train, x_test))
print(x_train.shape, "points and columns,", len(set(y)), "wines")

# %% [markdown]
# ## The network behind it
#
# `transport_resnet` is a residual network, `x + R(x)` block after block, that is charged for how far
# it carries its input. Such a map is close to the slope of a convex function, which is what the
# defense will interpolate.

# %%
backbone = lipot.models.transport_resnet(13, blocks=2, weight=1e-2)
head = keras.Sequential([keras.Input((13,)), keras.layers.Dense(3)])
network = keras.Sequential([backbone, head])
network.compile(
    keras.optimizers.SGD(0.02, momentum=0.9),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
network.fit(x_train, y_train, batch_size=16, epochs=40, verbose=0)
print(f"network: {network.evaluate(x_test, y_test, verbose=0)[1]:.1%}")

# %% [markdown]
# ## From network to OTAD
#
# `adapt` stores the training points and their features. `neighbors` of them answer for a query;
# `smoothness` is how fast an answer may move, and `convexity` how fast it must.

# %%
otad = lipot.OTAD(backbone, head, neighbors=10, smoothness=2.0, convexity=0.0).adapt(x_train)
predicted = otad.predict(x_test, verbose=0).argmax(axis=1)
print(f"OTAD: {np.mean(predicted == y_test):.1%}")
print(f"its features differ from the network's by {otad.relative_error(x_test).mean():.1%}")

# %% [markdown]
# ## Attacked
#
# The answer of OTAD has a gradient, so it can be attacked like any network. Attacks measure in
# scaled columns: a radius of 1 is one standard deviation of one column. A table has no natural range
# as pixels have, so say how far it reaches.

# %%
every = np.concatenate([x_train, x_test])
low, high = float(every.min()), float(every.max())
report = lipot.compare(
    {"network": network, "OTAD": otad},
    x_test,
    y_test,
    norm=2,
    eps=[0.5, 1.0, 1.5],
    attacks=["pgd"],
    clip_values=(low, high),
    sanity=False,
    views=False,
    progress=False,
)
print(report.table("terminal"))

# %% [markdown]
# ## Proven
#
# While the same neighbors answer, the answer moves at most `smoothness` times as fast as the
# query. So the proven radius of a query is the smaller of two: how far it is until other neighbors
# answer, and how far until another class leads.

# %%
certificate = lipot.certify(otad, x_test, y_test)
print(certificate.summary())

# %% [markdown]
# The first of the two decides nearly everywhere: the tenth and the eleventh neighbor are at nearly the
# same distance. It is a proof of what holds nearby, not a robustness to boast of, and the table
# above is what an attack really needs.
#
# ## Where to go from here
#
# - [OTAD](../otad.md) has the equations, the exact solver, and how to attack it well.
# - [Certified MNIST in ten minutes](certified_mnist.md) trains a network with larger proven radii.
