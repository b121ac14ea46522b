"""Tests of settings of the whole process."""

import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import numpy as np
from CTSAM3DLib.cli.process import keep_freed_memory
if sys.argv[1] == "keep" and not keep_freed_memory():
    sys.exit(3)
def faults():
    np.ones(16_000_000, np.float32)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
first = faults()
for _ in range(5):
    last = faults()
print(last - first)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="page faults are counted on Linux")
def test_kept_memory_is_not_cleared_anew_for_each_array() -> None:
    counts = {}
    for way in ("keep", "plain"):
        done = subprocess.run(
            [sys.executable, "-c", FAULTS, way], capture_output=True, text=True, check=False
        )
        if done.returncode == 3:
            pytest.skip("this C library has no mallopt")
        assert done.returncode == 0, done.stderr
        counts[way] = int(done.stdout)
    # Huge pages need fewer faults, so the two are compared.
    assert counts["keep"] < 0.2 * max(counts["plain"], 5), counts
