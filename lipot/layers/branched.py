"""What the layers with a branch inside share: its checks, its call and its bound."""

import keras

from lipot import checks
from lipot.backend.keras_graph import takes_training
from lipot.layers.base import Bounded, condense
from lipot.layers.layer_bounds import layer_bound
from lipot.layers.model_calls import runs_its_layers_in_turn
from lipot.layers.open_sizes import keeps_open_sizes
from lipot.layers.said_sizes import shape_after
from lipot.math.rounding import LayerBound, values_in


class Branched(Bounded):
    """Mixin: a layer around a branch, a layer or model whose outputs are shaped like its inputs."""

    def set_branch(self, branch):
        """Checks and stores the branch; a list of layers becomes a `keras.Sequential`."""
        listed = isinstance(branch, list | tuple) and len(branch) > 0
        layers = branch if listed else [branch]
        if not all(isinstance(layer, keras.layers.Layer) for layer in layers):
            raise checks.invalid("branch", "a Keras layer or a list of them", branch)
        self.branch = keras.Sequential(layers) if listed else branch
        self.supports_masking = True

    def build(self, input_shape):
        if not self.branch.built:
            self.branch.build(input_shape)
        output_shape = self.branch.compute_output_shape(input_shape)
        if tuple(output_shape)[1:] != tuple(input_shape)[1:]:
            raise checks.refused(
                "branch",
                f"outputs shaped like the inputs {tuple(input_shape)}",
                f"outputs shaped {tuple(output_shape)}",
            )
        # One axis more or less would broadcast in the sum with the branch.
        self.input_spec = keras.layers.InputSpec(ndim=len(input_shape))
        self.built = True

    def run_branch(self, inputs, training):
        """Calls the branch, with `training` where it knows the argument."""
        if takes_training(self.branch):
            return self.branch(inputs, training=training)
        return self.branch(inputs)

    def condense(self):
        """Condenses what is inside."""
        condense(self)

    def bound(self, input_shape, norm=2):
        """Sum of what passes the branch by and of what goes through it.

        How much a branch rounds depends on what comes before it: the certificates walk through it
        as through the rest of the graph. Here only the constant counts.
        """
        kept, added = self.factors
        constant = kept + added * self.branch_bound(input_shape, norm)
        return LayerBound.of_constant(constant, values_in(input_shape))

    def branch_bound(self, input_shape, norm=2):
        """Product of the bounds of the layers of the branch, one after the other."""
        given = shape = tuple(input_shape)
        constant = 1.0
        for layer in self._branch_layers():
            constant *= layer_bound(layer, shape, norm).lipschitz
            shape = shape_after(layer, shape)
        kept = shape[1:] == given[1:]
        # Of two sizes in a sum the smaller one is repeated.
        if not kept or (None in shape[1:] and not keeps_open_sizes(self.branch, given)):
            raise checks.other_sizes(self.name, "sizes that its branch keeps", given)
        return constant

    def _branch_layers(self):
        return self.branch.layers if runs_its_layers_in_turn(self.branch) else [self.branch]

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
