"""Callbacks for training 1-Lipschitz networks: freeze kernels, watch them, schedule the loss."""

import json
import pathlib

import keras
import numpy as np
from keras import ops

from lipot import checks, layers
from lipot.backend.keras_graph import all_layers


class _Configurable(keras.callbacks.Callback):
    """A callback that goes through Keras serialization."""

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@keras.saving.register_keras_serializable(package="lipot")
class CondenseCallback(_Configurable):
    """Overwrites each constrained kernel with the kernel used at inference, now and then.

    The free kernel behind a constrained one can grow or shrink without changing any output;
    this brings it back. An optimizer with momentum does not see the jump.

    Args:
        on_epoch: Whether to condense after each epoch.
        on_batch: Whether to condense after each batch.

    Example:

    >>> import lipot
    >>> lipot.callbacks.CondenseCallback(on_batch=True).get_config()
    {'on_epoch': True, 'on_batch': True}
    """

    def __init__(self, on_epoch=True, on_batch=False):
        super().__init__()
        self.on_epoch = bool(on_epoch)
        self.on_batch = bool(on_batch)
        # Keras may then run the batch hooks, which do nothing, beside the next step.
        self.async_safe = not self.on_batch

    def on_train_batch_end(self, batch, logs=None):
        if self.on_batch:
            _condense(self.model)

    def on_epoch_end(self, epoch, logs=None):
        if self.on_epoch:
            _condense(self.model)

    def get_config(self):
        return {"on_epoch": self.on_epoch, "on_batch": self.on_batch}


@keras.saving.register_keras_serializable(package="lipot")
class MonitorCallback(_Configurable):
    """Writes the singular values of kernels to a file while training runs.

    Each line of `logdir/singular_values.jsonl` is one JSON object: the `epoch` (from 0), the
    `step` (batches so far), the `layer`, the `target`, and either `largest` or
    `singular_values`, in descending order. Lines are appended.

    After each epoch the largest values also enter the epoch's logs as
    `{layer}_{target}_sigma_max`, so `fit` returns them in its history, and a
    `keras.callbacks.CSVLogger` or `TensorBoard` that comes later in the list of callbacks
    records them.

    A convolution kernel is read as the matrix `(kh * kw * channels, filters)`. Its singular
    values are not those of the convolution, for which see `lipot.math.convolution`.

    Args:
        monitored_layers: Names of the layers.
        logdir: Folder for the file; created if needed.
        target: `"kernel"`, the trained kernel, or `"wbar"`, the kernel used at inference.
        what: `"max"`, the largest singular value, or `"all"`.
        on_epoch: Whether to look after each epoch.
        on_batch: Whether to look after each batch. The file then holds the batches alone.

    Example:

    >>> import json, pathlib, tempfile
    >>> import keras, lipot
    >>> import numpy as np
    >>> model = keras.Sequential(
    ...     [keras.Input((4,)), lipot.layers.SpectralDense(3, name="dense")])
    >>> model.compile("sgd", "mse")
    >>> folder = tempfile.mkdtemp()
    >>> monitor = lipot.callbacks.MonitorCallback(["dense"], folder, target="wbar")
    >>> history = model.fit(np.ones((8, 4)), np.ones((8, 3)), callbacks=[monitor], verbose=0)
    >>> [round(value, 3) for value in history.history["dense_wbar_sigma_max"]]
    [1.0]
    >>> line = json.loads(pathlib.Path(folder, "singular_values.jsonl").read_text())
    >>> line["epoch"], line["step"], line["layer"], round(line["largest"], 3)
    (0, 1, 'dense', 1.0)
    """

    def __init__(
        self,
        monitored_layers,
        logdir,
        target="kernel",
        what="max",
        on_epoch=True,
        on_batch=False,
    ):
        super().__init__()
        if isinstance(monitored_layers, str):
            raise ValueError(
                "Invalid value received for argument `monitored_layers`. Expected a list of "
                f"layer names. Received: monitored_layers={monitored_layers!r}"
            )
        self.monitored_layers = list(monitored_layers)
        self.logdir = str(logdir)
        self.target = checks.choice("target", target, tuple(_KERNELS))
        self.what = checks.choice("what", what, ("max", "all"))
        self.on_epoch = bool(on_epoch)
        self.on_batch = bool(on_batch)
        self.async_safe = not self.on_batch
        self._epoch = 0
        self._step = 0

    def on_train_begin(self, logs=None):
        for name in self.monitored_layers:
            self._kernel(name)
        pathlib.Path(self.logdir).mkdir(parents=True, exist_ok=True)

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        self._step += 1
        if self.on_batch:
            self._write(self._singular_values())

    def on_epoch_end(self, epoch, logs=None):
        if not self.on_epoch:
            return
        values = self._singular_values()
        if not self.on_batch:
            self._write(values)
        if logs is not None:
            for name, singular_values in values.items():
                logs[f"{name}_{self.target}_sigma_max"] = singular_values[0]

    def _kernel(self, name):
        layer = self.model.get_layer(name)
        kernel = getattr(layer, _KERNELS[self.target], None)
        if kernel is None:
            raise ValueError(
                f"Invalid value received for argument `monitored_layers`. Expected layers with a "
                f"`{_KERNELS[self.target]}`, which target={self.target!r} reads. Received: "
                f"layer '{name}' of class {type(layer).__name__}"
            )
        return kernel

    def _singular_values(self):
        values = {}
        for name in self.monitored_layers:
            kernel = ops.convert_to_numpy(ops.cast(self._kernel(name), "float32"))
            matrix = kernel.reshape(-1, kernel.shape[-1]).astype("float64")
            values[name] = np.linalg.svd(matrix, compute_uv=False).tolist()
        return values

    def _write(self, values):
        with pathlib.Path(self.logdir, "singular_values.jsonl").open("a") as file:
            for name, singular_values in values.items():
                line = {"epoch": self._epoch, "step": self._step}
                line |= {"layer": name, "target": self.target}
                if self.what == "max":
                    line["largest"] = singular_values[0]
                else:
                    line["singular_values"] = singular_values
                file.write(json.dumps(line) + "\n")

    def get_config(self):
        return {
            "monitored_layers": self.monitored_layers,
            "logdir": self.logdir,
            "target": self.target,
            "what": self.what,
            "on_epoch": self.on_epoch,
            "on_batch": self.on_batch,
        }


