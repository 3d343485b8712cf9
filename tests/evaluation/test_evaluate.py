"""Evaluations whose outcome is known, and every input that must be refused."""

import types

import keras
import numpy as np
import pytest
from art.attacks.evasion import FastGradientMethod
from keras import ops

import lipot
from lipot.evaluation import STANDS, SUITES, WRONG, AttackSpec
from lipot.evaluation.attacks import suite
from tests.evaluation.cases import QUIET, STEP, linear

PIXELS = {**QUIET, "clip_values": (0, 255)}


def example(norm, points=40):
    """Points of two classes and their distances to the line between, in a norm."""
    rng = np.random.default_rng(0)
    kernel, bias = rng.normal(size=(5, 2)), [0.1, -0.1]
    x = rng.uniform(0.35, 0.65, (points, 5)).astype("float32")
    x[0] = 1.0, 0.0, 0.5, 0.5, 0.5
    slope = kernel[:, 0] - kernel[:, 1]
    bias[0] -= float(slope @ np.full(5, 0.5)) + 0.2
    gap = x @ slope + bias[0] - bias[1]
    # The dual norm turns a gap into a distance.
    distance = np.abs(gap) / (np.linalg.norm(slope) if norm == 2 else np.abs(slope).sum())
    return kernel, bias, x, (gap < 0).astype(int), distance


@pytest.mark.parametrize("norm", [2, "inf"])
def test_robust_accuracy_of_a_linear_model_is_the_true_one(norm):
    kernel, bias, x, y, distance = example(norm)
    y[3] = 1 - y[3]
    eps = [0.5 * distance[5], 0.05, 0.13]
    report = lipot.evaluate(linear(kernel, bias), x, y, norm, eps, ["fgsm", "pgd"], **QUIET)
    (evaluation,) = report.evaluations
    right = np.arange(len(x)) != 3
    assert evaluation.eps == tuple(sorted(eps))
    for size in evaluation.eps:
        assert np.array_equal(evaluation.broken_by[size] == STANDS, right & (distance > size))
        assert np.array_equal(evaluation.broken_by[size] == WRONG, ~right)
        assert evaluation.certified_accuracy(size) <= evaluation.robust_accuracy(size)
    if norm == 2:
        # Of two classes the certificate is exact.
        assert np.allclose(evaluation.certified_radius[right], distance[right], rtol=1e-3)


def test_scores_squashes_ranges_and_labels_change_nothing():
    kernel, bias, x, y, _ = example(2)
    settings = {"norm": 2, "attacks": ["pgd"], **QUIET}
    plain = lipot.evaluate(linear(kernel, bias), x, y, eps=[0.1, 0.2], **settings)
    robust = plain.table()["robust"].tolist()
    assert 0.0 < robust[1] < robust[0] < 1.0

    softmax = linear(kernel, bias, after=[keras.layers.Softmax()])
    one_hot = lipot.evaluate(softmax, x, np.eye(2)[y], eps=[0.1, 0.2], **settings)
    assert one_hot.table()["robust"].tolist() == robust
    assert one_hot.evaluations[0].settings["outputs"] == "probabilities"

    pixels = (255 * x).astype("float32")
    inside = linear(kernel, bias, keras.layers.Rescaling(1 / 255))
    scaled = lipot.evaluate(inside, pixels, y, eps=[25.5, 51.0], **{**settings, **PIXELS})
    assert scaled.table()["robust"].tolist() == robust
    assert scaled.evaluations[0].settings["data range"] == [0.0, 255.0]
    assert scaled.table()["certified"].tolist() == plain.table()["certified"].tolist()

    one_unit = linear(kernel[:, 1:] - kernel[:, :1], [bias[1] - bias[0]])
    signs = lipot.evaluate(one_unit, x, 2 * y - 1, eps=[0.1, 0.2], **settings)
    assert signs.table()["robust"].tolist() == robust


