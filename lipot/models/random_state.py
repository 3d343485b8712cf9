"""Saving the random state of a model next to its weights."""

from lipot import notices
from lipot.backend import keras_graph

_NAME = "random_state_"


class SavesRandomState:
    """Mixin: a model whose saved weights include the state of every seed generator inside it.

    Keras leaves random state out of its files. With it, a training that is resumed from a backup
    draws what the uninterrupted one would have drawn. On PyTorch, give dropout layers a `seed` for
    that: without one Keras draws from PyTorch's own generator, which is in no file.

    Weights of a model that draws otherwise, with another attack say, are taken alone: random state
    then stays as it is, and a warning says so.
    """

    def save_own_variables(self, store):
        super().save_own_variables(store)
        for index, state in enumerate(keras_graph.random_states(self)):
            store[f"{_NAME}{index}"] = state

    def load_own_variables(self, store):
        # Keras counts what it is given.
        names = set(store.keys())
        kept = {name for name in names if name.startswith(_NAME)}
        super().load_own_variables({name: store[name] for name in names - kept})
        states = keras_graph.random_states(self)
        if len(kept) != len(states):
            notices.warn(
                f"The file holds the random state of {len(kept)} generators, and model "
                f"'{self.name}' has {len(states)}: its attack, its losses or its layers are others "
                "than those of the model that was saved. Weights are loaded, and random state "
                "stays as it is.",
            )
            return
        for index, state in enumerate(states):
            state.assign(store[f"{_NAME}{index}"])
