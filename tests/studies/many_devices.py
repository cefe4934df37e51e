"""One run on many devices and hosts: the same losses as on one? And what becomes of it when a host is lost?

    python tests/studies/many_devices.py DATA_DIR
    python tests/studies/many_devices.py DATA_DIR --model strided-a --learning-rate 0.01 --images 2000

On CIFAR-10 (DATA_DIR as for `allcnn train`, or a NumPy file), whitened, flipped and shifted, with dropout, in float32
on JAX. A run is trained on one device until its loss has left that of guessing. Its next 50 steps are then taken from
copies of its folder on one device, on eight of one process, on two processes of four each, and on two of one each, and
every step's loss is compared. The devices are virtual ones of the CPU, the processes meet on loopback. Then two
processes train the digits, and one of them is asked to stop, killed or frozen: how soon has the other ended, and does
the resumed run end as the undisturbed one? Exit code 1 where a loss differs by 1e-5 or more and by more than twice what
a nudge of the weights' last digit does to it on one device, a run resumed on two hosts by a bit, one resumed on one
host by more than ten times what such a nudge does to its weights, or where the other does not end within a minute.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
from kills import SPEC, differences, saved_weights

from allcnn.data.dataset import Dataset
from allcnn.processes import python_path
from allcnn.runs.checkpoint import load_state, save_state
from allcnn.runs.folder import RunFolder

NARROW = "D.2-24C5/2-D.5-32C5/2-D.5-32C3v-32C1-NC1:linear-GAP"
STEPS = 50
TOLERANCE = 1e-5
NUDGED = "1 x 1, nudged"
#: (processes, devices of each)
CONFIGURATIONS = ((1, 8), (2, 4), (2, 1))
LONGEST = 900.0
ON_PLATEAU = math.log(10) - 0.15


def environment(devices: int, cache: Path) -> dict[str, str]:
    """JAX with so many virtual devices; what several processes compile alike is compiled once."""
    return {
        **os.environ, **python_path(), "KERAS_BACKEND": "jax", "TF_CPP_MIN_LOG_LEVEL": "3",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "JAX_COMPILATION_CACHE_DIR": str(cache), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }  # fmt: skip


def each_host(processes: int) -> list[list[str]]:
    """What the command of each process has that those of the others have not."""
    if processes == 1:
        return [[]]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    return [
        ["--hosts", address, "--host-index", str(host), "--host-count", str(processes)] for host in range(processes)
    ]


def steps_of(setting: dict, folder: Path, processes: int, devices: int, run: Path) -> list[float]:
    """The losses of the next steps of a run, taken by so many processes; what each of them saw must be the same."""
    started = []
    for host, more in enumerate(each_host(processes)):
        out = folder / f"losses-{processes}x{devices}-{host}.json"
        work = {**setting, "run": str(run), "out": str(out), "devices": devices, "hosts": more}
        command = [sys.executable, __file__, "--work", json.dumps(work)]
        settings = {"env": environment(devices, folder / "compiled"), "stderr": subprocess.PIPE, "text": True}
        started.append((subprocess.Popen(command, **settings), out))
    seen = []
    for process, out in started:
        _, errors = process.communicate(timeout=LONGEST)
        if process.returncode != 0:
            raise SystemExit(f"{processes} x {devices} ended with {process.returncode}:\n{errors[-3000:]}")
        seen.append(json.loads(out.read_text()))
    if any(losses != seen[0] for losses in seen):
        raise SystemExit(f"{processes} x {devices}: the processes saw other losses")
    return seen[0]


def from_arrays(path: str) -> Dataset:
    """x_train, y_train, x_test, y_test of a NumPy file."""
    with np.load(path) as arrays:
        x_train, y_train, x_test, y_test = (arrays[name] for name in ("x_train", "y_train", "x_test", "y_test"))
    return Dataset(
        "cifar10", x_train, y_train.astype(np.int32), x_test, y_test.astype(np.int32), tuple("0123456789"),
        source=path, layout="array", resize="none",
    )  # fmt: skip


def work(work: dict) -> None:
    """One process: begin the run and train it off the plateau, or take the steps that follow."""
    import keras

    from allcnn import Recipe, load_data, train

    data = (
        from_arrays(work["data_dir"]) if work["data_dir"].endswith(".npz") else load_data("cifar10", work["data_dir"])
    )
    if work["images"]:
        count = work["images"]
        data = replace(
            data, train_images=data.train_images[:count], train_labels=data.train_labels[:count],
            test_images=data.test_images[:500], test_labels=data.test_labels[:500],
        )  # fmt: skip
    losses: list[float] = []

    class EachStep(keras.callbacks.Callback):
        """The loss of every step by itself: Keras's is the mean of the epoch so far."""

        def on_train_batch_begin(self, batch, logs=None):
            if batch:
                self.model.jax_state_sync()
                self.model.reset_metrics()

        def on_train_batch_end(self, batch, logs=None):
            losses.append(float(logs["cross_entropy"]))
            if len(losses) == work.get("steps", STEPS):
                self.model.stop_training = True

    class OffThePlateau(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = logs["cross_entropy"] < ON_PLATEAU - 0.1

    run = {"dataset": data, "run_dir": work["run"], "precision": "float32", "devices": work["devices"]}
    if work["out"] is None:
        # The start with which the figures were measured; how a rounding error grows depends on the way taken.
        recipe = Recipe(
            "study", length=200, milestones=(), learning_rate=work["learning_rate"], batch_size=work["batch_size"],
            augmentation="flip-shift", preprocessing=work.get("preprocessing", "gcn-zca"),
            initializer=work.get("initializer", "lecun_normal"),
        )  # fmt: skip
        train(work["model"], recipe=recipe, callbacks=[OffThePlateau()], patience=200, test_every=1000, **run)
        return
    hosts = dict(zip(("hosts", "host_index", "host_count"), work["hosts"][1::2], strict=False))
    if hosts:
        hosts.update(host_index=int(hosts["host_index"]), host_count=int(hosts["host_count"]))
    train(resume=True, callbacks=[EachStep()], **run, **hosts)
    Path(work["out"]).write_text(json.dumps(losses))


def nudge(run: Path, seed: int) -> None:
    """Change every weight of a state by up to half a float32's last digit or so, as another order of adding does."""
    state = load_state(RunFolder(run))
    random = np.random.default_rng(seed)
    arrays = {
        key: array * (1 + random.uniform(-6e-8, 6e-8, array.shape)).astype(array.dtype)
        if key.startswith("model/") and array.dtype == np.float32
        else array
        for key, array in state.arrays.items()
    }
    save_state(RunFolder(run), replace(state, arrays=arrays))


def compare(
    setting: dict, folder: Path, configurations=CONFIGURATIONS, nudges: int = 5
) -> tuple[float, dict[str, np.ndarray]]:
    """-> (how far the loss moves over the steps, and for each configuration each step's distance from one device's)

    With them goes one device whose weights were nudged, at each step the farthest of several: what this network makes
    of a rounding error by itself.
    """
    begun = Path(setting.get("begun") or folder / "begun")
    command = [sys.executable, __file__, "--work"]
    first = {**setting, "run": str(begun), "out": None, "devices": 1, "hosts": []}
    if not begun.exists():
        settings = {"env": environment(1, folder / "compiled"), "check": True, "stdout": subprocess.DEVNULL}
        subprocess.run([*command, json.dumps(first)], **settings)

    def losses(processes: int, devices: int, name: str, seed: int | None = None) -> np.ndarray:
        run = folder / name
        shutil.copytree(begun, run)
        if seed is not None:
            nudge(run, seed)
        return np.array(steps_of(setting, folder, processes, devices, run))

    one = losses(1, 1, "one")
    if len(one) != setting.get("steps", STEPS) or one[:5].mean() > ON_PLATEAU:
        raise SystemExit(f"{len(one)} steps from a loss of {one[:5].mean():.3f}: not off the plateau")
    found = {
        f"{processes} x {devices}": np.abs(losses(processes, devices, f"{processes}x{devices}") - one)
        for processes, devices in configurations
    }
    if nudges:
        found[NUDGED] = np.max([np.abs(losses(1, 1, f"nudged-{seed}", seed) - one) for seed in range(nudges)], axis=0)
    return float(one.max() - one.min()), found


class TwoHosts:
    """The real command on two hosts, on the digits, and what each says."""

    def __init__(self, folder: Path, epochs: int = 4, save_every: int = 5):
        self.folder, self.epochs, self.save_every = folder, epochs, save_every

    def start(self, run: Path, hosts: int = 2, options: Sequence[str] = ()) -> list[subprocess.Popen]:
        command = [sys.executable, "-m", "allcnn_cli", "train", "--run-dir", str(run), "--devices", "1"]
        if (run / "config.json").exists():
            command += ["--resume", *options]
        else:
            command += ["--spec", SPEC, "--dataset", "digits", "--batch-size", "40", "--augment", "flip-shift"]
            command += ["--epochs", str(self.epochs), "--save-every", str(self.save_every)]
        return [
            subprocess.Popen(
                [*command, *more], env=environment(1, self.folder / "compiled"), stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE, text=True,
            )
            for more in each_host(hosts)
        ]  # fmt: skip

    def finish(self, run: Path, hosts: int = 2, options: Sequence[str] = ()) -> Path:
        for process in self.start(run, hosts, options):
            _, errors = process.communicate(timeout=LONGEST)
            if process.returncode != 0:
                raise SystemExit(f"a host ended with {process.returncode}:\n{errors}")
        return run

    def disturb(self, run: Path, victim: int, number: signal.Signals) -> tuple[float, list[tuple[int, str]]]:
        """Send a host a signal in the middle of the run; the seconds until the other ended, and how each did.

        A frozen host is killed once the other has ended.
        """
        processes = self.start(run)
        try:
            until = time.monotonic() + LONGEST
            while not (run / "state.previous.h5").exists() and time.monotonic() < until:
                if any(process.poll() is not None for process in processes):
                    raise SystemExit(f"a host ended by itself:\n{processes[1].communicate()[1]}")
                time.sleep(0.05)
            processes[victim].send_signal(number)
            begun = time.monotonic()
            said = {1 - victim: processes[1 - victim].communicate(timeout=LONGEST)[1]}
            seconds = time.monotonic() - begun
            if number == signal.SIGSTOP:
                processes[victim].kill()
            said[victim] = processes[victim].communicate(timeout=LONGEST)[1]
            return seconds, [(process.returncode, said[host]) for host, process in enumerate(processes)]
        finally:
            for process in processes:
                process.kill()
                process.communicate()


def farthest_weight(whole: Path, run: Path) -> float:
    """The largest difference of any weight in the models that two runs left."""
    one, other = (saved_weights(folder / "model.keras") for folder in (whole, run))
    return max(float(np.abs(one[name] - other[name]).max()) for name in one)


def lost_hosts(folder: Path) -> bool:
    """Stop, kill and freeze either host, and go on: prints what came of it, and says whether all was well."""
    two = TwoHosts(folder)
    whole, well = two.finish(folder / "whole"), True
    nudged = 0.0
    for victim, number in product((1, 0), (signal.SIGINT, signal.SIGTERM, signal.SIGKILL, signal.SIGSTOP)):
        run = folder / f"lost-{victim}-{number.name}"
        seconds, ended = two.disturb(run, victim, number)
        code, said = ended[1 - victim]
        last = said.strip().splitlines()[-1] if said.strip() else ""
        print(f"host {victim}, {number.name}: after {seconds:.1f} s, exit code {code}: {last[:300]}", flush=True)
        alone = folder / f"{run.name}-alone"
        shutil.copytree(run, alone)
        odd = differences(whole, two.finish(run))
        if not nudged:
            for seed in range(3):
                shutil.copytree(alone, other := folder / f"nudged-{seed}")
                nudge(other, seed)
                nudged = max(nudged, farthest_weight(whole, two.finish(other, hosts=1)))
            print(f"nudged and resumed on one: weights {nudged:.1e} apart at most, of three", flush=True)
        apart = farthest_weight(whole, two.finish(alone, hosts=1))
        print(f"  resumed on two hosts: {'; '.join(odd) or 'the same bits'}; on one: weights {apart:.1e} apart at most")
        stopped = number in (signal.SIGINT, signal.SIGTERM)
        well &= seconds < 60 and (code == 130 if stopped else code != 0) and not odd and apart <= 10 * nudged
    return well


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_dir", nargs="?")
    parser.add_argument("--model", default=NARROW)
    parser.add_argument("--learning-rate", type=float, default=0.05)
    parser.add_argument("--batch-size", type=int, default=40)
    parser.add_argument("--images", type=int, default=1000, help="of the training set; 0 for all")
    parser.add_argument("--begun", help="a folder for the run on one device, to be used again if it is there")
    parser.add_argument("--skip-lost-hosts", action="store_true")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(json.loads(arguments.work))
        return
    keys = ("data_dir", "model", "learning_rate", "batch_size", "images", "begun")
    setting = {key: getattr(arguments, key) for key in keys}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        moved, found = compare(setting, folder)
        print(f"{arguments.model}: over {STEPS} steps the loss moves by {moved:.3f}")
        for name, apart in found.items():
            after = ", ".join(f"{apart[:steps].max():.1e}" for steps in (1, 10, 20, 30, 40, STEPS))
            print(f"  {name}: at most {after} from one device's within 1, 10, 20, 30, 40, {STEPS} steps", flush=True)
        tolerance = max(TOLERANCE, 2 * found[NUDGED].max())
        well = moved >= 0.1 and all(apart.max() < tolerance for apart in found.values())
        if not arguments.skip_lost_hosts:
            well &= lost_hosts(folder)
    sys.exit(not well)


if __name__ == "__main__":
    main()
