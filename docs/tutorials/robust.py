# %% [markdown]
# # Is my model robust?
#
# You have a Keras classifier, and would like to know how far its inputs can be pushed before it gives
# a wrong answer. `lipot.evaluate` attacks it in many ways, counts for each point the worst of
# them, and sets beside it what can be proven. The model need not be lipot's.

# %%
import keras

import lipot

keras.utils.set_random_seed(0)
data = lipot.datasets.load("digits")
model = keras.Sequential(
    [
        keras.Input((8, 8, 1)),
        keras.layers.Conv2D(16, 3, activation="relu"),
        keras.layers.Flatten(),
        keras.layers.Dense(64, activation="relu"),
        keras.layers.Dense(10),
    ]
)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile("adam", loss, metrics=["accuracy"])
model.fit(data.x_train, data.y_train, epochs=15, verbose=0)
accuracy = model.evaluate(data.x_test, data.y_test, verbose=0)[1]
print(f"accuracy on clean images: {accuracy:.1%}")

# %% [markdown]
# ## One call
#
# `norm` says how a push is measured: `2` is the length of the change over all pixels, `"inf"` the
# largest change of one pixel. `eps` are the radii to try, in the units of the inputs. `"quick"`
# takes two attacks that follow gradients; `"standard"` takes nine and some minutes.

# %%
x, y = data.x_test[:100], data.y_test[:100]
report = lipot.evaluate(
    model, x, y, norm="inf", eps=[0.02, 0.05, 0.1], attacks="quick", progress=False
)
print(report.table("terminal"))

# %% [markdown]
# *Robust* is an upper bound: a stronger attack could break more. *Certified* is a lower bound: no
# attack can break those. For a network of ordinary layers the gap between the two is wide, since
# little can be proven of it. In brackets stands how sure a figure is from so many points.

# %%
axes = report.plot()

# %% [markdown]
# ## May I believe it?
#
# A model can look robust because attacks do not find their way, for example where its gradients
# vanish. Eight checks look for that; each says in a sentence what it saw.

# %%
for check in report.evaluations[0].sanity:
    print(f"{'passed' if check.passed else 'FAILED':7} {check.name}: {check.explanation}")

# %% [markdown]
# Here is how that looks when something is wrong. The model below answers the same, but its outputs
# are so large that the softmax saturates and passes no gradient on.

# %%
masked = keras.Sequential([model, keras.layers.Rescaling(1e4), keras.layers.Softmax()])
masked.build((None, 8, 8, 1))
second = lipot.evaluate(
    masked, x[:30], y[:30], norm="inf", eps=0.05, attacks=["pgd"], views=False, progress=False
)
for check in second.evaluations[0].sanity:
    if check.passed is False:
        print(f"FAILED  {check.name}: {check.explanation}")

# %% [markdown]
# ## Beside a network that is built to be robust
#
# The package brings a few trained networks. `digits-hkr` is 1-Lipschitz, and was trained on the
# same images with the hinge-Kantorovich–Rubinstein loss (hinge-KR).

# %%
robust = lipot.models.from_preset("digits-hkr")
both = lipot.compare(
    {"stock Keras": model, "digits-hkr": robust},
    x,
    y,
    norm=2,
    eps=[0.25, 0.5, 1.0],
    attacks="quick",
    sanity=False,
    views=False,
    progress=False,
)
print(both.table("terminal"))
axes = both.plot()

# %% [markdown]
# ## Keep it
#
# The report becomes one page with curves, examples and verdicts, which needs no network to be read,
# or a table for a paper.

# %%
print(report.save_html("report.html"))
print(report.table("latex"))

# %% [markdown]
# ## Where to go from here
#
# - [How robust is it?](../evaluate.md) names every attack and check.
# - [Adversarial training with transport](adversarial_training.md) makes a network harder to break.
# - [Certified MNIST in ten minutes](certified_mnist.md) makes one of which something is proven.