def test_a_stock_network_on_color_pixels_from_a_file(tmp_path):
    network = keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            keras.layers.Rescaling(1 / 127.5, offset=-1.0),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.5),
            keras.layers.Flatten(),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )
    network.save(tmp_path / "stock.keras")
    model = keras.saving.load_model(tmp_path / "stock.keras")
    x = np.random.default_rng(0).integers(0, 256, (8, 6, 6, 3), dtype="uint8")
    y = model.predict(x, verbose=0).argmax(axis=1)
    attacks = ["pgd", "deepfool", "simba"]
    quiet = {**QUIET, "clip_values": None}
    report = lipot.evaluate(model, x, y, "inf", [1.0, 60.0], attacks, **quiet)
    (evaluation,) = report.evaluations
    assert evaluation.settings["data range"] == [0.0, 255.0]
    assert evaluation.settings["outputs"] == "probabilities"
    assert evaluation.robust_accuracy(1.0) > 0.5 > evaluation.robust_accuracy(60.0)
    assert evaluation.certified_accuracy(1.0) is not None


@pytest.mark.slow
def test_every_attack_agrees_on_images():
    rng = np.random.default_rng(0)
    kernel, bias = rng.normal(size=(100, 3)), np.zeros(3)
    model = linear(kernel, bias)
    model = keras.Sequential([keras.Input((10, 10, 1)), keras.layers.Flatten(), model])
    x = rng.uniform(0.3, 0.7, (6, 10, 10, 1)).astype("float32")
    y = model.predict(x, verbose=0).argmax(axis=1)
    logits = x.reshape(6, -1) @ kernel
    gaps = [
        [
            (row[a] - row[b]) / np.linalg.norm(kernel[:, a] - kernel[:, b])
            for b in range(3)
            if b != a
        ]
        for row, a in zip(logits, y)
    ]
    distance = np.min(gaps, axis=1)
    x, y, distance = (values[distance > 0.05] for values in (x, y, distance))
    assert len(x) > 3
    # The upper one leaves room for the blind attacks, whose steps are long.
    eps = [0.5 * distance.min(), 8.0 * distance.max()]
    for name in SUITES["standard"]:
        report = lipot.evaluate(model, x, y, 2, eps, [name], **QUIET)
        assert report.table()["robust"][0] == 1.0, name
        least = 0.5 if name in ("square", "simba") else 0.0
        assert report.table()["robust"][1] <= least, name


def test_settings_of_any_kind_are_recorded():
    def still(target, norm, eps, **settings):
        return types.SimpleNamespace(generate=lambda x, y: x)

    settings = {"steps": np.int64(3), "sizes": np.array([0.5]), "order": np.inf, "loss": still}
    own = lipot.evaluation.AttackSpec("own", still, settings)
    sizes = {"seed": np.int64(1), "batch_size": np.int32(2)}
    report = lipot.evaluate(linear(*STEP), [[0.6, 0.0]], [0], 2, 0.2, [own], **QUIET, **sizes)
    kept = lipot.RobustnessReport.from_json(report.to_json()).evaluations[0].settings
    assert kept["seed"] == 1 and kept["batch size"] == 2
    recorded = kept["attacks"]["own"]
    assert (recorded["steps"], recorded["sizes"], recorded["order"]) == (3, [0.5], "inf")
    assert recorded["loss"].endswith("still")


def test_an_attack_of_ones_own():
    fast = AttackSpec(
        "own", lambda target, norm, eps: FastGradientMethod(target, norm=norm, eps=eps)
    )
    kernel, bias, x, y, distance = example(2)
    report = lipot.evaluate(linear(kernel, bias), x, y, 2, 0.1, [fast], **QUIET)
    assert report.evaluations[0].attacks == ("own",)
    assert report.table()["robust"][0] == np.mean(distance > 0.1)


def test_the_same_seed_gives_the_same_evaluation():
    rng = np.random.default_rng(0)
    x, y = rng.uniform(size=(12, 6)).astype("float32"), rng.integers(0, 3, 12)
    model = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(3)]
    )
    attacks = ["pgd", "hopskipjump"]
    state = np.random.get_state()[1].copy()
    first, second = (
        lipot.evaluate(model, x, y, "inf", [0.02, 0.1], attacks, batch_size=5, seed=3, **QUIET)
        for _ in range(2)
    )
    assert np.array_equal(np.random.get_state()[1], state)
    for eps, row in first.evaluations[0].broken_by.items():
        assert np.array_equal(row, second.evaluations[0].broken_by[eps])


