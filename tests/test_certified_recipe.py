"""The recipe that finds its settings: halving, journals, what is trained, and where it goes on."""

import json

import keras
import numpy as np
import pytest

from lipot import certify, datasets, layers, recipes
from lipot.recipes import certified
from lipot.recipes.certified_choices import ARCHITECTURES, LOSSES, Candidate, candidates
from lipot.recipes.halving import rung_sizes, successive_halving
from lipot.recipes.progress import Journal, claim, locked

CHOICES = [Candidate("dense", "margin", 3.0, 2e-3), Candidate("dense", "emma", 3.0, 1e-3)]


def few(count=120):
    data = datasets.load("digits")
    return data._replace(x_train=data.x_train[:count], y_train=data.y_train[:count])


def test_halving_by_hand():
    asked = []

    def score(rung, candidate):
        asked.append((rung, candidate))
        # The first rung is misled a little, the second is not.
        return candidate if rung else candidate + 2 * (candidate % 2)

    assert successive_halving([1, 2, 3, 4, 5, 6, 7, 8], score) == 8
    assert asked == [(0, c) for c in range(1, 9)] + [(1, 7), (1, 8)]
    assert rung_sizes(1) == [1] and rung_sizes(64) == [64, 16, 4, 2]


def test_of_equal_scores_the_earlier_candidate_is_kept():
    assert successive_halving(list("abcde"), lambda rung, candidate: 0.0) == "a"


def test_a_journal_forgets_the_line_that_a_kill_cut(tmp_path):
    file = tmp_path / "journal.jsonl"
    journal = Journal(file)
    for number in range(3):
        journal.add({"number": number})
    file.write_text(file.read_text()[:-4])
    again = Journal(file)
    assert again.lines == [{"number": 0}, {"number": 1}]
    again.add({"number": 5})
    assert [json.loads(line)["number"] for line in file.read_text().splitlines()] == [0, 1, 5]


def test_a_folder_belongs_to_one_training(tmp_path):
    settings = {"eps": 0.5, "choices": [("a", 1)]}
    claim(tmp_path / "kept", settings)
    claim(tmp_path / "kept", settings)
    with pytest.raises(ValueError, match=r"other eps \(eps there: 0.5; here: 1.0\)"):
        claim(tmp_path / "kept", {**settings, "eps": 1.0})


# Each architecture once, and each loss.
EACH = [("margin", name) for name in ARCHITECTURES] + [(name, "dense") for name in LOSSES]


@pytest.mark.parametrize(("loss", "architecture"), dict.fromkeys(EACH))
def test_every_candidate_builds_and_trains(loss, architecture):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 8, 8, 1)).astype("float32"), np.arange(40, dtype="int32") % 3
    data = datasets.Dataset(x, y, x, y, "random", ("a", "b", "c"))
    candidate = Candidate(architecture, loss, 3.0, 1e-3)
    assert candidate._replace(sharpness=6.0, learning_rate=2e-3) in candidates((8, 8, 1))
    trial = certified._Trial(data, candidate, eps=0.1, minutes=0.002)
    before = [weight.copy() for weight in trial.network.get_weights()]
    trial.compile_step(data, batch_size=40)
    moved = max(np.abs(a - b).max() for a, b in zip(before, trial.network.get_weights()))
    # Nothing but the rounding of a retraction.
    assert moved < 1e-5
    trial.fit(data, 40, [], verbose=0)
    assert 0.0 <= trial.score(x, y, 0.01) <= 1.0


def test_images_of_every_size_that_fits_have_their_architectures():
    assert {c.architecture for c in candidates((28, 28, 1))} == set(ARCHITECTURES)
    assert {c.architecture for c in candidates((7, 7, 1))} == {"dense"}
    assert candidates((5,), seed=1)[1:] != candidates((5,), seed=2)[1:]
    with pytest.raises(ValueError, match="Expected \\(features,\\)"):
        candidates((3, 4))


def test_what_diverged_scores_below_what_certifies_nothing():
    data = few()
    trial = certified._Trial(data, CHOICES[0], eps=0.5, minutes=0.01)
    head = trial.network.layers[-1]
    head.set_weights([np.full_like(weight, np.nan) for weight in head.get_weights()])
    assert trial.score(data.x_test, data.y_test, 0.5) == -1.0


