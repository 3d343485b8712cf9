"""Callbacks about the kernels of 1-Lipschitz layers: freeze them, watch them."""

import json
import math
import pathlib

import keras
import numpy as np
from keras import ops

from lipot import checks
from lipot.backend.keras_graph import all_layers
from lipot.callbacks.configurable import Configurable
from lipot.callbacks.counts_steps import CountsSteps
from lipot.layers.base import condense


@keras.saving.register_keras_serializable(package="lipot")
class CondenseCallback(Configurable):
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
        self.on_epoch = checks.boolean("on_epoch", on_epoch)
        self.on_batch = checks.boolean("on_batch", on_batch)
        # Keras may then run the batch hooks, which do nothing, beside the next step.
        self.async_safe = not self.on_batch

    def on_train_batch_end(self, batch, logs=None):
        if self.on_batch:
            condense(self.model)

    def on_epoch_end(self, epoch, logs=None):
        if self.on_epoch:
            condense(self.model)

    def get_config(self):
        return {"on_epoch": self.on_epoch, "on_batch": self.on_batch}


@keras.saving.register_keras_serializable(package="lipot")
class MonitorCallback(CountsSteps):
    r"""Writes the singular values of kernels to a file while training runs.

    Each line of `logdir/singular_values.jsonl` is one JSON object: the `epoch` (from 0), the
    `step` (batches so far, over all epochs), the `layer`, the `target`, and either `largest` or
    `singular_values`, in descending order. Lines are appended. A kernel with entries that are not
    finite has the values `null`.

    After each epoch the largest values also enter the epoch's logs as
    `{layer}_{target}_sigma_max`, and as `{layer}_{target}_drift` how far the kernel $W$ is from
    orthonormal, $\|W^\top W - I\|_2$, with $W W^\top$ where it is wider than high. Both are NaN
    where the kernel is not finite. So `fit` returns them in its history, and a
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
        on_batch: Whether to look after each batch, or each execution of several. The file then
            holds the batches alone.
        step: Non-negative int, first step, to resume a training. `Backup` keeps it.

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
        step=0,
    ):
        super().__init__(step)
        expected = "a list of layer names"
        checks.instance("monitored_layers", monitored_layers, list | tuple, expected)
        self.monitored_layers = [
            checks.instance("monitored_layers", name, str, expected) for name in monitored_layers
        ]
        self.logdir = str(checks.folder("logdir", logdir))
        self.target = checks.choice("target", target, tuple(_KERNELS))
        self.what = checks.choice("what", what, ("max", "all"))
        self.on_epoch = checks.boolean("on_epoch", on_epoch)
        self.on_batch = checks.boolean("on_batch", on_batch)
        self.async_safe = not self.on_batch
        self._epoch = 0

    def on_train_begin(self, logs=None):
        for name in self.monitored_layers:
            self._kernel(name)
        pathlib.Path(self.logdir).mkdir(parents=True, exist_ok=True)

    def on_epoch_begin(self, epoch, logs=None):
        super().on_epoch_begin(epoch, logs)
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, logs)
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
                logs[f"{name}_{self.target}_drift"] = max(abs(s * s - 1) for s in singular_values)

    def _kernel(self, name):
        layer = self._layer(name)
        kernel = getattr(layer, _KERNELS[self.target], None)
        if kernel is None:
            raise checks.refused(
                "monitored_layers",
                f"layers with a `{_KERNELS[self.target]}`, which target={self.target!r} reads",
                f"layer '{name}' of class {type(layer).__name__}",
            )
        return kernel

    def _layer(self, name):
        """The layer of a name, in models inside the model too, as in an `AdversarialModel`."""
        layers = all_layers(self.model)
        named = [layer for layer in layers if layer.name == name]
        if len(named) != 1:
            names = [layer.name for layer in layers]
            raise checks.refused(
                "monitored_layers",
                f"the name of one layer of model '{self.model.name}': {names}",
                f"{name!r}, the name of {len(named)}",
            )
        return named[0]

    def _singular_values(self):
        values = {}
        for name in self.monitored_layers:
            kernel = ops.convert_to_numpy(ops.cast(self._kernel(name), "float32"))
            values[name] = _descending(kernel.reshape(-1, kernel.shape[-1]).astype("float64"))
        return values

    def _write(self, values):
        with pathlib.Path(self.logdir, "singular_values.jsonl").open("a") as file:
            for name, singular_values in values.items():
                line = {"epoch": self._epoch, "step": self.step}
                line |= {"layer": name, "target": self.target}
                # JSON has no NaN.
                shown = [None if math.isnan(value) else value for value in singular_values]
                if self.what == "max":
                    line["largest"] = shown[0]
                else:
                    line["singular_values"] = shown
                file.write(json.dumps(line) + "\n")

    def get_config(self):
        return {
            "monitored_layers": self.monitored_layers,
            "logdir": self.logdir,
            "target": self.target,
            "what": self.what,
            "on_epoch": self.on_epoch,
            "on_batch": self.on_batch,
            "step": self.step,
        }


def _descending(matrix):
    """The singular values of a matrix, NaN where an entry is not finite: NumPy finds none there."""
    if np.all(np.isfinite(matrix)):
        return np.linalg.svd(matrix, compute_uv=False).tolist()
    return [math.nan] * min(matrix.shape)


# Where a layer keeps the kernel that `MonitorCallback` calls by deel-lip's names.
_KERNELS = {"kernel": "kernel", "wbar": "inference_kernel"}
