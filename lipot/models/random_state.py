"""Saving the random state of a model next to its weights."""

from lipot.backend import keras_graph

_NAME = "random_state_"


class SavesRandomState:
    """Mixin: a model whose saved weights include the state of every seed generator inside it.

    Keras leaves random state out of its files. With it, a training that is resumed from a backup
    draws what the uninterrupted one would have drawn. On PyTorch, give dropout layers a `seed` for
    that: without one Keras draws from PyTorch's own generator, which is in no file.
    """

    def save_own_variables(self, store):
        super().save_own_variables(store)
        for index, state in enumerate(keras_graph.random_states(self)):
            store[f"{_NAME}{index}"] = state

    def load_own_variables(self, store):
        # Keras counts what it is given.
        own = [name for name in set(store.keys()) if not name.startswith(_NAME)]
        super().load_own_variables({name: store[name] for name in own})
        for index, state in enumerate(keras_graph.random_states(self)):
            state.assign(store[f"{_NAME}{index}"])
