"""Which hosts share a run, and which of them this process is: from the command line, or from SLURM or Open MPI."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from allcnn.errors import InputError

#: In the place of an address: SLURM's or Open MPI's environment says it all.
AUTOMATIC = "auto"
_PORTS = range(1, 65536)
# Where a scheduler names no port, one of these follows from the job's number, so that jobs seldom meet.
_FIRST_PORT, _AUTOMATIC_PORTS = 61440, 4096


@dataclass(frozen=True)
class Hosts:
    """The processes that share a run: `count` of them, this one being `index`; host 0 listens at name:port.

    place: how many of them come before this one on its machine, where each is to take accelerators of its own; None
    where a process takes all that it sees.
    """

    name: str
    port: int
    index: int
    count: int
    place: int | None = None

    @property
    def address(self) -> str:
        return f"[{self.name}]:{self.port}" if ":" in self.name else f"{self.name}:{self.port}"


def find_hosts(
    hosts: str | None, index: int | None = None, count: int | None = None, environment: Mapping[str, str] | None = None
) -> Hosts | None:
    """Who shares the run; None where this process has it for itself.

    Args:
        hosts: "name:port" of host 0, or "auto" to read SLURM's or Open MPI's environment.
        index, count: this process's number, from 0, and how many there are; only beside an address.
        environment: in the place of os.environ.

    Raises:
        InputError: an address that is none, a number out of range, or one that is missing.
    """
    if hosts is None:
        if index is not None or count is not None:
            option = "--host-index" if index is not None else "--host-count"
            raise InputError(f"{option} was given without --hosts; expected --hosts ADDRESS:PORT of host 0 beside it.")
        return None
    if hosts == AUTOMATIC:
        if index is not None or count is not None:
            raise InputError("--hosts auto reads the host's number and their count; leave --host-index and -count out.")
        found = _from_scheduler(os.environ if environment is None else environment)
    else:
        name, port = _parse_address(hosts)
        if index is None or count is None:
            option = "--host-index" if index is None else "--host-count"
            raise InputError(f"--hosts {hosts} was given without {option}; expected --host-index I --host-count N.")
        found = Hosts(name, port, index, count)
    if found.count < 1:
        raise InputError(f"a run is shared by 1, 2, ... hosts; got {found.count} (--host-count).")
    if not 0 <= found.index < found.count:
        raise InputError(
            f"the host's number is {found.index}; expected 0 to {found.count - 1}, as there are {found.count}."
        )
    return found if found.count > 1 else None


def _parse_address(text: str) -> tuple[str, int]:
    """ "node1:29400" or "[fe80::1]:29400" in two."""
    match = re.fullmatch(r"(?:\[([^\[\]\s]+)\]|([^\[\]\s:/]+)):([0-9]{1,5})", text)
    if not match or int(match[3]) not in _PORTS:
        raise InputError(f'"{text}" is no address; expected host 0\'s name or number and a free port: node1:29400.')
    return match[1] or match[2], int(match[3])


def _from_scheduler(environment: Mapping[str, str]) -> Hosts:
    """What SLURM (srun) or Open MPI (mpirun) say in the environment of each process that they start."""
    try:
        if all(key in environment for key in ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_PROCID", "SLURM_NTASKS")):
            return _from_slurm(environment)
        if "OMPI_MCA_orte_hnp_uri" in environment:
            return _from_open_mpi(environment)
    except (KeyError, ValueError) as error:
        raise InputError(f"--hosts auto: SLURM's or Open MPI's environment cannot be understood ({error}).") from None
    raise InputError(
        "--hosts auto: neither SLURM's (srun) nor Open MPI's (mpirun, up to version 4) environment is here; "
        "expected --hosts ADDRESS:PORT --host-index I --host-count N."
    )


def _from_slurm(environment: Mapping[str, str]) -> Hosts:
    # The first of "node001", "node001,host2", "node[001-015],host2", "node[001,007-015]-ib".
    match = re.match(r"([^,\[]+)(?:\[([^\],-]+)[^\]]*\]([^,]*))?", environment["SLURM_STEP_NODELIST"])
    if not match:
        raise ValueError("no node in SLURM_STEP_NODELIST")
    name = "".join(part or "" for part in match.groups())
    index, count = int(environment["SLURM_PROCID"]), int(environment["SLURM_NTASKS"])
    nodes = int(environment.get("SLURM_STEP_NUM_NODES", count))
    place = int(environment.get("SLURM_LOCALID", 0)) if count > nodes else None
    return Hosts(name, _port_of(int(environment["SLURM_JOB_ID"])), index, count, place)


def _from_open_mpi(environment: Mapping[str, str]) -> Hosts:
    # "1531576320.0;tcp://10.96.0.1,10.148.0.1:34911", or tcp6://[fe80::b9b,2620::2]:43370
    job, _, address = environment["OMPI_MCA_orte_hnp_uri"].partition(";")
    match = re.search(r"tcp://([^,:]+)|tcp6://\[([^,\]]+)", address)
    if not match:
        raise ValueError("no address in OMPI_MCA_orte_hnp_uri")
    index, count = int(environment["OMPI_COMM_WORLD_RANK"]), int(environment["OMPI_COMM_WORLD_SIZE"])
    several = int(environment.get("OMPI_COMM_WORLD_LOCAL_SIZE", 1)) > 1
    place = int(environment["OMPI_COMM_WORLD_LOCAL_RANK"]) if several else None
    # A job's number is a multiple of 4096.
    return Hosts(match[1] or match[2], _port_of(int(job.partition(".")[0]) // 4096), index, count, place)


def _port_of(job: int) -> int:
    return _FIRST_PORT + job % _AUTOMATIC_PORTS
