"""Views of a model: what stands beside the numbers of an evaluation, as arrays and words."""

import warnings

import numpy as np

from lipot.evaluation.page.views.activations import Activations, activations
from lipot.evaluation.page.views.cross_sections import CrossSections, cross_sections
from lipot.evaluation.page.views.embedding import Embedding, embedding
from lipot.evaluation.page.views.gallery import Gallery, gallery
from lipot.evaluation.page.views.singular_values import SingularValues, singular_values
from lipot.evaluation.page.views.subject import Subject
from lipot.evaluation.record.per_class import PerClass, per_class
from lipot.evaluation.record.view import Absent, DoesNotApply, View
from lipot.interop import art

from_dict = View.from_dict

_MAKERS = {
    "gallery": gallery,
    "cross_sections": cross_sections,
    "singular_values": singular_values,
    "activations": activations,
    "embedding": embedding,
}


def compute(model, x, y, x_adv, *, eps, norm, clip_values=None, seed=0, target=None):
    """Makes every view of a model on some points.

    Args:
        model: Keras classifier.
        x: Clean inputs `(n, ...)`.
        y: Class numbers `(n,)`.
        x_adv: What an attack made of them, shaped like `x`.
        eps: Radius of the attack.
        norm: `"inf"` or 2.
        clip_values: Least and greatest value of an input, or `None`.
        seed: Seed of the random directions and of t-SNE.
        target: Estimator from `lipot.interop.art.classifier`, where there is one already.

    Returns:
        Dict from a name (`gallery`, `cross_sections`, `singular_values`, `activations`,
        `embedding`) to its `View`; where a view does not apply to the model, an `Absent` that
        says why.

    Example:

    >>> import keras
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(2)])
    >>> x = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
    >>> found = compute(model, x, np.array([0, 1] * 4), x + 0.1, eps=0.2, norm=2)
    >>> len(found["singular_values"].layers), found["gallery"].reason[:20]
    (2, 'There is no gallery:')
    """
    subject = _subject(model, x, y, x_adv, eps, norm, clip_values, seed, target)
    return {name: _made(maker, subject) for name, maker in _MAKERS.items()}


def _subject(model, x, y, x_adv, eps, norm, clip_values, seed, target):
    x, x_adv, y = np.asarray(x, "float32"), np.asarray(x_adv, "float32"), np.asarray(y)
    if x.shape != x_adv.shape or y.shape != (len(x),) or len(x) == 0:
        raise ValueError(
            "Invalid value received for argument `x_adv`. Expected inputs shaped like `x`, at "
            f"least one, and a class number for each. Received: shapes {x.shape}, {x_adv.shape} "
            f"and {y.shape}"
        )
    if target is None:
        with warnings.catch_warnings():
            # That a final softmax is taken off matters to no picture.
            warnings.simplefilter("ignore")
            target = art.classifier(model, clip_values=clip_values, input_shape=x.shape[1:])
    logits, logits_adv = target.predict(x), target.predict(x_adv)
    return Subject(model, target, x, y, x_adv, logits, logits_adv, eps, norm, clip_values, seed)


def _made(maker, subject):
    try:
        return maker(subject)
    except DoesNotApply as error:
        return Absent(str(error))
    except Exception as error:
        # Hours of attacks must not be lost to a picture of a model nobody foresaw.
        return Absent(f"It could not be made: {type(error).__name__}: {error}")
