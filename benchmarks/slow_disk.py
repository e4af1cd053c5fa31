"""A disk whose fsync takes 20 ms, for the processes of a benchmark."""

import shutil
import subprocess
from pathlib import Path


def slow_disk(folder: Path) -> dict[str, str] | None:
    """The environment in which a process has it; None without a C compiler, which makes the library.

    Args:
        folder: where the library is put.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    library, source = folder / "slow_fsync.so", Path(__file__).with_name("slow_fsync.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return {"LD_PRELOAD": str(library)}
