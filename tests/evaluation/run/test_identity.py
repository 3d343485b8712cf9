"""What changes a model or an attack changes how they are told; what changes neither does not."""

import functools
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

import lipot
from lipot.evaluation import AttackSpec
from lipot.evaluation.run.identity import attack_told, model_digest


def _compiled(source):
    names = {"__name__": "own", "keras": keras, "np": np}
    exec(source, names)
    return names["made"]


def _layer(body):
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return _compiled(f"class made(keras.layers.Layer):\n{lines}")


def _around(layer):
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((2,)), layer, keras.layers.Dense(2)])


class Shifted(keras.layers.Layer):
    """Tells nothing of what it holds."""

    def __init__(self, shift, factor=1.0):
        super().__init__()
        self.shift, self.factor = np.asarray(shift, "float32"), factor

    def call(self, x):
        return self.factor * (x - keras.ops.convert_to_tensor(self.shift))


class Whole(keras.Model):
    def __init__(self, shift):
        super().__init__()
        self.shift = shift
        self.dense = keras.layers.Dense(2, kernel_initializer="ones")

    def build(self, input_shape):
        self.dense.build(input_shape)
        self.built = True

    def call(self, x):
        return self.dense(x - self.shift)


def _whole(shift):
    model = Whole(shift)
    model.build((None, 2))
    return model


def _changed(factor):
    # As a loop over temperatures would: the configuration that Keras made stays the same.
    layer = _layer("def __init__(self, t=1.0):\n  super().__init__(); self.t = t\n"
                   "def call(self, x):\n  return x * self.t")()  # fmt: skip
    layer.t = factor
    return layer


MODELS = {
    "code of a call": lambda i: _around(_layer(f"def call(self, x):\n  return x * {i}.0")()),
    "number of a class": lambda i: _around(
        _layer(f"factor = {i}.0\ndef call(self, x):\n  return x * self.factor")()
    ),
    "function of a layer": lambda i: _around(
        keras.layers.Lambda(_compiled(f"def made(x):\n  return x * {i}.0"))
    ),
    "activation": lambda i: _around(
        keras.layers.Activation(_compiled(f"def made(x):\n  return x * {i}.0"))
    ),
    "array of a layer": lambda i: _around(Shifted([0.0, i])),
    "changed number": lambda i: _around(_changed(float(i))),
    "array of a model": lambda i: _whole(np.array([0.0, i], "float32")),
    "tensor of a model": lambda i: _whole(keras.ops.array([0.0, i])),
}


@pytest.mark.parametrize("name", MODELS)
def test_own_layers_are_told_by_their_code_and_what_it_names(name):
    one, again, other = (model_digest(MODELS[name](i)) for i in (1, 1, 2))
    assert one == again
    assert one != other


def test_points_in_files_are_told_by_what_they_are(tmp_path):
    def otad(points, folder, batch_size=256):
        backbone = keras.Sequential([keras.Input((2,)), keras.layers.Rescaling(2.0)])
        head = keras.layers.Dense(2, kernel_initializer="ones")
        model = lipot.OTAD(backbone, head, neighbors=2)
        return model.adapt(points, folder=tmp_path / folder, batch_size=batch_size)

    points = np.array([[0.0, 0.0], [1.0, 1.0], [0.25, 0.25], [0.75, 0.75]], "float32")
    # Mirrored, they have the same mean, the only weight that is left of them.
    mirrored = np.stack([points[:, 0], 1.0 - points[:, 1]], axis=1)
    one = model_digest(otad(points, "one"))
    assert one == model_digest(otad(points, "again", batch_size=3))
    assert one != model_digest(otad(mirrored, "mirrored"))


def test_compiling_and_names_make_no_other_model():
    model = _whole(1.0)
    before = model_digest(model)
    model.compile("adam", "mse")
    assert model_digest(model) == before

    def named():
        return _around(
            _layer("def call(self, x):\n  return keras.ops.copy(x) if self.name else x")()
        )

    assert model_digest(named()) == model_digest(named())


def _with_default(number):
    def build(target, norm, eps, *, steps=number):
        return steps

    return build


def _closed_over(number):
    def build(target, norm, eps):
        return number

    return build


def _by_steps(target, norm, eps, steps):
    return steps


class Builder:
    def __init__(self, number):
        self.number = number

    def __call__(self, target, norm, eps):
        return self.number

    def build(self, target, norm, eps):
        return self.number


ATTACKS = {
    "default": _with_default,
    "enclosed number": _closed_over,
    "partial": lambda i: functools.partial(_by_steps, steps=i),
    "object": Builder,
    "method": lambda i: Builder(i).build,
    "class": lambda i: _compiled(
        f"class made:\n  def __init__(self, *given):\n    self.size = {i}\n"
        "  def generate(self, x, y):\n    return x + self.size"
    ),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_are_told_by_what_they_hold(name):
    one, again, other = (
        json.dumps(attack_told(AttackSpec("own", ATTACKS[name](i)))) for i in (1, 1, 2)
    )
    assert one == again
    assert one != other


def test_a_list_that_an_attack_fills_makes_no_other_attack():
    calls = []

    def build(target, norm, eps):
        calls.append(eps)

    before = attack_told(AttackSpec("own", build))
    build(None, 2, 0.1)
    assert attack_told(AttackSpec("own", build)) == before


def test_functions_and_arrays_of_settings_are_told():
    def told(value):
        return json.dumps(attack_told(AttackSpec("own", _by_steps, {"of": value})))

    assert told(_closed_over(1)) == told(_closed_over(1)) != told(_closed_over(2))
    assert told(np.arange(3)) == told(np.arange(3)) != told(np.ones(3))


@pytest.mark.slow
def test_another_process_tells_a_set_in_the_code_alike():
    code = (
        "from lipot.evaluation.run.identity import _function\n"
        "def build(target, norm, eps): return norm in {'inf', 'one', 'two', 'four'}\n"
        "print(_function(build))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE, text=True, check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }  # fmt: skip
    assert len(found) == 1
