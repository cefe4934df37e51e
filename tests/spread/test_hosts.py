"""Who shares a run: the three options, and what SLURM and Open MPI say."""

import pytest

from allcnn.errors import InputError
from allcnn.spread.accelerators import _own_devices
from allcnn.spread.hosts import Hosts, find_hosts

SLURM = {
    "SLURM_JOB_ID": "5000", "SLURM_STEP_NODELIST": "node[001-004]", "SLURM_NTASKS": "4", "SLURM_PROCID": "2",
    "SLURM_LOCALID": "0", "SLURM_STEP_NUM_NODES": "4",
}  # fmt: skip
OPEN_MPI = {
    "OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.96.0.1,10.148.0.1:34911", "OMPI_COMM_WORLD_SIZE": "2",
    "OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_LOCAL_RANK": "0", "OMPI_COMM_WORLD_LOCAL_SIZE": "1",
}  # fmt: skip


def test_an_address_a_number_and_a_count() -> None:
    assert find_hosts(None) is None
    assert find_hosts("node1:29400", 1, 2) == Hosts("node1", 29400, 1, 2)
    assert find_hosts("node1:29400", 0, 1) is None
    assert find_hosts("[fe80::1]:29400", 0, 2).address == "[fe80::1]:29400"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((None, 1, None), "--host-index was given without --hosts"),
        ((None, None, 2), "--host-count was given without --hosts"),
        (("node1:29400", None, 2), "was given without --host-index"),
        (("node1:29400", 0, None), "was given without --host-count"),
        (("node1:29400", 2, 2), "the host's number is 2; expected 0 to 1"),
        (("node1:29400", -1, 2), "the host's number is -1"),
        (("node1:29400", 0, 0), "shared by 1, 2, ... hosts; got 0"),
        (("node1", 0, 2), '"node1" is no address'),
        (("node1:0", 0, 2), "is no address"),
        (("node1:65536", 0, 2), "is no address"),
        (("http://node1:80", 0, 2), "is no address"),
        (("fe80::1:29400", 0, 2), "is no address"),
        (("auto", 0, None), "leave --host-index and -count out"),
    ],
)
def test_what_is_wrong_is_named(arguments, words) -> None:
    with pytest.raises(InputError) as caught:
        find_hosts(*arguments, environment={})
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("nodes", "name"),
    [
        ("node001", "node001"), ("node001,host2", "node001"), ("node[001-015],host2", "node001"),
        ("node[001,007-015]", "node001"), ("gpu-[7-8]-ib,other", "gpu-7-ib"),
    ],
)  # fmt: skip
def test_slurm_names_the_first_node_in_many_ways(nodes, name) -> None:
    found = find_hosts("auto", environment={**SLURM, "SLURM_STEP_NODELIST": nodes})
    assert found == Hosts(name, 61440 + 5000 % 4096, 2, 4)


def test_several_processes_of_a_machine_take_a_device_each(monkeypatch) -> None:
    found = find_hosts("auto", environment={**SLURM, "SLURM_STEP_NUM_NODES": "1", "SLURM_LOCALID": "2"})
    assert found.place == 2
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert _own_devices(None, 1) is None
    assert _own_devices(2, 1) == [2] and _own_devices(1, 2) == [2, 3]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")  # the scheduler gave each process its own
    assert _own_devices(2, 1) is None


def test_open_mpi() -> None:
    found = find_hosts("auto", environment=OPEN_MPI)
    assert (found.name, found.index, found.count, found.place) == ("10.96.0.1", 1, 2, None)
    there = {**OPEN_MPI, "OMPI_MCA_orte_hnp_uri": "1314521088.0;tcp6://[fe80::b9b,2620:10d::2]:43370"}
    assert find_hosts("auto", environment=there).name == "fe80::b9b"


def test_no_scheduler_or_one_that_cannot_be_understood() -> None:
    with pytest.raises(InputError, match="neither SLURM's .* nor Open MPI's"):
        find_hosts("auto", environment={})
    with pytest.raises(InputError, match="cannot be understood"):
        find_hosts("auto", environment={**SLURM, "SLURM_PROCID": "two"})
