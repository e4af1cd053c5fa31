"""Takes rights from this process for good: files, network, signals. Linux only, by Landlock and namespaces.

Source: the kernel's documentation, userspace-api/landlock, and linux/landlock.h.
"""

import ctypes
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
"""System calls; the numbers are the same on x86-64 and ARM."""
_ASK_VERSION: Final = 1
_PATH_BENEATH: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38
_NEW_USER_AND_NETWORK: Final = 0x10000000 | 0x40000000

_EXECUTE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 2, 1 << 3
_READ: Final = _EXECUTE | _READ_FILE | _READ_DIR
_FILE_RIGHTS: Final = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
"""All rights to files that a version of Landlock knows; the versions in between know those of the one before."""
_TCP: Final = 0b11
"""Binding and connecting; from version 4 on."""
_SCOPES: Final = 0b11
"""Abstract Unix sockets and signals of processes outside; from version 6 on."""


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scopes", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


def confine(*, read: Iterable[Path], write: Path) -> list[str]:
    """Keep this process and its children from everything but reading some folders and writing one.

    Args:
        read: folders that may be read; those that do not exist are left out.
        write: the only folder in which files may be made.

    Returns:
        What this kernel could not take away: `files`, `network`. Empty if it took both; without namespaces, only TCP is
        taken of the network.
    """
    if not sys.platform.startswith("linux"):
        return ["files", "network"]
    libc = ctypes.CDLL(None, use_errno=True)
    has_no_network = libc.unshare(_NEW_USER_AND_NETWORK) == 0
    version = libc.syscall(_CREATE_RULESET, None, 0, _ASK_VERSION)
    left = [] if has_no_network or version >= 4 else ["network"]
    if version < 1 or not _restrict(libc, version, read, write):
        return ["files", *([] if has_no_network else ["network"])]
    return left


def _restrict(libc: ctypes.CDLL, version: int, read: Iterable[Path], write: Path) -> bool:
    """Whether the process is restricted now."""
    rights = _FILE_RIGHTS[max(known for known in _FILE_RIGHTS if known <= version)]
    ruleset = _Ruleset(rights, _TCP if version >= 4 else 0, _SCOPES if version >= 6 else 0)
    # An older kernel knows fewer fields.
    size = 8 * (1 + (version >= 4) + (version >= 6))
    rules = libc.syscall(_CREATE_RULESET, ctypes.byref(ruleset), ctypes.c_size_t(size), 0)
    if rules < 0:
        return False
    for folder, allowed in [*((path, rights & _READ) for path in read), (write, rights)]:
        if folder.is_dir():
            _allow(libc, rules, folder, allowed)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    restricted = libc.syscall(_RESTRICT_SELF, rules, 0) == 0
    os.close(rules)
    return restricted


def _allow(libc: ctypes.CDLL, rules: int, folder: Path, allowed: int) -> None:
    opened = os.open(folder, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = _PathBeneath(allowed, opened)
        libc.syscall(_ADD_RULE, rules, _PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(opened)
