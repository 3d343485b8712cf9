"""Whether the features of a network still tell its inputs apart, while it trains."""

import keras
import numpy as np

from lipot import checks, notices
from lipot.backend.layer_calls import features_of
from lipot.callbacks.configurable import Configurable
from lipot.math.proportions import in_percent
from lipot.models import OTClassifier

# A feature is dead where it varies by less than this share of its size over all points.
_RESOLUTION = 1e-6
_MANY = 0.9


@keras.saving.register_keras_serializable(package="lipot")
class FeatureMonitor(Configurable):
    """Adds to the logs of each epoch how many features are dead, and how long the features are.

    A feature is dead where it has the same value for all points, as a ReLU that no point passes.
    Losses that compare features, such as `GOT` with the l2 cost, reward that. `dead_features` is
    the share of dead ones, `feature_norm` the mean l2 norm of a point's features. Where more than
    nine tenths are dead, a warning says so, once.

    Args:
        points: Inputs to look at, an array; some hundred will do. They are not saved with the
            configuration: a copy made from it has none, and looks at nothing until given some.
        layer: Name of the layer whose output counts as features. Defaults to what the model's
            losses compare (`AdversarialModel(features=...)`), or the input of the last layer. Of
            an `OTClassifier` it may be one of the encoder.

    Example:

    >>> import keras, lipot
    >>> import numpy as np
    >>> model = keras.Sequential([
    ...     keras.Input((2,)), keras.layers.Dense(4, "relu", bias_initializer="ones"),
    ...     keras.layers.Dense(1)])
    >>> _ = model.layers[0].kernel.assign(np.array([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]))
    >>> model.compile(keras.optimizers.SGD(0.0), "mse")
    >>> points = np.array([[0.0, 0.0], [1.0, 0.0]])
    >>> history = model.fit(points, np.ones(2), verbose=0,
    ...                     callbacks=[lipot.callbacks.FeatureMonitor(points)])
    >>> history.history["dead_features"]
    [0.5]
    """

    def __init__(self, points=None, layer=None):
        super().__init__()
        self.points = checks.optional(checks.array, "points", points, "an array")
        self.layer = checks.instance("layer", layer, str | None, "the name of a layer or None")
        self._probe, self._warned = None, False

    def on_train_begin(self, logs=None):
        encoder = self.model.encoder if isinstance(self.model, OTClassifier) else None
        network = getattr(self.model, "classifier", self.model)
        name = self.layer or getattr(self.model, "features", None)
        if encoder is not None and name in [layer.name for layer in encoder.layers]:
            encoder, network = None, encoder
        if not getattr(network, "inputs", None):
            raise checks.refused(
                "model",
                "a Sequential or Functional model, whose features can be read",
                f"a {type(network).__name__}",
            )
        self._probe = keras.Model(network.inputs, features_of(network, name))
        if encoder is not None:
            inputs = keras.Input(encoder.input_shape[1:])
            self._probe = keras.Model(inputs, self._probe(encoder(inputs)))

    def on_epoch_end(self, epoch, logs=None):
        if self.points is None or logs is None:
            return
        features = self._probe.predict(self.points, verbose=0).reshape(len(self.points), -1)
        features = features.astype("float64")
        spread = features.max(axis=0) - features.min(axis=0)
        dead = float(np.mean(spread <= _RESOLUTION * np.abs(features).max(axis=0)))
        logs["dead_features"] = dead
        logs["feature_norm"] = float(np.mean(np.linalg.norm(features, axis=1)))
        if dead > _MANY and not self._warned:
            self._warned = True
            notices.warn(
                f"Epoch {epoch + 1}: {in_percent(dead, 0)} % of the features are the same for "
                "all points. A smaller learning rate, weights that rise slowly, or "
                "unit_features=True in GOT keep them alive.",
            )

    def get_config(self):
        return {"layer": self.layer}
