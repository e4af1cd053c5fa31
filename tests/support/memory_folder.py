"""Where the temporary folders of tests are: in memory, if this machine has enough.

On a disk, tests spend a quarter of their time waiting for it: SQLite, MongoDB and etcd wait for every transaction.
"""

import os
from pathlib import Path

import psutil

IN_MEMORY = Path("/dev/shm")  # noqa: S108 - pytest creates a folder of its own there
VARIABLE = "PYTEST_DEBUG_TEMPROOT"
"""Where pytest creates its temporary folders. Whoever sets it decides."""
NEEDED = 8 * 2**30
"""Bytes: four test processes with their servers, and two gigabytes of files."""
CONTAINER = Path("/sys/fs/cgroup")
"""Where Linux says how much memory a container has. What is written into memory counts as used there."""


def use_memory(folder: Path = IN_MEMORY) -> None:
    """Let pytest create its temporary folders in memory, unless it is told where, or there is too little memory."""
    if VARIABLE not in os.environ and _is_fit(folder):
        os.environ[VARIABLE] = str(folder)


def _is_fit(folder: Path) -> bool:
    if not os.access(folder, os.W_OK):
        return False
    found = os.statvfs(folder)
    # Tests run programs that they have written there. In many containers this folder does not allow that, or is tiny.
    runs_programs = not found.f_flag & os.ST_NOEXEC
    free = (found.f_bavail * found.f_frsize, psutil.virtual_memory().available, *_left_in_container())
    return runs_programs and min(free) >= NEEDED


def _left_in_container() -> tuple[int, ...]:
    """The bytes up to the limit of this container; empty if it has none, or is none."""
    try:
        limit, used = ((CONTAINER / f"memory.{name}").read_text().strip() for name in ("max", "current"))
    except OSError:
        return ()
    return (int(limit) - int(used),) if limit.isdigit() and used.isdigit() else ()
