"""How much main memory is free, as the operating system tells it."""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MEMINFO = Path("/proc/meminfo")


@dataclass(frozen=True)
class FreeMemory:
    """Main memory that a program can still get.

    Parameters
    ----------
    available : int
        Bytes without swapping.
    with_swap : int
        Bytes at the very most; beyond them allocation fails.
    """

    available: int
    with_swap: int


def free_memory() -> FreeMemory | None:
    """Return how much main memory is free; None where the system does not tell.

    Examples
    --------
    >>> free = free_memory()
    >>> free is None or 0 < free.available <= free.with_swap
    True
    """
    readers = {"linux": _linux, "win32": _windows, "darwin": _macos}
    reader = readers.get(sys.platform)
    if reader is None:
        return None
    try:
        return reader()
    except (OSError, AttributeError, KeyError, ValueError):  # a system of another kind
        return None


def _linux() -> FreeMemory:
    """Read /proc/meminfo, whose numbers are in units of 1024 bytes."""
    values = {}
    for line in MEMINFO.read_text(encoding="ascii").splitlines():
        name, _, rest = line.partition(":")
        values[name] = 1024 * int(rest.split()[0])
    available = values["MemAvailable"]
    return FreeMemory(available, available + values["SwapFree"])


class MemoryStatus(ctypes.Structure):
    """MEMORYSTATUSEX of the Windows API."""

    _fields_ = (
        ("length", ctypes.c_uint32),
        ("memory_load", ctypes.c_uint32),
        ("total_physical", ctypes.c_uint64),
        ("available_physical", ctypes.c_uint64),
        ("total_page_file", ctypes.c_uint64),
        ("available_page_file", ctypes.c_uint64),
        ("total_virtual", ctypes.c_uint64),
        ("available_virtual", ctypes.c_uint64),
        ("available_extended_virtual", ctypes.c_uint64),
    )


def _windows() -> FreeMemory:
    """Ask GlobalMemoryStatusEx; the page file counts physical memory in."""
    status = MemoryStatus()
    status.length = ctypes.sizeof(status)
    library: Any = getattr(ctypes, "windll")  # noqa: B009 - exists on Windows only
    if not library.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
        raise OSError("GlobalMemoryStatusEx failed")
    available = int(status.available_physical)
    return FreeMemory(available, max(available, int(status.available_page_file)))


def _macos() -> FreeMemory:
    """Ask sysctl for the size of the memory and the share of it that is free, in percent."""
    library = ctypes.CDLL(None)
    total = _sysctl(library, b"hw.memsize", ctypes.c_uint64())
    percent = _sysctl(library, b"kern.memorystatus_level", ctypes.c_uint32())
    # Swap files grow as needed: at most what the disk holds, which nobody knows beforehand.
    return FreeMemory(total * percent // 100, 2 * total)


def _sysctl(library: Any, name: bytes, value: Any) -> int:
    size = ctypes.c_size_t(ctypes.sizeof(value))
    if library.sysctlbyname(name, ctypes.byref(value), ctypes.byref(size), None, 0):
        raise OSError(f"sysctl knows no {name.decode()}")
    return int(value.value)
