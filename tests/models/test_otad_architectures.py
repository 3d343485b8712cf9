"""The architectures of OTAD: shapes, serialization, and that they are what they say."""

import keras
import numpy as np
import pytest

from lipot.layers import PatchEmbedding, SelfAttention
from lipot.models import (
    OTAD,
    metric_attention,
    metric_cnn,
    metric_resnet,
    metric_transformer,
    plain_network,
    transport_resnet,
    transport_transformer,
)
from tests.helpers import check_layer, to_numpy


def same_after_saving(model, x, path):
    model.save(path / "model.keras")
    loaded = keras.saving.load_model(path / "model.keras", safe_mode=True)
    np.testing.assert_allclose(to_numpy(loaded(x)), to_numpy(model(x)), atol=1e-5)


def test_resnet_moves_by_its_blocks(tmp_path):
    model = transport_resnet(6, blocks=3, weight=0.5)
    x = np.random.default_rng(0).normal(size=(4, 6)).astype("float32")
    moved, energy = x, 0.0
    for block in model.layers:
        step = to_numpy(block.branch(moved))
        energy += 0.5 * np.mean(np.sum(step**2, axis=1))
        moved = moved + step
    np.testing.assert_allclose(to_numpy(model(x)), moved, atol=1e-5)
    decay = sum(0.00025 * np.sum(np.square(w)) for w in model.get_weights() if w.ndim == 2)
    np.testing.assert_allclose(sum(map(float, model.losses)), energy + decay, rtol=1e-5)
    same_after_saving(model, x, tmp_path)


def test_blocks_may_be_narrower_inside():
    model = transport_resnet(6, blocks=1, width=2)
    assert [w.shape for w in model.get_weights()] == [(6, 2), (2,), (2, 6), (6,)]


def test_plain_network_has_the_same_layers():
    assert plain_network(6, 5).count_params() == transport_resnet(6, 5).count_params()


def test_transformer_is_made_of_its_parts(tmp_path):
    parts = transport_transformer((8, 8, 3), 5, width=16, blocks=2, heads=4)
    x = np.random.default_rng(0).random((3, 8, 8, 3)).astype("float32")
    in_turn = parts.head(parts.backbone(parts.embedding(x)))
    np.testing.assert_allclose(to_numpy(parts.network(x)), to_numpy(in_turn), atol=1e-5)
    same_after_saving(parts.network, x, tmp_path)
    otad = OTAD(parts.backbone, parts.head, 2, 50.0, -50.0, embedding=parts.embedding).adapt(x)
    np.testing.assert_allclose(to_numpy(otad(x)), to_numpy(parts.network(x)), atol=1e-3)


def test_the_papers_transformer_has_64_tokens_of_width_256():
    parts = transport_transformer()
    assert parts.embedding.output_shape == parts.backbone.output_shape == (None, 64, 256)
    assert len(parts.backbone.layers) == 12


@pytest.mark.parametrize(
    "build, arguments",
    [
        (metric_resnet, {"filters": 2}),
        (metric_cnn, {"filters": 2}),
        (metric_transformer, {"width": 8, "heads": 2}),
        (metric_attention, {"width": 8, "heads": 2}),
    ],
)
def test_metric_networks_give_codes_of_norm_one(build, arguments, tmp_path):
    model = build((8, 8, 3), 4, **arguments)
    x = np.random.default_rng(0).random((3, 8, 8, 3)).astype("float32")
    np.testing.assert_allclose(np.linalg.norm(to_numpy(model(x)), axis=1), 1.0, atol=1e-4)
    same_after_saving(model, x, tmp_path)


def test_patch_embedding_round_trips_and_bounds_itself(tmp_path):
    layer = PatchEmbedding(2, 5)
    model = check_layer(layer, (2, 4, 6, 3), tmp_path)
    x, y = np.random.default_rng(0).random((2, 200, 4, 6, 3)).astype("float32")
    change = to_numpy(model(x)) - to_numpy(model(y))
    ratio = np.linalg.norm(change.reshape(200, -1), axis=1)
    ratio /= np.linalg.norm((x - y).reshape(200, -1), axis=1)
    assert ratio.max() <= layer.lipschitz_bound
    # The steepest direction, put in one patch, meets the bound.
    steepest = np.linalg.svd(np.asarray(layer.kernel))[0][:, 0].reshape(2, 2, 3)
    image = np.zeros((1, 4, 6, 3), "float32")
    image[0, 2:, 2:4] = steepest
    change = np.linalg.norm(to_numpy(model(image)) - to_numpy(model(0 * image)))
    np.testing.assert_allclose(change, layer.lipschitz_bound, rtol=1e-4)
    for sides in ((None, 4), (3, 4)):
        with pytest.raises(ValueError, match="multiples of patch_size=2"):
            PatchEmbedding(2, 5).compute_output_shape((None, *sides, 1))
    with pytest.raises(ValueError, match="multiples of patch_size=2"):
        PatchEmbedding(2, 5)(np.zeros((1, 3, 4, 1), "float32"))
    with pytest.raises(ValueError, match="argument `width`.*width=0"):
        PatchEmbedding(2, 0)


@pytest.mark.parametrize("normalize", [True, False])
def test_self_attention_round_trips(normalize, tmp_path):
    check_layer(SelfAttention(2, normalize=normalize), (2, 5, 6), tmp_path)
    with pytest.raises(ValueError, match="argument `heads`.*divisor of 6"):
        SelfAttention(4)(np.zeros((2, 5, 6), "float32"))
    with pytest.raises(ValueError, match="argument `heads`.*heads=0"):
        SelfAttention(0)
