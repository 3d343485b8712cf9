"""What the layers with a branch inside share: its checks, its call and its bound."""

import keras

from lipot.backend.keras_graph import takes_training


class Branched:
    """Mixin: a layer around a branch, a layer or model whose outputs are shaped like its inputs."""

    def set_branch(self, branch):
        """Checks and stores the branch; a list of layers becomes a `keras.Sequential`."""
        listed = isinstance(branch, list | tuple) and len(branch) > 0
        layers = branch if listed else [branch]
        if not all(isinstance(layer, keras.layers.Layer) for layer in layers):
            raise ValueError(
                "Invalid value received for argument `branch`. Expected a Keras layer or a list "
                f"of them. Received: branch={branch!r}."
            )
        self.branch = keras.Sequential(layers) if listed else branch

    def build(self, input_shape):
        if not self.branch.built:
            self.branch.build(input_shape)
        output_shape = self.branch.compute_output_shape(input_shape)
        if tuple(output_shape)[1:] != tuple(input_shape)[1:]:
            raise ValueError(
                "Invalid value received for argument `branch`. Expected outputs shaped like the "
                f"inputs {tuple(input_shape)}. Received: outputs shaped {tuple(output_shape)}."
            )
        self.built = True

    def run_branch(self, inputs, training):
        """Calls the branch, with `training` where it knows the argument."""
        if takes_training(self.branch):
            return self.branch(inputs, training=training)
        return self.branch(inputs)

    def condense(self):
        """Condenses the layers of the branch."""
        for layer in self._branch_layers():
            if hasattr(layer, "condense"):
                layer.condense()

    @property
    def branch_bound(self):
        """Product of the bounds that the layers of the branch state."""
        bound = 1.0
        for layer in self._branch_layers():
            if not hasattr(type(layer), "lipschitz_bound"):
                raise ValueError(
                    f"No Lipschitz bound is known for the branch of '{self.name}'. Expected "
                    "lipot layers, one after the other; lipot.lipschitz_constant(model) knows "
                    f"stock layers and graphs too. Received: {type(layer).__name__} "
                    f"'{layer.name}'."
                )
            bound *= layer.lipschitz_bound
        return bound

    def _branch_layers(self):
        # A subclass may compute something else in a `call` of its own.
        in_sequence = getattr(type(self.branch), "call", None) is keras.Sequential.call
        return self.branch.layers if in_sequence else [self.branch]

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "branch": keras.saving.serialize_keras_object(self.branch),
        }

    @classmethod
    def from_config(cls, config):
        branch = keras.saving.deserialize_keras_object(config["branch"])
        return cls(**{**config, "branch": branch})
