# %% [markdown]
# # Adversarial training with transport
#
# Adversarial training shows a network the attacked copy of each batch. Transport losses add a term
# that compares the two batches as wholes: how far must the cloud of clean answers be carried to
# become the cloud of attacked ones? This notebook trains the same small network in three ways on the
# digits of scikit-learn and breaks all three.

# %%
import keras
import numpy as np

import lipot
from lipot import attacks, losses

data = lipot.datasets.load("digits")
eps = 0.1


def network():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(10),
        ]
    )


# %% [markdown]
# ## Plain training

# %%
plain = network()
plain.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
plain.fit(data.x_train, data.y_train, epochs=15, verbose=0)

# %% [markdown]
# ## Adversarial training
#
# `AdversarialModel` wraps a classifier and trains with the stock `fit`: an attack, here projected
# gradient descent (PGD) within an l-infinity radius of `eps`, and a list of losses over clean and
# attacked batches.


# %%
def adversarially(*terms):
    classifier = network()
    attack = attacks.PGD(eps, steps=5, clip_min=0.0, clip_max=1.0, seed=0)
    robust = lipot.AdversarialModel(classifier, attack, list(terms))
    robust.compile("adam")
    history = robust.fit(data.x_train, data.y_train, batch_size=64, epochs=15, verbose=0)
    print("loss:", [round(value, 2) for value in history.history["loss"][::5]])
    return classifier


adversarial = adversarially(losses.AdversarialCrossentropy())

# %% [markdown]
# ## With transport
#
# *Optimal transport meets optimal Jacobian regularization* (OTJR) adds two terms. The sliced
# Wasserstein distance projects both clouds of answers on random lines, where carrying one to the
# other is sorting. The second term makes the network flat in the direction in which the answers were
# carried. They share the random lines and the sorting.

# %%
transport = adversarially(
    losses.AdversarialCrossentropy(),
    losses.SlicedWasserstein(weight=1.0, projections=32),
    losses.OptimalJacobian(weight=0.002, projections=32),
)

# %% [markdown]
# The terms are ordinary objects, and any of them goes with any other: TRADES, MART, ALP, Sinkhorn
# divergences and the transport of GOT within each label are in `lipot.losses` as well.
#
# ## What sliced transport is, by hand
#
# On a line the cheapest way to carry one set of points to another keeps their order.

# %%
clean = np.array([[0.0], [1.0], [3.0]], "float32")
attacked = np.array([[2.0], [0.5], [5.0]], "float32")
lines = np.array([[1.0]], "float32")
found = lipot.math.transport.sliced_wasserstein(attacked, clean, lines)
by_hand = np.mean((np.sort(clean, axis=0) - np.sort(attacked, axis=0)) ** 2)
print("by hand", by_hand, "here", float(found.value))

# %% [markdown]
# ## Breaking them
#
# The attack of the evaluation is stronger than that of the training: more steps, more losses.

# %%
x, y = data.x_test[:150], data.y_test[:150]
report = lipot.compare(
    {"plain": plain, "adversarial": adversarial, "with transport": transport},
    x,
    y,
    norm="inf",
    eps=[0.05, 0.1, 0.15],
    attacks="quick",
    sanity=False,
    views=False,
    progress=False,
)
print(report.table("terminal"))
axes = report.plot()

# %% [markdown]
# At the largest radius attacks leave little of the plain network, and about half of the other two.
# Between those the difference is within the brackets, the 95 % confidence intervals: on so few points
# nothing more can be said.
# [Reproduction](../reproduction.md) has the papers' tables, at larger budgets, beside what came out here.
#
# ## Where to go from here
#
# - [Losses and attacks](../adversarial-training.md) lists what can be combined.
# - [OTJR](../otjr.md) and [GOT](../got.md) go through the equations.
# - [Is my model robust?](robust.md) says how to read the table.
