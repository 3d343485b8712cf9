"""Shared fixtures: quiet frameworks, one seed for every test, and memory that stays bounded."""

import gc
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")


def take_own_cores():
    """Gives this process its share of the cores, where pytest-xdist runs several.

    The threads of TensorFlow and of NumPy wait for one another by spinning: two processes that each
    think they have the whole machine take twice the time of one after the other.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is None or not hasattr(os, "sched_setaffinity"):
        return
    cores, workers = sorted(os.sched_getaffinity(0)), int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    place = int(worker.removeprefix("gw"))
    os.sched_setaffinity(0, cores[place % len(cores) :: workers])


# Before TensorFlow counts the cores.
take_own_cores()

import keras
import pytest

from tests.families import FAMILIES, left_to_the_slow_tests
from tests.slow_tests import SLOW

# A file is one process's: where a long one comes last, the others wait for it with nothing to do.
LONG_FILES = (
    "test_docs.py",
    "test_orthogonal_convolutions.py",
    "test_auto_attack.py",
    "test_otad.py",
    "test_neighbors.py",
    "test_adversarial_model.py",
    "test_spectral_layers.py",
    "test_replicas.py",
    "test_linf.py",
    "test_augmentation.py",
    "test_cli.py",
    "test_art_attacks.py",
    "test_histories.py",
    "test_cli_evaluate.py",
    "test_plain.py",
    "test_evaluate.py",
)


# Before pytest leaves out those that are marked.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Marks what takes long; long files first, for what runs them by several processes."""
    families = {name: {} for name in FAMILIES}
    for item in items:
        name = item.nodeid.removeprefix("tests/")
        family = name.partition("[")[0]
        if name in SLOW or family in SLOW:
            item.add_marker(pytest.mark.slow)
        elif family in families and not item.get_closest_marker("slow"):
            families[family][item] = item.callspec.params
    for cases in families.values():
        for item in left_to_the_slow_tests(cases):
            item.add_marker(pytest.mark.slow)
    places = {name: place for place, name in enumerate(LONG_FILES)}
    items.sort(key=lambda item: places.get(pathlib.Path(item.path).name, len(places)))


def keep_kernels_where_the_seed_stays():
    """Lets TensorFlow be seeded anew with the seed that it has without forgetting its kernels.

    `tf.random.set_seed` empties the cache of kernels, which takes the next test a tenth of a second
    to fill again. It does so for random operations that run eagerly and have a state, which neither
    Keras nor lipot uses; those of a graph, such as the order of batches, start with the graph.
    """
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    set_seed, last = tf.random.set_seed, []

    def set_another_seed(seed):
        if last != [seed]:
            last[:] = [seed]
            set_seed(seed)

    tf.random.set_seed = set_another_seed


keep_kernels_where_the_seed_stays()


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True, scope="module")
def old_objects_left_alone():
    """What a module leaves behind, mostly graphs that TensorFlow keeps, is not searched again.

    Else the collector of garbage goes through all of it a hundred times.
    """
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="module")
def programs_of_jax_forgotten():
    """JAX keeps every program it compiled: the whole suite would take tens of gigabytes."""
    yield
    if keras.backend.backend() == "jax":
        import jax

        jax.clear_caches()
