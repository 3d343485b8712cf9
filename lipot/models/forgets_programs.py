"""What becomes of compiled programs when an argument of a model changes after they were made."""

import functools
import inspect

from lipot.backend.keras_graph import forget_programs


class ForgetsPrograms:
    """Mixin: a model whose arguments may change, since its programs are then compiled anew.

    Those compiled before would go on with the old attack, or the old number of steps.
    """

    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        if self.__dict__.get("built") and name in _arguments_of(type(self)):
            forget_programs(self)
            self.forget_train_function()

    def forget_train_function(self):
        """Has the training step compiled anew, in the middle of `fit` too."""
        if self.train_function is not None:
            self.make_train_function(force=True)


@functools.cache
def _arguments_of(model_class):
    """Names of the arguments that a class of models is made from."""
    return frozenset(inspect.signature(model_class.__init__).parameters) - {"self", "kwargs"}
