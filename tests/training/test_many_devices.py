"""The short form of tests/studies/many_devices.py: virtual devices of the CPU, two processes on loopback."""

import json
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from types import SimpleNamespace

import many_devices
import numpy as np
import pytest

from allcnn.data import load_data
from allcnn.device import find_device
from allcnn.errors import InputError
from allcnn.runs.checkpoint import load_state
from allcnn.runs.folder import RunFolder
from allcnn.runs.recipe import RECIPES
from allcnn.training.run import train
from allcnn.training.spread import find_hosts, settle

on_jax = pytest.mark.skipif(find_spec("jax") is None, reason="JAX is not installed: pip install jax")
SPEC = "D.2-8C3-8C3/2-D.5-12C3v-NC1-GAP"


@on_jax
@pytest.mark.slow
def test_two_hosts_of_two_devices_see_the_losses_of_one_device(tmp_path) -> None:
    digits = load_data("digits")
    np.savez(
        tmp_path / "digits.npz", x_train=digits.train_images, y_train=digits.train_labels,
        x_test=digits.test_images, y_test=digits.test_labels,
    )  # fmt: skip
    setting = {
        "data_dir": str(tmp_path / "digits.npz"), "model": "D.2-16C5/2-D.5-24C3/2-NC1:linear-GAP",
        "learning_rate": 0.05, "batch_size": 40, "images": 1000, "preprocessing": "standardize",
        "initializer": RECIPES["paper"].initializer, "steps": 12,
    }  # fmt: skip
    moved, found = many_devices.compare(setting, tmp_path, configurations=((2, 2),), nudges=0)
    assert moved >= 0.1
    # The first of the steps, before the network takes a rounding error further by itself (RESULTS.md). The first shows
    # whether the devices see the same images, shifts and masks, the others whether gradients and momenta add up.
    assert found["2 x 2"][:3].max() < many_devices.TOLERANCE


@on_jax
@pytest.mark.slow
def test_sigterm_on_one_host_stops_all_at_one_step_and_the_run_goes_on_on_one(tmp_path) -> None:
    # So many epochs that the signal comes long before the last, however fast the machine is.
    two, run = many_devices.TwoHosts(tmp_path, epochs=1000, save_every=1), tmp_path / "run"
    _, ended = two.disturb(run, 1, signal.SIGTERM)
    assert [code for code, _ in ended] == [130, 130]
    lines = [said.splitlines()[-2:] for _, said in ended]
    assert lines[0] == lines[1]
    assert lines[0][0].startswith("interrupted: ") and lines[0][0].endswith(" are saved. Go on with:")
    assert lines[0][1] == f"allcnn train --resume --run-dir {run}"
    epochs = str(load_state(RunFolder(run)).epochs_done + 1)
    two.finish(run, hosts=1, options=("--epochs", epochs, "--allow", "epochs"))
    config = json.loads((run / "config.json").read_text())
    assert (config["devices"], config["hosts"]) == (1, 1)
    assert "the number of hosts was 2, now 1" in config["changes"][0]["allowed"]
    assert json.loads((run / "summary.json").read_text())["status"] == "finished"


# All three in one process each: to load Keras takes longest.
REFUSED = """
import sys
from allcnn import train
from allcnn.errors import InputError, TrainingError
from allcnn.training import spread
spread._FOLDER_SECONDS = 1.0
host, address, folder = int(sys.argv[1]), *sys.argv[2:]
for run, options in (("one", {"seed": host}), (f"own-{host}", {}), ("diverging", {"learning_rate": 1e20})):
    try:
        train("8C3-NC1-GAP", dataset="digits", run_dir=f"{folder}/{run}", batch_size=40, epochs=1, hosts=address,
              host_index=host, host_count=2, **options)
    except (InputError, TrainingError) as error:
        print(error)
"""