def small(input_shape, units):
    """A network that compiles soon."""
    parts = [keras.layers.Flatten(), layers.SpectralDense(16), layers.FrobeniusDense(units)]
    return keras.Sequential([keras.Input(input_shape), *parts])


class Stopped(Exception):
    pass


class Clock:
    """Time that passes by a second each time somebody looks."""

    now = 0.0

    def monotonic(self):
        self.now += 1.0
        return self.now


def test_a_search_goes_on_after_its_last_trial_and_the_training_after_its_last_epoch(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("lipot.callbacks.time_budget.time", Clock())
    monkeypatch.setitem(ARCHITECTURES, "dense", ARCHITECTURES["dense"]._replace(build=small))
    data, scores, fits = few(), {"margin": 0.3, "emma": 0.6}, []
    real_fit = certified._Trial.fit

    def fit(trial, data, batch_size, more, verbose):
        fits.append((type(trial.model.loss).__name__, len(data.x_train)))
        if len(fits) == 2:
            raise Stopped
        real_fit(trial, data, batch_size, more, verbose)

    def score(trial, x, y, eps):
        assert (len(x), eps) == (20, 0.4)
        return scores["emma" if fits[-1][0] == "EMMA" else "margin"]

    monkeypatch.setattr(certified._Trial, "fit", fit)
    monkeypatch.setattr(certified._Trial, "score", score)

    def train(**more):
        return recipes.train_certified(
            data, eps=0.4, minutes=0.4, folder=tmp_path, choices=CHOICES, **more
        )

    with pytest.raises(Stopped):
        train()
    assert len((tmp_path / "trials.jsonl").read_text().splitlines()) == 1

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise Stopped

    with pytest.raises(Stopped):
        train(callbacks=[Stop()], verbose=2)
    shown = capsys.readouterr().out
    assert "Rung 1: dense, emma, sharpness 3, rate 0.001: 60.00 % certified" in shown
    assert [path.name for path in (tmp_path / "epochs").iterdir()] == ["epoch-2"]

    begun = []
    record = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: begun.append(epoch))
    model = train(callbacks=[record])
    assert begun[0] == 2
    # Searched on the points that are not held out, trained on all.
    names = ["MarginCategoricalCrossentropy", "EMMA", "EMMA", "EMMA", "EMMA"]
    assert fits == list(zip(names, [100, 100, 100, 120, 120]))
    assert model.output_shape == (None, 10)
    with pytest.raises(ValueError, match="other eps"):
        recipes.train_certified(data, eps=0.5, minutes=0.4, folder=tmp_path, choices=CHOICES)


def test_a_folder_of_other_points_or_in_use_is_refused(tmp_path, monkeypatch):
    def best(search, choices, minutes):
        raise Stopped

    monkeypatch.setattr(certified._Search, "best", best)
    data = few()

    def train(data):
        recipes.train_certified(data, eps=0.4, minutes=0.4, folder=tmp_path, choices=CHOICES)

    for _ in range(2):
        with pytest.raises(Stopped):
            train(data)
    # As many points, with other labels.
    with pytest.raises(ValueError, match="keeps a training with other data"):
        train(data._replace(y_train=data.y_train[::-1]))
    with locked(tmp_path), pytest.raises(ValueError, match="in use by a training that still runs"):
        train(data)


@pytest.mark.slow
def test_a_quarter_of_a_minute_certifies_digits(tmp_path):
    data = datasets.load("digits")
    model = recipes.train_certified(data, eps=0.4, minutes=0.25, choices=CHOICES[:1])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert certify(loaded, data.x_test, data.y_test).accuracy(0.4) > 0.5


def test_a_search_that_proves_nothing_says_so(monkeypatch):
    monkeypatch.setattr(certified._Trial, "score", lambda trial, x, y, eps: 0.0)
    choices = [recipes.Candidate("dense", "emma", 3.0, rate) for rate in (1e-3, 2e-3)]
    with pytest.warns(UserWarning, match="None of the 2 candidates proved anything at eps=50"):
        data = datasets.load("digits")
        recipes.train_certified(data, eps=50.0, minutes=0.02, choices=choices)
