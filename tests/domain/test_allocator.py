"""Freed arrays leave the process, also those between objects that stay."""

import subprocess
import sys

import pytest

PROGRAM = """
import numpy as np
from nhm_assets.domain.allocator import give_memory_back

def resident() -> float:
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 1e6

give_memory_back()
del (first := [np.ones(3_500_000)])[:]
before = resident()
arrays = [(np.ones(1_000_000), np.ones(8_000)) for _ in range(20)]
stays = [small for _, small in arrays]
del arrays
print(resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the size of the process")
def test_large_arrays_are_given_back_though_small_ones_between_them_stay():
    """20 arrays of 8 MB, each beside one of 64 KB; by default the process keeps all 160 MB."""
    said = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True).stdout
    assert float(said) < 50
