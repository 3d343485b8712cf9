"""Small models whose views the tests know, and how they make them."""

from types import SimpleNamespace

import keras
import numpy as np

from lipot.evaluation.page import views
from lipot.evaluation.run.task import make_task

RNG = np.random.default_rng(0)


def views_of(model, x, y, x_adv, *, eps, norm=2, clip_values=(-10.0, 10.0), attacks=None):
    """Every view of a model on some points."""
    task = make_task(model, x, y, norm=norm, eps=eps, clip_values=clip_values)
    return views.compute(task, x_adv, attacks=attacks)


def linear(weights, **kwargs):
    """A model of one dense layer with given weights and no bias."""
    layer = keras.layers.Dense(weights.shape[1], use_bias=False, **kwargs)
    model = keras.Sequential([keras.Input((len(weights),)), layer])
    layer.set_weights([weights])
    return model


def image_model():
    return keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            keras.layers.Conv2D(3, 3, activation="relu", name="conv"),
            keras.layers.Flatten(),
            keras.layers.Dense(5, "relu", name="wide"),
            keras.layers.Dense(3, name="last"),
        ]
    )


def of_images():
    """Every view of a small network on images."""
    model = image_model()
    x = RNG.uniform(size=(40, 6, 6, 1)).astype("float32")
    y = model.predict(x, verbose=0).argmax(axis=1)
    x_adv = np.clip(x + RNG.normal(size=x.shape) * 0.2, 0.0, 1.0).astype("float32")
    found = views_of(model, x, y, x_adv, eps=0.5, norm=2, clip_values=(0.0, 1.0))
    return SimpleNamespace(model=model, x=x, y=y, x_adv=x_adv, views=found)