@keras.saving.register_keras_serializable(package="lipot")
class LossParamScheduler(_Configurable):
    """Changes a number of the loss while training runs, by linear interpolation.

    Before training step `s` the parameter becomes `numpy.interp(s, xp, fp)`: constant before
    the first and after the last point.

    Args:
        param_name: Name of the parameter, such as `"alpha"`; the loss must keep it where
            compiled steps see it change, as the losses of lipot do.
        fp: Values at the steps `xp`.
        xp: Increasing steps.
        step: First step, to resume a training.

    Example:

    >>> import keras, lipot
    >>> import numpy as np
    >>> model = keras.Sequential([keras.Input((2,)), lipot.layers.SpectralDense(1)])
    >>> model.compile("sgd", lipot.losses.HKR(alpha=1.0))
    >>> scheduler = lipot.callbacks.LossParamScheduler("alpha", fp=[1.0, 50.0], xp=[0, 7])
    >>> _ = model.fit(np.ones((8, 2)), np.array([1, -1] * 4), batch_size=1, verbose=0,
    ...               callbacks=[scheduler])
    >>> float(model.loss.alpha)
    50.0
    """

    def __init__(self, param_name, fp, xp, step=0):
        super().__init__()
        self.param_name = param_name
        self.fp = [float(value) for value in fp]
        self.xp = [float(at) for at in xp]
        if not self.xp or len(self.fp) != len(self.xp) or np.any(np.diff(self.xp) <= 0):
            raise ValueError(
                "Invalid value received for argument `xp`. Expected increasing steps, one for "
                f"each of the {len(self.fp)} values of `fp`. Received: xp={xp}"
            )
        self.step = step
        self._begun = 0

    def on_train_begin(self, logs=None):
        if not hasattr(_loss_parameter(self.model, self.param_name), "assign"):
            raise ValueError(
                "Invalid value received for argument `param_name`. Expected a parameter with a "
                "method `assign`, such as a keras.Variable: a compiled step would not see any "
                f"other change. Received: param_name={self.param_name!r}"
            )

    def on_train_batch_begin(self, batch, logs=None):
        self._begun = batch
        parameter = _loss_parameter(self.model, self.param_name)
        parameter.assign(float(np.interp(self.step, self.xp, self.fp)))

    def on_train_batch_end(self, batch, logs=None):
        # One call covers several steps under `steps_per_execution`.
        self.step += batch - self._begun + 1

    def get_config(self):
        return {
            "param_name": self.param_name,
            "fp": self.fp,
            "xp": self.xp,
            "step": self.step,
        }


