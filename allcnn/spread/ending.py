"""How a run that several hosts share ended, and what each of them says about it."""

from __future__ import annotations

from dataclasses import dataclass

from allcnn.errors import AllcnnError, HostError, InputError


@dataclass(frozen=True)
class Ending:
    """How a run ended: what is said about it, the exit code, on which host, and whether that one was lost."""

    message: str
    code: int
    host: int
    lost: bool = False

    def heard_by(self, host: int) -> AllcnnError:
        """The error that this is on a host. A wrong call is one on all; an interrupt is for the others just an end."""
        if self.lost or self.host == host:
            return (InputError if self.code == 2 else HostError)(self.message)
        if self.code == 2:
            return InputError(f"host {self.host}: {self.message}")
        return HostError(f"host {self.host} ended the run: {self.message}")
