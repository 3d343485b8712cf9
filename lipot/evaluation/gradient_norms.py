"""How large the gradients of a classifier are: at its inputs, and in the weights of its layers."""

import math

import numpy as np
from keras import ops

from lipot import backend, checks
from lipot.attacks import PGD
from lipot.interop import art
from lipot.math.divergences import crossentropy, one_hot_labels
from lipot.models.weight_gradients import weight_gradients

_BATCH = 128


def input_gradient_norm(model, x, y):
    r"""Mean size of the derivative of the cross-entropy by a number of the input.

    $$\mathbb{E}\, \tfrac{1}{d} \|\nabla_x \ell(f(x), y)\|_1$$

    What an attack has to work with: of two classifiers with the same accuracy, the one with the
    smaller gradient gives the attacker less. A gradient that vanishes because logits are huge
    hides an attack and does not hinder it, so read it beside the accuracy.

    Args:
        model: Keras classifier of logits; a final softmax is taken off.
        x: Inputs `(n, ...)`.
        y: Class numbers `(n,)`.

    Returns:
        A float.

    Reference:
        OTJR (Le et al.), Tables 5 and 12, figure 3.

    Example:

    >>> import keras
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Identity()])
    >>> x = np.zeros((1, 2), "float32")   # the logits are the inputs: p - y = (-1/2, 1/2)
    >>> input_gradient_norm(model, x, np.array([0]))
    0.5
    """
    return _norm(_logits_model(model, x), x, y)


def input_gradient_norms(model, x, y, *, eps, steps=(1, 5, 10, 15, 20), step_size=None, **attack):
    """`input_gradient_norm` on clean inputs, and after some steps of PGD.

    Args:
        model: Keras classifier of logits; a final softmax is taken off.
        x: Inputs `(n, ...)`.
        y: Class numbers `(n,)`.
        eps: Radius of the attack.
        steps: Numbers of steps.
        step_size: Length of a step; a tenth of `eps` by default.
        **attack: Arguments of `lipot.attacks.PGD`.

    Returns:
        Dict from `"clean"` and `"PGD 1"` and so on to floats.

    Example:

    >>> import keras
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Identity()])
    >>> x = np.full((1, 2), 0.5, "float32")
    >>> found = input_gradient_norms(model, x, np.array([0]), eps=0.3, steps=[1, 10])
    >>> found["clean"] < found["PGD 1"] < found["PGD 10"]
    True
    """
    step_size = eps / 10.0 if step_size is None else step_size
    plain = _logits_model(model, x)
    found = {"clean": _norm(plain, x, y)}
    for count in steps:
        pgd = PGD(eps, step_size, checks.positive_int("steps", count), random_start=False, **attack)
        found[f"PGD {count}"] = _norm(plain, attacked(plain, x, y, pgd), y)
    return found


def attacked(model, x, y, attack):
    """What an attack of `lipot.attacks` makes of points, a batch at a time.

    Args:
        model: Keras classifier of logits.
        x: Inputs `(n, ...)`.
        y: Class numbers `(n,)`.
        attack: `lipot.attacks.Attack`.

    Returns:
        Array shaped like `x`.
    """

    def forward(inputs):
        return model(inputs, training=False)

    return np.concatenate(
        [ops.convert_to_numpy(attack(forward, x[rows], y[rows])) for rows in _rows(x)]
    )


def weight_gradient_ratios(model, x, x_adv, y):
    r"""For each layer, how much an attack enlarges the gradient of the loss by its weights.

    $$\mathbb{E}\, \|\nabla_{\theta_i} \ell(\tilde x)\| \,/\, \|\nabla_{\theta_i} \ell(x)\|$$

    over batches of 128. A network that learned from attacked inputs has small ratios.

    Args:
        model: Keras classifier of logits; a final softmax is taken off.
        x: Inputs `(n, ...)`.
        x_adv: What an attack made of them.
        y: Class numbers `(n,)`.

    Returns:
        Dict from the path of a trainable variable to a float, in the order of the model.

    Reference:
        OTJR (Le et al.), figures 4 and 6.

    Example:

    >>> import keras
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, use_bias=False)])
    >>> x, y = np.ones((4, 2), "float32"), np.zeros(4, int)
    >>> [round(ratio, 3) for ratio in weight_gradient_ratios(model, x, x, y).values()]
    [1.0]
    """
    model = _logits_model(model, x)
    ratios = []
    for rows in _rows(x):
        clean, attacked = (_weight_norms(model, inputs[rows], y[rows]) for inputs in (x, x_adv))
        ratios.append([_ratio(*pair) for pair in zip(attacked, clean)])
    paths = [variable.path for variable in model.trainable_variables]
    return dict(zip(paths, map(float, np.mean(ratios, axis=0))))


def _norm(model, x, y):
    norms = []
    for rows in _rows(x):
        labels = np.asarray(y[rows])

        def loss(inputs, labels=labels):
            return ops.sum(_losses(model(inputs, training=False), labels))

        _, gradient = backend.value_and_input_gradient(loss, ops.convert_to_tensor(x[rows]))
        gradient = ops.convert_to_numpy(gradient).reshape(len(labels), -1)
        norms.append(np.mean(np.abs(gradient), axis=1))
    return float(np.mean(np.concatenate(norms)))


def _weight_norms(model, x, y):
    x, labels = ops.convert_to_tensor(x), np.asarray(y)

    def loss(call):
        return ops.mean(_losses(call(model, x), labels)), ()

    found = weight_gradients([model], loss, training=False)
    return [float(ops.norm(ops.reshape(gradient, (-1,)))) for gradient in found.gradients]


def _ratio(attacked, clean):
    if clean > 0.0:
        return attacked / clean
    return 1.0 if attacked == 0.0 else math.inf


def _losses(logits, y):
    logits = ops.cast(logits, "float32")
    return crossentropy(one_hot_labels(y, logits.shape[-1]), logits)


def _logits_model(model, x):
    return art.classifier(model, input_shape=np.shape(x)[1:]).logits_model()


def _rows(x):
    return [slice(start, start + _BATCH) for start in range(0, len(x), _BATCH)]