@keras.saving.register_keras_serializable(package="lipot")
class LossParamLog(_Configurable):
    """Prints a number of the loss after an epoch, and adds it to the epoch's logs.

    Args:
        param_name: Name of the parameter, such as `"alpha"`.
        rate: Positive int: every how many epochs to print. The logs have it in every epoch, as
            `{loss}_{param_name}`.

    Example:

    >>> import keras, lipot
    >>> import numpy as np
    >>> model = keras.Sequential([keras.Input((2,)), lipot.layers.SpectralDense(1)])
    >>> model.compile("sgd", lipot.losses.HKR(alpha=5.0))
    >>> log = lipot.callbacks.LossParamLog("alpha")
    >>> history = model.fit(np.ones((8, 2)), np.array([1, -1] * 4), verbose=0, callbacks=[log])
    HKR.alpha = 5.0
    >>> history.history["HKR_alpha"]
    [5.0]
    """

    def __init__(self, param_name, rate=1):
        super().__init__()
        self.param_name = param_name
        self.rate = checks.positive_int("rate", rate)

    def on_train_begin(self, logs=None):
        _loss_parameter(self.model, self.param_name)

    def on_epoch_end(self, epoch, logs=None):
        model = self.model
        value = float(_loss_parameter(model, self.param_name))
        if logs is not None:
            logs[f"{model.loss.name}_{self.param_name}"] = value
        if epoch % self.rate == 0:
            print(f"{model.loss.name}.{self.param_name} = {value}")

    def get_config(self):
        return {"param_name": self.param_name, "rate": self.rate}


@keras.saving.register_keras_serializable(package="lipot")
class DistanceNormScheduler(_Configurable):
    r"""Raises the exponent of every `LInfDistanceDense` with a `p`, at last to infinity.

    For shares of the training below `begin` the exponent is `first`, from there to `end` it grows
    exponentially to `last`, and after that it is infinite, as at inference.

    Args:
        steps: Positive int, training steps in all.
        first: Positive float, the first exponent.
        last: Float above `first`, the last finite one; above 1023 counts as infinity.
        begin: Share of the training with the first exponent.
        end: Share after which the exponent is infinite.
        step: First step, to resume a training.

    Reference:
        Zhang et al., "Towards certifying l-infinity robustness using neural networks with
        l-inf-dist neurons" (ICML 2021), section 5.3.

    Example:

    >>> import lipot
    >>> scheduler = lipot.callbacks.DistanceNormScheduler(100, first=8.0, last=512.0)
    >>> [scheduler.exponent(share) for share in (0.0, 0.5, 0.95)]
    [8.0, 64.0, inf]
    """

    def __init__(self, steps, first=8.0, last=1000.0, begin=0.125, end=0.875, step=0):
        super().__init__()
        self.steps = checks.positive_int("steps", steps)
        self.first = checks.positive_float("first", first)
        self.last = checks.positive_float("last", last)
        self.begin, self.end = checks.probability("begin", begin), checks.probability("end", end)
        if not self.begin < self.end:
            raise checks.invalid("end", f"more than begin={begin}", end)
        if not self.first < self.last:
            raise checks.invalid("last", f"more than first={first}", last)
        self.step = checks.nonnegative_int("step", step)
        self._begun = 0

    def exponent(self, share):
        """The exponent after a share of the training, a whole number or infinity."""
        if share >= self.end:
            return float("inf")
        grown = np.clip((share - self.begin) / (self.end - self.begin), 0.0, 1.0)
        return float(np.round(self.first * (self.last / self.first) ** grown))

    def apply(self, share):
        """Sets the exponents of the model to those after a share of the training."""
        for layer in _distance_layers(self.model):
            layer.set_exponent(self.exponent(share))

    def on_train_begin(self, logs=None):
        if not _distance_layers(self.model):
            raise ValueError(
                "Invalid value received for argument `model`. Expected a LInfDistanceDense with an "
                f"argument `p`. Received: '{self.model.name}' without one"
            )

    def on_train_batch_begin(self, batch, logs=None):
        self._begun = batch
        self.apply(self.step / self.steps)

    def on_train_batch_end(self, batch, logs=None):
        self.step += batch - self._begun + 1

    def get_config(self):
        names = ("steps", "first", "last", "begin", "end", "step")
        return {name: getattr(self, name) for name in names}


# Where a layer keeps the kernel that `MonitorCallback` calls by deel-lip's names.
_KERNELS = {"kernel": "kernel", "wbar": "inference_kernel"}


def _condense(model):
    for layer in model.layers:
        if hasattr(layer, "condense"):
            layer.condense()
        elif isinstance(layer, keras.Model):
            _condense(layer)


def _distance_layers(model):
    found = [part for part in all_layers(model) if isinstance(part, layers.LInfDistanceDense)]
    return [layer for layer in found if layer.exponent is not None]


def _loss_parameter(model, name):
    loss = getattr(model, "loss", None)
    if not isinstance(loss, keras.losses.Loss) or not hasattr(loss, name):
        raise ValueError(
            f"Invalid value received for argument `param_name`. Expected an attribute of the one "
            f"keras.losses.Loss that the model is compiled with. Received: param_name={name!r}, "
            f"loss={loss!r}"
        )
    return getattr(loss, name)