@on_jax
@pytest.mark.slow
def test_hosts_that_were_told_different_things_see_no_common_folder_or_diverge_all_end(tmp_path) -> None:
    address = many_devices.each_host(2)[0][1]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", REFUSED, str(host), address, str(tmp_path)], stdout=subprocess.PIPE, text=True,
            env=many_devices.environment(1, tmp_path / "compiled"),
        )
        for host in range(2)
    ]  # fmt: skip
    said = [process.communicate(timeout=many_devices.LONGEST)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    for text in said:
        assert "the hosts were not told the same: seed is 0 on host 0 and 1 on host 1." in text
        assert f"host 1: {tmp_path / 'own-1'}: does not hold what host 0 wrote into its run folder; expected" in text
        assert "in epoch 1: the run diverged." in text
    assert not list(tmp_path.glob("o*"))
    assert json.loads((tmp_path / "diverging" / "summary.json").read_text())["status"] == "diverged"


@on_jax
def test_hosts_that_cannot_be_found_are_said_in_a_line(run_python) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = f"127.0.0.1:{listener.getsockname()[1]}"
        program = f"""
from allcnn.errors import AllcnnError
from allcnn.training import spread
spread._JOIN_SECONDS = 1
for hosts in (("auto",), ({taken!r}, 0, 2), ({taken!r}, 1, 2)):
    try:
        spread.connect(spread.find_hosts(*hosts), None)
    except AllcnnError as error:
        print(error.exit_code, error)
"""
        scheduler = dict.fromkeys(("SLURM_JOB_ID", "OMPI_MCA_orte_hnp_uri", "KUBERNETES_SERVICE_HOST"))
        said = run_python("-c", program, **scheduler).stdout
    assert "2 --hosts auto: JAX finds no SLURM, Open MPI or other scheduler here" in said
    assert f"1 port {taken.rpartition(':')[2]} cannot be opened (" in said
    assert "1 the hosts did not find each other within 1 s" in said


def test_an_address_a_number_and_a_count() -> None:
    assert find_hosts(None) is None and find_hosts("node1:29400", 0, 1) is None
    assert find_hosts("auto") == {}
    found = find_hosts("[fe80::1]:29400", 1, 2)
    assert (found["coordinator_address"], found["process_id"], found["num_processes"]) == ("[fe80::1]:29400", 1, 2)
    assert "coordinator_bind_address" not in found
    assert find_hosts("localhost:29400", 1, 2)["coordinator_bind_address"] == "localhost:29400"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((None, 1, None), "--host-index was given without --hosts"),
        ((None, None, 2), "--host-count was given without --hosts"),
        (("auto", 0, None), "--host-index was given beside --hosts auto"),
        (("node1:29400", None, 2), "with --host-index None and --host-count 2; expected both"),
        (("node1:29400", 2, 2), "with --host-index 2 and --host-count 2"),
        (("node1:29400", 0, 0), "with --host-index 0 and --host-count 0"),
        (("node1", 0, 2), '"node1" is no address'),
        (("node1:0", 0, 2), "is no address"),
        (("node1:65536", 0, 2), "is no address"),
        (("http://node1:80", 0, 2), "is no address"),
        (("fe80::1:29400", 0, 2), "is no address"),
    ],
)
def test_hosts_that_make_no_sense_are_named(arguments, words) -> None:
    with pytest.raises(InputError) as caught:
        find_hosts(*arguments)
    assert words in str(caught.value)


@pytest.mark.backends
def test_more_devices_than_one_here_are_refused(stripes, numbers, tmp_path) -> None:
    expected = "there is 1 here" if find_device().backend == "jax" else "on tensorflow .* Spread it with --backend jax"
    with pytest.raises(InputError, match=expected):
        train(SPEC, dataset=stripes, run_dir=tmp_path / "run", devices=2, **numbers)
    assert not (tmp_path / "run").exists()


def test_a_batch_that_does_not_divide_is_refused(monkeypatch) -> None:
    device = replace(find_device(), backend="jax")
    plan = SimpleNamespace(asked=SimpleNamespace(devices=8), stored=None)
    monkeypatch.setitem(sys.modules, "jax", SimpleNamespace(local_device_count=lambda: 8))
    with pytest.raises(InputError) as caught:
        settle(plan, False, device, 25)
    assert str(caught.value) == (
        "a batch of 25 images does not divide among 8 devices; expected --batch-size 24 or 32, or --devices 5."
    )


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
