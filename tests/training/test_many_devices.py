"""The short form of tests/studies/many_devices.py: virtual devices of the CPU, two processes on loopback."""

import json
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "studies"))

import many_devices

from allcnn.device import find_device
from allcnn.errors import InputError
from allcnn.training.run import train
from allcnn.training.spread import Spread

on_jax = pytest.mark.skipif(find_spec("jax") is None, reason='JAX is not installed: pip install "allcnn[jax]"')
SPEC = "D.2-8C3-8C3/2-D.5-12C3v-NC1-GAP"


@pytest.fixture
def pictures(request, tmp_path) -> Path:
    """CIFAR-10's photographs as a NumPy file, else noise whose classes differ in colour."""
    try:
        return request.getfixturevalue("photographs") / "cifar10-head.npz"
    except pytest.skip.Exception:
        random = np.random.default_rng(0)
        labels = random.integers(0, 10, 1300).astype(np.uint8)
        images = random.integers(0, 120, (1300, 32, 32, 3)) + 12 * labels[:, None, None, None] * np.array([1, 0, 0])
        images = np.clip(images, 0, 255).astype(np.uint8)
        arrays = {"x_train": images[:1100], "y_train": labels[:1100], "x_test": images[1100:], "y_test": labels[1100:]}
        np.savez(tmp_path / "noise.npz", **arrays)
        return tmp_path / "noise.npz"


@on_jax
@pytest.mark.slow
@pytest.mark.stand_in
def test_two_hosts_of_two_devices_see_the_losses_of_one_device(pictures, tmp_path) -> None:
    setting = {
        "data_dir": str(pictures), "model": "D.2-16C5/2-D.5-24C3/2-NC1:linear-GAP", "learning_rate": 0.05,
        "batch_size": 40, "images": 1000,
    }  # fmt: skip
    moved, found = many_devices.compare(setting, tmp_path, configurations=((2, 2),), nudges=0)
    assert moved >= 0.1
    # The first of the steps, before the network takes a rounding error further by itself (RESULTS.md, "Many devices").
    assert found["2 x 2"][:10].max() < many_devices.TOLERANCE


@on_jax
@pytest.mark.slow
def test_a_lost_host_is_said_and_the_run_goes_on_on_one(tmp_path) -> None:
    two = many_devices.TwoHosts(tmp_path, epochs=2)
    _, code, said = two.lose(tmp_path / "run", 1, signal.SIGKILL)
    assert code == 1
    # It need not wait for the silence: the connection tells.
    error, advice = said.splitlines()[-2:]
    assert error.startswith("error: host 1 (") and error.endswith("was lost: its connection closed.")
    assert advice.endswith(f"allcnn train --resume --run-dir {tmp_path / 'run'}")
    two.finish(tmp_path / "run", hosts=1)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["devices"], config["hosts"]) == (1, 1)
    assert config["changes"][0]["allowed"] == ["the number of hosts was 2, now 1"]
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["status"] == "finished"


@on_jax
@pytest.mark.slow
def test_hosts_that_were_told_different_things_are_refused(tmp_path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "allcnn_cli", "train", "--spec", SPEC, "--dataset", "digits", "--run-dir",
             str(tmp_path / "run"), "--seed", str(seed), *more],
            env=many_devices.environment(1, tmp_path / "compiled"), stderr=subprocess.PIPE, text=True,
        )
        for seed, more in enumerate(many_devices.each_host(2))
    ]  # fmt: skip
    said = [process.communicate(timeout=many_devices.LONGEST)[1] for process in processes]
    assert [process.returncode for process in processes] == [2, 2]
    assert all("the hosts were not told the same: seed is 0 on host 0 and 1 on host 1." in errors for errors in said)
    assert not (tmp_path / "run").exists()


@on_jax
@pytest.mark.slow
def test_hosts_without_a_common_folder_are_refused(tmp_path, monkeypatch) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "allcnn_cli", "train", "--spec", SPEC, "--dataset", "digits", "--run-dir",
             str(tmp_path / f"run-{host}"), *more],
            env=many_devices.environment(1, tmp_path / "compiled"), stderr=subprocess.PIPE, text=True,
        )
        for host, more in enumerate(many_devices.each_host(2))
    ]  # fmt: skip
    said = [process.communicate(timeout=many_devices.LONGEST)[1] for process in processes]
    assert [process.returncode for process in processes] == [2, 2]
    assert all("run-1: does not hold what host 0 wrote into its run folder; expected" in errors for errors in said)
    assert not list(tmp_path.glob("run-*"))


@pytest.mark.parametrize("devices", [0, -1, True])
def test_a_number_of_devices_that_is_none_is_refused(stripes, tmp_path, devices) -> None:
    with pytest.raises(InputError, match="spread over 1, 2, ... devices; got"):
        train(SPEC, dataset=stripes, run_dir=tmp_path / "run", devices=devices)


@pytest.mark.backends
def test_more_devices_than_one_here_are_refused(stripes, numbers, tmp_path) -> None:
    expected = "there is 1 here" if find_device().backend == "jax" else "on tensorflow .* Spread it with --backend jax"
    with pytest.raises(InputError, match=expected):
        train(SPEC, dataset=stripes, run_dir=tmp_path / "run", devices=2, **numbers)
    assert not (tmp_path / "run").exists()


@on_jax
def test_a_batch_that_does_not_divide_is_refused_before_anything_is_written(run_python, tmp_path) -> None:
    result = run_python(
        "-m", "allcnn_cli", "train", "--spec", SPEC, "--dataset", "digits", "--run-dir", str(tmp_path / "run"),
        check=False, **many_devices.environment(8, tmp_path),
    )  # fmt: skip
    assert result.returncode == 2
    assert "a batch of 25 images does not divide among 8 devices; expected --batch-size 24 or 32, or --devices 5." in (
        result.stderr
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.backends
def test_one_device_makes_no_distribution(stripes, numbers, tmp_path, monkeypatch) -> None:
    import keras

    def refuse(*arguments, **named):
        raise AssertionError("a distribution for one device")

    monkeypatch.setattr(keras.distribution, "DataParallel", refuse)
    train(SPEC, dataset=stripes, run_dir=tmp_path / "run", **{**numbers, "epochs": 1})
    assert keras.distribution.distribution() is None
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["devices"], config["hosts"]) == (1, 1)
    assert Spread().outside(len) is len
