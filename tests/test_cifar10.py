"""The CIFAR-10 recipe: its network is 1-Lipschitz, and a killed training goes on."""

import dataclasses
import json

import keras
import numpy as np
import pytest

import lipot
from benchmarks.common import cifar10_batches, cifar10_certificate, cifar10_networks
from benchmarks.common.cifar10_batches import Batches, read_extra
from benchmarks.common.image_moves import moved
from benchmarks.common.norms import power_iteration
from benchmarks.measure.training import certified_cifar10, cifar10, timed_cifar10
from benchmarks.render import cifar10 as page
from lipot.datasets import Dataset

TINY = ["--width", "8", "--blocks", "1", "--dense-width", "16", "--dense-layers", "1"]


def images(count):
    generator = np.random.default_rng(0)
    x = generator.uniform(size=(count, 32, 32, 3)).astype("float32")
    return x, generator.integers(0, 10, count).astype("int32")


@pytest.fixture
def tiny_data(monkeypatch):
    data = Dataset(*images(48), *images(8), "cifar10", tuple("abcdefghij"), (0.0, 1.0))
    monkeypatch.setattr(lipot.datasets, "load", lambda name: data)


@pytest.mark.parametrize("trunk", cifar10.TRUNKS)
def test_all_but_the_last_layer_is_1_lipschitz(trunk):
    model = cifar10.network(trunk, width=8, blocks=1, dense_width=16, dense_layers=1)
    x, y = images(6)
    certificate = lipot.certify(model, x, y)
    assert 0.5 < certificate.lipschitz <= 1.0 + 1e-5
    features = keras.Model(model.inputs, model.layers[-2].output)
    steps = 1e-2 * np.random.default_rng(1).normal(size=x.shape).astype("float32")
    moved = np.linalg.norm(features.predict(x + steps) - features.predict(x), axis=1)
    assert np.all(moved <= 1.001 * np.linalg.norm(steps.reshape(6, -1), axis=1))


def test_a_linear_residual_block_starts_near_the_identity():
    block = cifar10.linear_residual(8, 100)
    x = np.random.default_rng(0).normal(size=(2, 16, 16, 8)).astype("float32")
    np.testing.assert_allclose(block(x), x, atol=0.2)


def test_killed_training_goes_on_at_the_right_epoch(tiny_data, tmp_path, monkeypatch):
    class Killed(Exception):
        pass

    options = cifar10.parse([*TINY, "--epochs", "3", "--batch-size", "16", "--warmup", "1"])
    begin, begun, deaths = cifar10.ByEpoch.on_epoch_begin, [], [2]

    def recorded(self, epoch, logs=None):
        if epoch in deaths:
            deaths.remove(epoch)
            raise Killed
        begin(self, epoch, logs)
        begun.append((epoch, float(self.loss.eps), int(self.model.optimizer.iterations)))

    monkeypatch.setattr(cifar10.ByEpoch, "on_epoch_begin", recorded)
    with pytest.raises(Killed):
        cifar10.train(options, tmp_path)
    cifar10.train(options, tmp_path)
    assert [(epoch, steps) for epoch, _, steps in begun] == [(0, 0), (1, 3), (2, 6)]
    assert [eps / options.eps for _, eps, _ in begun] == pytest.approx([2 / 3, 1.0, 1.0])
    written = {}
    monkeypatch.setattr(cifar10, "write_result", lambda name, figures, **_: written.update(figures))
    cifar10.certify(options, tmp_path)
    assert set(written["certified"]) == set(cifar10_certificate.RADII)
    assert written["lipschitz_constant_before_head"] <= 1.0 + 1e-5


@pytest.fixture
def own_policy():
    before = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(before)


@pytest.mark.parametrize("network", timed_cifar10.RECIPES)
def test_what_is_trained_for_a_time_is_certified(
    network, tiny_data, own_policy, tmp_path, monkeypatch, capsys
):
    small = {
        "pyramid": lambda: cifar10_networks.pyramid((8, 8, 8), 1, 8),
        "lipnext": lambda: cifar10_networks.lipnext_of_patches(8, 1),
    }
    recipe = dataclasses.replace(timed_cifar10.RECIPES[network], build=small[network])
    monkeypatch.setitem(timed_cifar10.RECIPES, network, recipe)
    monkeypatch.setattr(timed_cifar10, "RUNS", tmp_path)
    written = {}
    monkeypatch.setattr(
        timed_cifar10, "write_result", lambda name, figures, **_: written.update({name: figures})
    )
    for options in (["--minutes", "0.02", "--batch-size", "16", "--holdout", "8"], ["--certify"]):
        monkeypatch.setattr("sys.argv", ["timed_cifar10", network, *options])
        timed_cifar10.main()
    (found,) = written.values()
    assert list(written) == [f"{network}_cifar10"]
    assert found["lipschitz_constant_before_head"] <= 1.0 + 1e-5
    assert found["training"]["epochs"] == len(found["training"]["accuracy"])
    printed = capsys.readouterr().out
    (held_out,) = (json.loads(line) for line in printed.splitlines() if line.startswith("{"))
    assert 0.0 <= held_out["36/255"] <= held_out["clean"] <= 1.0


def test_settings_that_differ_are_refused(tmp_path):
    cifar10.check_settings(cifar10.parse(TINY), tmp_path)
    cifar10.check_settings(cifar10.parse([*TINY, "--points", "9"]), tmp_path)
    with pytest.raises(SystemExit, match="tau"):
        cifar10.check_settings(cifar10.parse([*TINY, "--tau", "9"]), tmp_path)


