"""Run as a file, by `allcnn.processes`: become a command that gets a signal when its parent is gone.

    python orphan.py PARENT SIGNAL COMMAND ARGUMENT...

A program of its own, of the standard library alone: code between fork and exec is unsafe in a process of many threads,
such as a Ray worker. Linux only; elsewhere a child whose parent was killed finishes its run, and its lock tells a new
one to wait for it.
"""

import os
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask for the signal, by its number, at the parent's death; then become the command."""
    parent, signal, *command = sys.argv[1:]
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal), 0, 0, 0)
        if os.getppid() != int(parent):  # it died before this was asked
            sys.exit(130)
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