def test_names_of_norms_and_a_single_attack_mean_what_they_say():
    kernel, bias, x, y, _ = example("inf", points=6)
    model, radius = linear(kernel, bias), 0.05

    def run(norm, attacks):
        (evaluation,) = lipot.evaluate(model, x, y, norm, radius, attacks, **QUIET).evaluations
        return evaluation.norm, evaluation.attacks, evaluation.broken_by[radius].tolist()

    for norm, names in ((2, ("l2", "L2", "2", 2.0)), ("inf", ("linf", "Linf", "INF", np.inf))):
        expected = run(norm, ["fgsm"])
        assert expected[:2] == (norm, ("fgsm",))
        assert all(run(name, "fgsm") == expected for name in names)
    compared = lipot.compare([model], x, y, "l2", radius, suite.ATTACKS["fgsm"], **QUIET)
    assert compared.evaluations[0].norm == 2 and compared.evaluations[0].attacks == ("fgsm",)


PAIR = [keras.Input((4,)), keras.Input((4,))]
TWO_INPUTS = keras.Model(PAIR, keras.layers.Dense(2)(keras.layers.Add()(PAIR)))
X, Y = np.linspace(0, 1, 24).reshape(6, 4).astype("float32"), np.arange(6) % 2
REFUSED = {
    "no model": ({"model": "net"}, "`model`. Expected a Keras model"),
    "not built": ({"model": keras.Sequential([keras.layers.Dense(2)])}, "Expected a built model"),
    "empty": ({"x": X[:0], "y": Y[:0]}, r"`x`. Expected at least one point"),
    "wrong shape": ({"x": X[:, :3]}, r"`x`. Expected .* shape \(points, 4.*shape \(6, 3\)"),
    "not finite": ({"x": np.where(X > 0.9, np.nan, X)}, "`x`. Expected finite numbers"),
    "stream": ({"x": iter(X)}, "`x`. Expected an array of points, all of one shape. Received: a "),
    "ragged": (
        {"x": [[0.1, 0.2], [0.3]]},
        r"`x`. Expected an array of points, all of one shape. Received: x=\[\[0.1",
    ),
    "text": ({"x": X.astype("U8")}, "`x`. Expected numbers"),
    "labels of another length": ({"y": Y[:5]}, r"`y`. Expected shape \(6,\) or \(6, 2\)"),
    "labels of another shape": ({"y": np.eye(3)[Y]}, r"`y`. Expected shape \(6,\) or \(6, 2\)"),
    "unknown class": ({"y": Y + 1}, "`y`. Expected class numbers from 0 to 1"),
    "outside": ({"x": X + 0.5, "clip_values": (0, 1)}, "`x`. Expected values between 0 and 1"),
    "unknown range": ({"clip_values": None}, "`clip_values`. Expected the least and the greatest"),
    "norm": ({"norm": 1}, r'`norm`. Expected 2 \(or "l2"\) or "inf"'),
    "eps": ({"eps": [0.1, -1]}, "`eps`. Expected a positive number"),
    "no eps": ({"eps": []}, "`eps`. Expected a positive number"),
    "suite": ({"attacks": "strong"}, "`attacks`. Expected one of"),
    "attack": ({"attacks": ["pgd", "magic"]}, "`attacks`. Expected .*names among.*'magic'"),
    "twice": ({"attacks": ["pgd", "pgd"]}, "`attacks`. Expected attacks of different names"),
    "does not fit": ({"attacks": ["simba"]}, "`attacks`.*It needs images"),
    "no attack": ({"attacks": [["pgd"]]}, "`attacks`. Expected .*names among"),
    "no seed": ({"seed": None}, "`seed`. Expected an integer from 0"),
    "seed": ({"seed": -1}, "`seed`. Expected an integer from 0"),
    "two inputs": ({"model": TWO_INPUTS}, "`model`. Expected a model of one input"),
    "batch": ({"batch_size": 0}, "`batch_size`. Expected a positive integer"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused(case):
    changed, message = REFUSED[case]
    model = linear(np.eye(4, 2), [0, 0])
    good = {"model": model, "x": X, "y": Y, "norm": 2, "eps": 0.1, "attacks": ["pgd"], **QUIET}
    with pytest.raises(ValueError, match=message):
        lipot.evaluate(**{**good, **changed})


def test_a_model_without_gradients_is_refused():
    cut = keras.layers.Lambda(keras.ops.stop_gradient)
    before = linear(np.eye(4, 2), [0, 0], cut)
    after = linear(np.eye(4, 2), [0, 0], after=[cut])
    for model in (before, after):
        with pytest.raises(ValueError, match="Expected input gradients.*zero at all of 6"):
            lipot.evaluate(model, X, Y, 2, 0.1, ["pgd"], **QUIET)
        # An attack that needs none can be run all the same.
        report = lipot.evaluate(model, X, Y, 2, 0.1, ["hopskipjump"], **QUIET)
        assert report.table()["robust"][0] <= report.table()["clean"][0]
    with pytest.raises(ValueError, match="no gradient with respect to inputs or weights"):
        lipot.evaluate(after, X, Y, 2, 0.1, ["pgd", "hopskipjump"], **QUIET)
    # Masked, and flagged as such, where only the inputs are cut off.
    lipot.evaluate(before, X, Y, 2, 0.1, ["pgd", "hopskipjump"], **QUIET)


def test_tiny_radii_on_pixels_are_questioned():
    model = linear(np.eye(4, 2), [0, 0], keras.layers.Rescaling(1 / 255))
    with pytest.warns(UserWarning, match="255: eps=0.0313725 is less than 0.001 of that"):
        lipot.evaluate(model, 255 * X, Y, "inf", 8 / 255, ["fgsm"], **PIXELS)


def test_radii_of_pixels_on_points_in_the_unit_cube_are_questioned():
    with pytest.warns(UserWarning, match="eps=8 is more than all of that"):
        lipot.evaluate(linear(np.eye(4, 2), [0, 0]), X, Y, "inf", 8, ["fgsm"], **QUIET)


def test_nothing_is_proven_of_one_output_that_decides_at_a_half():
    # A certificate is about its sign.
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.layers[0].set_weights([np.ones((1, 1)), np.zeros(1)])
    x, y = np.array([[0.51], [0.52], [0.49], [0.48]], "float32"), np.array([1, 1, 0, 0])
    report = lipot.evaluate(model, x, y, 2, [0.05], ["pgd"], outputs="probabilities", **QUIET)
    (evaluation,) = report.evaluations
    assert evaluation.clean_accuracy == 1.0 and evaluation.robust_accuracy(0.05) == 0.0
    assert evaluation.certified_radius is None
    assert "let the model end in a sigmoid" in evaluation.certificate_note


class _Undefined(keras.layers.Layer):
    """Two logits that are NaN where the first input is small."""

    def call(self, x):
        first = x[:, :1]
        defined = ops.where(first < 0.3, float("nan"), 1.0)
        return defined * ops.concatenate([first - 0.1, 0.1 - first], axis=-1)


@pytest.mark.parametrize("attack", ["fgsm", "apgd", "square"])
@pytest.mark.parametrize("label", [0, 1])
def test_an_output_that_is_no_number_is_not_the_right_class(attack, label):
    sign = keras.layers.Rescaling(1.0 if label == 0 else -1.0)
    model = keras.Sequential([keras.Input((2,)), _Undefined(), sign])
    x = np.random.default_rng(0).uniform(0.4, 0.6, size=(20, 2)).astype("float32")
    report = lipot.evaluate(model, x, np.full(20, label), 2, 0.45, [attack], **QUIET)
    assert report.evaluations[0].clean_accuracy == 1.0
    assert report.table()["robust"].tolist() == [0.0]


@pytest.mark.parametrize("scale", [1.0, 60.0, 1000.0])
def test_pgd_climbs_where_the_crossentropy_has_levelled_off(scale):
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(20, 3))
    model = linear(scale * kernel, -0.5 * scale * kernel.sum(axis=0))
    x = rng.uniform(0.3, 0.7, size=(30, 20)).astype("float32")
    y = model.predict(x, verbose=0).argmax(axis=1)
    report = lipot.evaluate(model, x, y, 2, 0.6, ["pgd"], **QUIET)
    assert report.table()["robust"].tolist() == [0.0]
