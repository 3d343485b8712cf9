"""The Vision Transformer of OTAD-T, in the three parts OTAD needs."""

from typing import Any, NamedTuple

import keras

from lipot.layers.tokens import PatchEmbedding, SelfAttention
from lipot.layers.transport_residual import TransportResidual
from lipot.models.builders import checked


class TransportTransformer(NamedTuple):
    """Parts of a Transformer whose middle maps tokens to tokens.

    Attributes:
        embedding: From images to `(batch, patches, width)`.
        backbone: The blocks, the transport map from embeddings to features of the same shape.
        head: From features to logits.
        network: All three in a row, the model to train.
    """

    embedding: Any
    backbone: Any
    head: Any
    network: Any


@checked
def transport_transformer(
    input_shape=(32, 32, 3),
    classes=10,
    *,
    patch_size=4,
    width=256,
    blocks=6,
    heads=8,
    mlp_width=None,
    weight=0.0,
    dropout=0.0,
):
    """Builds the Transformer of OTAD-T: by default 64 patches, 6 blocks, 8 heads, width 256.

    Args:
        input_shape: Shape of one image.
        classes: Positive int, number of outputs.
        patch_size: Positive int, side of the square patches.
        width: Positive int, size of the tokens.
        blocks: Positive int, number of blocks of attention and perceptron.
        heads: Positive int, number of attention heads.
        mlp_width: Positive int, hidden size of the perceptrons; `2 * width` by default.
        weight: Non-negative float, factor of the transport energy of each residual branch in the
            loss.
        dropout: Float from 0 to 1, rate of dropout inside the perceptrons.

    Returns:
        A `TransportTransformer`; `OTAD(parts.backbone, parts.head, embedding=parts.embedding)`.

    Reference:
        Gai, Wang and Zhang, "OTAD", equations 17 and 18 and section V.A.

    Example:

    >>> parts = transport_transformer((8, 8, 1), 3, width=8, blocks=1, heads=2)
    >>> parts.backbone.output_shape, parts.network.output_shape
    ((None, 4, 8), (None, 3))
    """
    mlp_width = 2 * width if mlp_width is None else mlp_width
    embedding = keras.Sequential(
        [keras.Input(input_shape), PatchEmbedding(patch_size, width)], name="embedding"
    )
    tokens = embedding.output_shape[1:]
    layers = []
    for block in range(blocks):
        layers += [
            TransportResidual(SelfAttention(heads), weight, name=f"attention_{block}"),
            TransportResidual(
                _perceptron(width, mlp_width, dropout), weight, name=f"perceptron_{block}"
            ),
        ]
    backbone = keras.Sequential([keras.Input(tokens), *layers], name="backbone")
    head = keras.Sequential(
        [keras.Input(tokens), keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(classes)],
        name="head",
    )
    image = keras.Input(input_shape)
    network = keras.Model(image, head(backbone(embedding(image))), name="transport_transformer")
    return TransportTransformer(embedding, backbone, head, network)


def _perceptron(width, mlp_width, dropout):
    return keras.Sequential(
        [
            keras.layers.LayerNormalization(epsilon=1e-6),
            keras.layers.Dense(mlp_width, "gelu"),
            keras.layers.Dropout(dropout),
            keras.layers.Dense(width),
        ]
    )
