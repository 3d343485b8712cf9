"""Worker processes that share work on one model, run by Ray."""

import contextlib
import os
import socket
import sys
import tempfile

import keras

from lipot import checks

# How often one piece of work is begun again when its worker is lost.
_RETRIES = 10
# How a worker begins to say that its packages are others.
_OTHER = "others there: "


def available_cores():
    """Number of cores that this process may use: `taskset` or a container leaves it fewer."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Pool:
    """Workers that each hold a copy of a model and run functions on it.

    The model travels once to each, as a `.keras` file. A worker that is lost is started again,
    and so is the work that it had. To be used as a context manager.

    Args:
        workers: Number of processes to start on this machine, or the address `"ray://host:port"`
            of a Ray cluster, where there is one for each of its processors.
        model: Keras model.
        prepare: Function of a module, from the model and `settings` to what the work is done on.
        settings: Dictionary of further arguments of `prepare`.
        most: How many pieces of work there can be: more workers are an error.

    Raises:
        ImportError: If Ray is not installed.
        ValueError: If there is no such cluster, its workers have other versions of lipot, Keras,
            NumPy or the framework, or one cannot load the model.
    """

    def __init__(self, workers, model, prepare, settings=None, most=None):
        count = check_workers(workers, most)
        self._ray = _ray()
        self._started = False
        file, state = _saved(model), _state(model)
        surroundings = _versions(), _keras_settings()
        self._connect(workers, count)
        try:
            if count is None:
                count = max(1, min(int(self._ray.cluster_resources().get("CPU", 1)), most or 2**20))
            made = self._ray.remote(num_cpus=1, max_restarts=-1, max_task_retries=_RETRIES)(_Worker)
            # Kept, since a worker that is started again reads it again.
            self._kept = self._ray.put(file), self._ray.put(state)
            self._workers = [
                made.remote(*self._kept, prepare, dict(settings or {}), *surroundings)
                for _ in range(count)
            ]
            self._check_loaded()
        except BaseException:
            self._close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._close()

    def map(self, function, jobs):
        """Runs a function of a module on jobs, each on the next worker that is free.

        Args:
            function: Callable `(prepared, *job)`.
            jobs: Iterable of tuples, read as workers get free.

        Yields:
            `(place, result, worker)` as they come: the job's place, what it gave and the number
            of the worker.
        """
        running, jobs = {}, enumerate(jobs)
        for number in range(len(self._workers)):
            self._begin(function, jobs, number, running)
        while running:
            (ready,), _ = self._ray.wait(list(running))
            place, number = running.pop(ready)
            result = self._result(ready)
            self._begin(function, jobs, number, running)
            yield place, result, number

    def _begin(self, function, jobs, number, running):
        for place, job in jobs:
            running[self._workers[number].run.remote(function, job)] = place, number
            return

    def _result(self, reference):
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            if not isinstance(error.cause, Exception):
                raise
            # The error itself, as it would be without workers; where it was raised there is told
            # by Ray's.
            raise error.cause from error
        except self._ray.exceptions.RayActorError as error:
            raise RuntimeError(
                f"A worker was lost {_RETRIES + 1} times with the same work. Expected memory for "
                "each worker's model and batch: take fewer workers or a smaller `batch_size`; what "
                "was found before is kept in the folder of `resume`, where there is one."
            ) from error

    def _connect(self, workers, count):
        if self._ray.is_initialized():
            return
        environment = {"KERAS_BACKEND": keras.backend.backend(), "TF_CPP_MIN_LOG_LEVEL": "3"}
        if isinstance(workers, str):
            _check_reachable(workers)
            settings = {"runtime_env": {"env_vars": environment}, "logging_level": "ERROR"}
            try:
                self._ray.init(workers, **settings)
            except (ConnectionError, RuntimeError) as error:
                # Ray would look for that cluster in whatever is asked of it next.
                self._ray.shutdown()
                raise _no_cluster(workers, error) from error
        else:
            threads = str(max(1, available_cores() // count))
            environment["TF_NUM_INTRAOP_THREADS"] = environment["TF_NUM_INTEROP_THREADS"] = threads
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, [os.getcwd(), *sys.path]))
            with _environment(environment):
                # "local", or a cluster that runs on this machine would be meant.
                self._ray.init(
                    address="local", num_cpus=count, include_dashboard=False, log_to_driver=False,
                    logging_level="ERROR", _skip_env_hook=True,
                )  # fmt: skip
        self._started = True

    def _check_loaded(self):
        try:
            failures = self._ray.get([worker.failure.remote() for worker in self._workers])
        except self._ray.exceptions.RayError as error:
            # A worker that cannot even import what it runs.
            failures = [" ".join(str(error).split())[-300:]]
        for failure in filter(None, failures):
            if failure.startswith(_OTHER):
                raise checks.refused(
                    "workers", "workers with the packages of this process", failure
                )
            raise checks.refused(
                "model",
                "a model that every worker can load from a .keras file, with its classes in a "
                "module that workers import",
                str(failure),
            )

    def _close(self):
        for worker in getattr(self, "_workers", ()):
            self._ray.kill(worker)
        if self._started:
            self._ray.shutdown()


class _Worker:
    """What runs in each process."""

    def __init__(self, file, state, prepare, settings, versions, of_keras):
        self._failure = _differences(versions)
        if self._failure:
            return
        for name, value in of_keras.items():
            getattr(keras.config, f"set_{name}")(value)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model.keras")
            with open(path, "wb") as stream:
                stream.write(file)
            try:
                model = keras.saving.load_model(path, compile=False)
                _restore(model, state)
                self._prepared = prepare(model, **settings)
            # Raised here, it would end the process, which Ray would start again and again.
            except Exception as error:
                # Keras puts the cause behind the whole configuration.
                text = str(error).rpartition("Exception encountered: ")[2]
                self._failure = f"{type(error).__name__}: {' '.join(text.split())[:300]}"

    def failure(self):
        """Why the model could not be loaded, or `None`."""
        return self._failure

    def run(self, function, job):
        if self._failure:
            raise RuntimeError(
                "A worker was lost, and the one in its place could not load the model: "
                f"{self._failure}"
            )
        return function(self._prepared, *job)


def _versions():
    """What else decides which numbers a process computes: its packages, and what Keras runs on."""
    names = ("lipot", "keras", "numpy", keras.backend.backend())
    return {name: sys.modules[name].__version__ for name in names}


def _differences(versions):
    """How the packages of this process differ from those of another one, in words, or `None`."""
    here = _versions()
    names = [name for name in {**versions, **here} if versions.get(name) != here.get(name)]
    pairs = [
        f"{name} {here.get(name, 'missing')} for {versions.get(name, 'none')}" for name in names
    ]
    return f"{_OTHER}{', '.join(pairs)}" if pairs else None


def _keras_settings():
    """The settings of Keras that change what a model computes."""
    names = ("floatx", "epsilon", "image_data_format")
    return {name: getattr(keras.config, name)() for name in names}


def check_workers(workers, most=None):
    """Checks the argument `workers`; returns their number, or `None` for those of a cluster.

    Args:
        workers: Positive integer or `"ray://host:port"`.
        most: How many can have work, or `None`.

    Example:

    >>> check_workers(2, most=10), check_workers("ray://localhost:10001")
    (2, None)
    """
    expected = 'a positive integer or "ray://host:port"'
    if isinstance(workers, str):
        host, colon, port = workers.removeprefix("ray://").rpartition(":")
        if not (workers.startswith("ray://") and host and colon and port.isdigit()):
            raise checks.invalid("workers", expected, workers)
        return None
    count = checks.integer("workers", workers, expected, least=1)
    if most is not None and count > most:
        raise checks.invalid("workers", f"at most {most}, the number of points", workers)
    return count


def _ray():
    try:
        import ray
    except ImportError as error:
        raise ImportError("`workers` needs Ray: pip install 'lipot[ray]'.") from error
    return ray


def _saved(model):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.keras")
        model.save(path)
        with open(path, "rb") as stream:
            return stream.read()


def _state(model):
    """What a model holds beside its trained weights, random states and kept kernels included.

    A file has no kept kernels. Computed again by another program they could differ in the last
    bit, and with them all that is found.
    """
    return [keras.ops.convert_to_numpy(v) for v in model.non_trainable_variables]


def _restore(model, state):
    variables = model.non_trainable_variables
    if [tuple(v.shape) for v in variables] == [value.shape for value in state]:
        for variable, value in zip(variables, state):
            variable.assign(value)


def _check_reachable(address):
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError as error:
        raise _no_cluster(address, f"nothing answers: {error}") from error


def _no_cluster(address, reason):
    return checks.refused(
        "workers", "the address of a Ray cluster that is running", f"workers={address!r} ({reason})"
    )


@contextlib.contextmanager
def _environment(values):
    """Sets environment variables, which processes started inside inherit."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
