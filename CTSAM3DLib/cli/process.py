"""Settings of the whole process: only a command line may change them."""

from __future__ import annotations

import ctypes
import os

# Options of mallopt in glibc.
TRIM_THRESHOLD, MOST_MAPPED = -1, -4


def use_threads(count: int) -> None:
    """Keep all libraries to a number of threads."""
    os.environ.setdefault("OMP_NUM_THREADS", str(count))
    try:
        import torch

        torch.set_num_threads(count)
    except ImportError:
        pass
    try:
        import SimpleITK as sitk

        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(count)
    except ImportError:
        pass


def keep_freed_memory() -> bool:
    """Use memory again that was freed, in place of giving it back; tell whether that was possible.

    Otherwise the system clears the same pages anew for every large array of a training step. It
    works with the C library of most Linux systems (glibc).
    """
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library, or Windows
        return False
    return bool(set_option(MOST_MAPPED, 0) and set_option(TRIM_THRESHOLD, 2**31 - 1))
