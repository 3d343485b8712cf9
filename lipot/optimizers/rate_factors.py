"""One optimizer with a learning rate of its own for some of the variables."""

import keras
from keras import ops

from lipot import checks


@keras.saving.register_keras_serializable(package="lipot")
class RateFactors(keras.optimizers.Optimizer):
    """Multiplies the steps of an optimizer by a factor for each variable.

    Gradients cannot do that: the step of Adam is as long whatever its gradient is multiplied by.
    The two sides of a min-max, trained by one optimizer, may so go at different speeds. Where
    a variable has a constraint, the factor shortens the way to what the constraint allows.

    Args:
        optimizer: Optimizer that makes the steps.
        factors: List of positive floats, one for each variable in the order of `build`.
        name: Name of the optimizer.

    Raises:
        ValueError: A factor is not positive, or there are more or fewer than variables; or the
            optimizer averages variables (`use_ema`), which would be averages of whole steps, or
            scales the loss: that goes around this one.

    Example:

    >>> import keras
    >>> from lipot.optimizers import RateFactors
    >>> variables = [keras.Variable(1.0), keras.Variable(1.0)]
    >>> optimizer = RateFactors(keras.optimizers.SGD(0.5), [1.0, 0.1])
    >>> optimizer.apply([keras.ops.ones(()), keras.ops.ones(())], variables)
    >>> [round(float(variable), 6) for variable in variables]
    [0.5, 0.95]
    """

    def __init__(self, optimizer, factors, name="rate_factors"):
        super().__init__(learning_rate=0.0, name=name)
        self.inner_optimizer = _checked(keras.optimizers.get(optimizer))
        checks.array("factors", factors, "a list of positive finite numbers")
        self.factors = [checks.positive_float("factors", factor) for factor in factors]

    def build(self, variables):
        if len(variables) != len(self.factors):
            raise checks.invalid(
                "factors", f"one number for each of {len(variables)} variables", self.factors
            )
        # In a function, so that Keras does not take the model's variables for the optimizer's.
        self._trained = lambda: list(variables)
        self.inner_optimizer.build(variables)
        super().build(variables)

    @property
    def variables(self):
        return super().variables + self.inner_optimizer.variables

    def apply(self, grads, trainable_variables=None):
        if not self.built:
            self.build(trainable_variables)
            self.built = True
        variables = list(trainable_variables or self._trained())
        factors = {id(v): f for v, f in zip(self._trained(), self.factors)}
        chosen = [v for v in variables if factors[id(v)] != 1.0]
        # A sum, since some backends hand out the buffer that the step then changes.
        before = [ops.add(v, 0.0) for v in chosen]
        self.inner_optimizer.apply(grads, variables)
        for variable, old in zip(chosen, before):
            factor = factors[id(variable)]
            variable.assign(old + factor * (ops.convert_to_tensor(variable) - old))

    @property
    def learning_rate(self):
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate):
        self.inner_optimizer.learning_rate = learning_rate

    @property
    def iterations(self):
        return self.inner_optimizer.iterations

    def scale_loss(self, loss):
        return self.inner_optimizer.scale_loss(loss)

    def finalize_variable_values(self, var_list):
        self.inner_optimizer.finalize_variable_values(var_list)

    def get_config(self):
        return {
            "optimizer": keras.saving.serialize_keras_object(self.inner_optimizer),
            "factors": self.factors,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        inner = keras.saving.deserialize_keras_object(config["optimizer"], custom_objects)
        return cls(**{**config, "optimizer": inner})


def with_rates(optimizer, factors):
    """Puts `RateFactors` around an optimizer, inside of what scales its loss.

    Args:
        optimizer: What `keras.Model.compile` takes.
        factors: As those of `RateFactors`.
    """
    optimizer = keras.optimizers.get(optimizer)
    if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return RateFactors(optimizer, factors)
    inner = RateFactors(optimizer.inner_optimizer, factors)
    config = optimizer.get_config()
    config["inner_optimizer"] = keras.saving.serialize_keras_object(inner)
    return type(optimizer).from_config(config)


def _checked(optimizer):
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        raise checks.refused(
            "optimizer",
            "an optimizer without loss scaling",
            "a LossScaleOptimizer, which goes around RateFactors",
        )
    if optimizer.use_ema:
        raise checks.refused(
            "optimizer", "an optimizer that keeps no averages", "one with use_ema=True"
        )
    return optimizer