def test_the_order_depends_on_the_epoch_alone(monkeypatch):
    x, y = images(12)
    labels = np.eye(10, dtype="float32")[y]
    first, second = (Batches(x, labels, None, batch_size=4, seed=0) for _ in range(2))
    first.start(1)
    second.start(2)
    second.start(1)
    np.testing.assert_array_equal(first[2][0], second[2][0])
    first.start(3)
    assert np.any(first[2][0] != second[2][0])
    monkeypatch.setattr(cifar10_batches, "moved", lambda images, generator: images)
    seen = np.concatenate([first[i][0] for i in range(len(first))])
    np.testing.assert_array_equal(np.sort(seen.ravel()), np.sort(x.ravel()))


def test_images_are_crops_of_a_black_border_and_half_are_mirrored():
    x = 1.0 + images(40)[0]
    out = moved(x, np.random.default_rng(0))
    padded = np.pad(x, ((0, 0), (4, 4), (4, 4), (0, 0)))
    places = [(top, left) for top in range(9) for left in range(9)]
    found = []
    for image, around in zip(out, padded):
        crops = [around[top : top + 32, left : left + 32] for top, left in places]
        plain = [places[i] for i, crop in enumerate(crops) if np.array_equal(crop, image)]
        mirror = [places[i] for i, crop in enumerate(crops) if np.array_equal(crop[:, ::-1], image)]
        assert len(plain) + len(mirror) == 1
        found.append((*(plain + mirror)[0], bool(mirror)))
    tops, lefts, mirrored = zip(*found)
    assert {min(tops), max(tops), min(lefts), max(lefts)} == {0, 8}
    assert 10 < sum(mirrored) < 30


def test_no_layer_keeps_keras_from_compiling():
    model = cifar10.network(width=8, blocks=1, dense_width=16, dense_layers=1)
    assert all(layer.supports_jit for layer in model.layers)


def test_extra_images_fill_half_of_each_batch(tmp_path, monkeypatch):
    x, y = images(8)
    extra = (255 * x).astype("uint8")
    np.savez(tmp_path / "extra.npz", image=extra, label=y)
    pair = read_extra(tmp_path / "extra.npz")
    batches = Batches(x, np.eye(10, dtype="float32")[y], pair, batch_size=8, seed=0)
    drawn, labels = batches[0]
    assert len(batches) == 2 and drawn.shape == (8, 32, 32, 3) and drawn.dtype == np.float32
    monkeypatch.setattr(cifar10_batches, "moved", lambda images, generator: images)
    for image, label in zip(batches[0][0][4:], labels[4:]):
        (found,) = np.flatnonzero((np.float32(extra) / 255 == image).all(axis=(1, 2, 3)))
        assert label.argmax() == y[found]
    np.savez(tmp_path / "wrong.npz", image=x, label=y)
    with pytest.raises(ValueError, match="uint8"):
        read_extra(tmp_path / "wrong.npz")


def test_the_page_is_current():
    text = page.PAGE.read_text()
    assert text == page.rendered(), "Run python -m benchmarks.render.cifar10"


def test_a_stored_comparison_becomes_a_table():
    row = {
        "weights": 1234,
        "epochs": 2.04,
        "processor_minutes": 6.7,
        "clean": 0.5,
        "certified": {"36/255": 0.25, "72/255": 0.125, "108/255": 0.0},
        "claimed": {"36/255": 0.3},
        "norms_of_layers": [0.9, 1.02],
        "lipschitz_constant_before_head": 1.5,
    }
    runs = {"0": row, "3": {**row, "clean": 0.6, "norms_of_layers": [1.03]}}
    settings = {"minutes": 8.0, "images": 5, "points": 6, "note": "Mind."}
    record = {"figures": {"A": runs}, "settings": settings, "seed": [0, 3], "date": "today"}
    shown = page._comparison({**record, "environment": {"cores": 2}}).splitlines()
    cells = "A | 1,234 | 2.0 | 7 | 55.00 % | 25.00 % | 12.50 % | 0.00 % | 30.00 % | 1.0300 | 1.5000"
    assert shown[2] == f"| {cells} |"
    assert (
        shown[4].startswith("8 minutes of training each by the clock, on 2 cores")
        and "Mind." in shown[4]
    )
    assert "mean of seeds 0, 3" in shown[4]


@pytest.mark.parametrize("kind", certified_cifar10.ROWS)
def test_every_network_of_the_comparison_trains_and_is_certified(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x, labels = images(8)
    data = {"x_train": x, "y_train": np.eye(10)[labels], "x_test": x, "labels": labels}
    options = certified_cifar10.parse(["--minutes", "0.0001", "--batch-size", "8"])
    found = certified_cifar10.lipot_row(kind, data, 0, options)
    assert found["epochs"] == 1 and set(found["certified"]) == set(cifar10_certificate.RADII)
    assert found["lipschitz_constant_before_head"] <= 1.0 + 1e-6
    # Nothing here stretches, so what is claimed of the outputs is proven, and more.
    assert found["certified"]["36/255"] >= found["claimed"]["36/255"]


def test_measured_norms_of_convolutions_are_those_of_their_matrices():
    keras.utils.set_random_seed(0)
    convolution = lipot.layers.SpectralConv2D(4, 3, use_bias=False)
    model = keras.Sequential([keras.Input((5, 5, 2)), convolution])
    kernel = keras.ops.convert_to_numpy(convolution.inference_kernel)
    matrix = model.predict(np.eye(50).reshape(50, 5, 5, 2), verbose=0).reshape(50, -1)
    assert power_iteration(convolution, kernel.astype("float64")) == pytest.approx(
        np.linalg.norm(matrix, 2), rel=1e-5
    )
