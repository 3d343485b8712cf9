"""Two processes train one network as one process does, and go on after one was killed."""

import json
import os
import socket
import subprocess
import sys

import keras
import numpy as np
import pytest

import lipot

on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="tf.distribute is TensorFlow's."
)


def trained(count, folder, dies_at=None):
    """What each of `count` workers prints; the last one may die, and then none does."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = ",".join(str(held.getsockname()[1]) for held in sockets)
    for held in sockets:
        held.close()
    environment = {
        **os.environ,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    runs = []
    for index in range(count):
        command = [sys.executable, "-m", "tests.multi_worker", str(index), ports, str(folder)]
        if dies_at is not None and index == count - 1:
            command.append(str(dies_at))
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        runs.append(subprocess.Popen(command, env=environment, text=True, **pipes))
    if dies_at is not None:
        assert runs[-1].wait(900) == -9
        # The others wait for the one that is gone, or notice.
        for run in runs[:-1]:
            run.kill()
            run.wait()
        return None
    outputs = [run.communicate(timeout=900)[0] for run in runs]
    assert all(run.returncode == 0 for run in runs), outputs[0][-3000:]
    return [json.loads(output.splitlines()[-1]) for output in outputs]


@on_tensorflow
@pytest.mark.slow
def test_two_workers_train_as_one_and_go_on_after_one_was_killed(tmp_path):
    (alone,) = trained(1, tmp_path / "alone")
    assert trained(2, tmp_path / "shared", dies_at=2) is None
    assert [path.name for path in (tmp_path / "shared").iterdir()] == ["epoch-2"]
    for found in trained(2, tmp_path / "shared"):
        assert found["epochs"] == [2, 3]
        for ours, theirs in zip(found["weights"], alone["weights"], strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-5)
        for name in ("loss", "val_loss", "MulticlassKR"):
            expected = alone["history"][name][2:]
            np.testing.assert_allclose(found["history"][name], expected, rtol=1e-4)


def test_a_scope_of_several_workers_is_asked_for():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match="MultiWorkerMirroredStrategy"):
        lipot.models.among_workers(model)
