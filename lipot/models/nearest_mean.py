"""The k-nearest-neighbor baseline: the mean feature of the nearest training points."""

import keras
from keras import ops

from lipot.models.neighbor_model import NeighborModel


@keras.saving.register_keras_serializable(package="lipot")
class NearestMean(NeighborModel):
    """Answers a query with the mean of its neighbors' features, read by the head.

    Args:
        backbone: As in `OTAD`.
        head: As in `OTAD`.
        neighbors: As in `OTAD`.
        embedding: As in `OTAD`.
        metric: As in `OTAD`.
        search: As in `OTAD`.
        **kwargs: As in `OTAD`.

    Input shape:
        As in `OTAD`.

    Output shape:
        That of the head.

    Lipschitz bound:
        None: an answer jumps where the neighbors change. `lipot.certify` refuses the model.

    Reference:
        Gai, Wang and Zhang, "OTAD", section V.G.

    Example:

    >>> import numpy as np
    >>> x = np.array([[0.0], [1.0], [10.0]], "float32")
    >>> model = NearestMean(keras.layers.Identity(), keras.layers.Identity(), neighbors=2).adapt(x)
    >>> model.features(np.array([[0.2]]))
    array([[0.5]], dtype=float32)
    """

    def combine(self, query, neighbors, features):
        return ops.mean(features, axis=1)
