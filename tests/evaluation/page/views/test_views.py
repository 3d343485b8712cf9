"""The registry makes every view, keeps it in JSON, and loses none to another's failure."""

import json
import pathlib

import keras
import numpy as np
import pytest

from lipot import models
from lipot.evaluation.page import views
from lipot.evaluation.record.view import Absent, View
from tests.evaluation.page.views.cases import RNG, linear, views_of


def test_every_view_of_an_image_network_is_there(of_images):
    assert list(of_images.views) == list(views.VIEWS)
    assert not any(isinstance(view, Absent) for view in of_images.views.values())


def test_every_file_of_a_view_is_in_the_registry():
    folder = pathlib.Path(views.__file__).parent
    written = {file.stem for file in folder.glob("*.py") if "\nSPEC = " in file.read_text()}
    assert written == set(views._FILES) and len(views.VIEWS) == len(written)


def test_views_survive_json(of_images):
    for view in of_images.views.values():
        record = view.to_dict()
        restored = View.from_dict(json.loads(json.dumps(record, allow_nan=False)))
        assert type(restored) is type(view)
        assert restored.to_dict() == record
        for name, value in vars(view).items():
            if isinstance(value, np.ndarray):
                np.testing.assert_array_equal(getattr(restored, name), value)
                assert getattr(restored, name).dtype == value.dtype


def test_an_unknown_record_is_named():
    with pytest.raises(ValueError, match="Received: view='Painting'"):
        View.from_dict({"view": "Painting"})


def test_vectors_have_no_gallery_and_opaque_models_no_features():
    backbone = keras.Sequential([keras.Input((3,)), keras.layers.Rescaling(2.0)])
    x = RNG.normal(size=(20, 3)).astype("float32")
    model = models.OTAD(backbone, keras.layers.Dense(2), neighbors=5).adapt(x)
    found = views_of(model, x, np.zeros(20, int), x + 0.1, eps=0.2, norm=2)
    assert "(3,)" in found["gallery"].reason
    assert "OTAD shows no graph" in found["activations"].reason
    assert found["embedding"].clean.shape == (20, 2)
    assert found["cross_sections"].classes.shape[0] == 4


def test_a_picture_that_fails_says_so(monkeypatch):
    def broken(subject):
        raise ZeroDivisionError("by nothing")

    monkeypatch.setitem(views.VIEWS, "gallery", views.VIEWS["gallery"]._replace(compute=broken))
    x = np.ones((2, 4), "float32")
    found = views_of(linear(np.eye(4, 2)), x, np.zeros(2, int), x, eps=0.3, norm=2)
    assert found["gallery"].reason.endswith("ZeroDivisionError: by nothing")


def test_points_and_attacked_points_must_fit():
    with pytest.raises(ValueError, match="`x_adv`.*shaped like the points"):
        views_of(linear(np.eye(4, 2)), np.ones((2, 4)), [0, 1], np.ones((2, 3)), eps=1, norm=2)
