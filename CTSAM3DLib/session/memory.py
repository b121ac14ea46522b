"""How much memory a session needs, known before it is opened; and what to say without it."""

from __future__ import annotations

import ctypes
import math
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from CTSAM3DLib.errors import NotEnoughMemoryError
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.models.contract import ModelSettings, Predictor
from CTSAM3DLib.models.tuning import tuned
from CTSAM3DLib.session.encoder import OTHER_SHARE
from CTSAM3DLib.session.growing_rules import GrowingRules, GrowMode
from CTSAM3DLib.session.patches import choose_spacing_mm, coarse_spacings_mm

# Measured with the bundled model on 64^3 voxels: 22 MB and 354 MB; see Testing/Benchmarks.
EMBEDDING_BYTES_PER_VOXEL = 90
NETWORK_BYTES_PER_VOXEL = 1500

_PART_BYTES = 40_000_000  # what is resampled at once, see state
_LOOK_BYTES_PER_VOXEL = 32  # of the usual grid in a coarse answer, see coarse
_LOGITS_BLOCK_BYTES = 2 * 32**3
_LOGITS_BLOCKS_PER_EDGE = 3  # of 32 voxels that a patch of 64 touches
_TORCH_BYTES = re.compile(r"allocate (\d+) bytes")
_NUMPY_BYTES = re.compile(r"allocate ([\d.]+ \w+) for an array")

ADVICE = (
    "close other volumes or programs, or crop the CT or make its voxels coarser (module Crop "
    "Volume does both)"
)


MEMINFO = Path("/proc/meminfo")


@dataclass(frozen=True)
class FreeMemory:
    """Bytes of main memory that a program can still get, without and with swapping."""

    available: int
    with_swap: int  # Beyond it allocation fails


@dataclass(frozen=True)
class MemoryEstimate:
    """Most bytes that a session takes, by what they are for; the CT is in memory before."""

    embeddings: int  # In the caches, also those of larger voxels where structures are followed
    network: int  # Intermediate results while a patch is encoded or decoded; not the weights
    click: int  # Voxels of the volume that one patch reaches: read, resampled, handed over
    undo: int  # Logits and masks of all steps

    @property
    def total(self) -> int:
        """All of it."""
        return self.embeddings + self.network + self.click + self.undo


def session_memory(
    geometry: Geometry,
    settings: ModelSettings,
    spacing_mm: float | None = None,
    patches_per_click: int = 1,
    max_patches: int = 16,
    clicks: int = 30,
) -> MemoryEstimate:
    """Return the most memory that a session needs on the processor.

    The default of `spacing_mm` is that of `patches.choose_spacing_mm`. `patches_per_click` is above
    1 where structures are followed beyond the patch; `max_patches` embeddings are kept of the usual
    grid, and `clicks` steps can be undone.
    """
    spacing = choose_spacing_mm(geometry, settings, spacing_mm)
    patch = settings.patch_size**3
    reached = _reached(geometry, settings.patch_size * spacing)
    click = _click_bytes(geometry, reached, spacing)
    sizes = set(tuned(settings).voxel_sizes_mm.values()) if spacing_mm is None else ()
    kept = max_patches + len(sizes) * max(1, max_patches // OTHER_SHARE)
    if patches_per_click > 1:  # a coarse answer may come first
        far = max(spacing, settings.spacing_range_mm[1])
        look = round(patch * (far / spacing) ** 3)
        reached_far = _reached(geometry, settings.patch_size * far)
        click = _click_bytes(geometry, reached_far, far) + _LOOK_BYTES_PER_VOXEL * look
        looks = len(coarse_spacings_mm(spacing, settings.spacing_range_mm))
        kept += looks * max(1, max_patches // OTHER_SHARE)
    logits = _LOGITS_BLOCK_BYTES * _LOGITS_BLOCKS_PER_EDGE**3 * max(1, patch // 64**3)
    return MemoryEstimate(
        embeddings=kept * EMBEDDING_BYTES_PER_VOXEL * patch,
        network=NETWORK_BYTES_PER_VOXEL * patch,
        click=click,
        undo=clicks * patches_per_click * (logits + reached // 8),
    )


def _reached(geometry: Geometry, edge_mm: float) -> int:
    """Return how many voxels of a volume a cube may reach."""
    return math.prod(
        min(size, math.ceil(edge_mm / step) + 1)
        for size, step in zip(geometry.size_ijk, geometry.spacing_mm, strict=True)
    )


def _click_bytes(geometry: Geometry, reached: int, spacing_mm: float) -> int:
    """Return the bytes for the voxels of the volume that a patch reaches."""
    # Averaged along the slowest axis first, as float32.
    averaged = 4 * reached // max(1, int(spacing_mm / geometry.spacing_mm[2]))
    return max(averaged, 2 * reached + _PART_BYTES)


def memory_warning(
    volume: Volume,
    predictor: Predictor,
    spacing_mm: float | None = None,
    grow: bool | str = False,
    free: FreeMemory | None = None,
) -> str | None:
    """Return what to say when the memory may not suffice for a session; None if it does.

    The volume is in memory already; on a graphics card, embeddings and network are in the memory of
    that. `spacing_mm` and `grow` are those of the session, `free` is by default what the operating
    system tells; nothing is checked where it tells nothing. Raises NotEnoughMemoryError: not even
    the first click can succeed.

    Examples
    --------
    >>> import numpy as np
    >>> from types import SimpleNamespace
    >>> settings = ModelSettings("demo", 64, (1.0, 4.0), 2.0, ((-100.0, 200.0),))
    >>> model = SimpleNamespace(settings=settings, device="cpu")
    >>> ct = Volume.from_array(np.zeros((9, 9, 9), np.int16), (1, 1, 1))
    >>> print(memory_warning(ct, model, free=FreeMemory(600_000_000, 4_000_000_000)))
    Up to 0.9 GB of memory may be needed and 0.6 GB are free: close other volumes ...
    >>> memory_warning(ct, model, free=FreeMemory(4_000_000_000, 4_000_000_000)) is None
    True
    """
    free = free_memory() if free is None else free
    if free is None:
        return None
    patches = GrowingRules().max_patches if GrowMode.of(grow) else 1
    most = session_memory(volume.geometry, predictor.settings, spacing_mm, patches)
    least = most.click
    needed = most.click + most.undo
    if predictor.device == "cpu":
        least += most.network
        needed = most.total
    if least > free.with_swap:
        raise NotEnoughMemoryError(
            f"not enough memory: expected {_gigabytes(least)} for a click in this CT, got "
            f"{_gigabytes(free.with_swap)} free: {ADVICE}"
        )
    if needed <= free.available:
        return None
    return (
        f"Up to {_gigabytes(needed)} of memory may be needed and {_gigabytes(free.available)} "
        f"are free: {ADVICE}."
    )


def memory_error(error: BaseException) -> NotEnoughMemoryError:
    """Return the error to raise in place of one of numpy or PyTorch: what was needed, what to do.

    Examples
    --------
    >>> print(memory_error(MemoryError("Unable to allocate 2.93 GiB for an array with shape")))
    not enough memory: expected 2.93 GiB more, got ... free. Nothing was changed: close other ...
    """
    if isinstance(error, NotEnoughMemoryError):
        return error
    needed = "more than there is"
    if (found := _TORCH_BYTES.search(str(error))) is not None:
        needed = f"{_gigabytes(int(found[1]))} more"
    elif (found := _NUMPY_BYTES.search(str(error))) is not None:
        needed = f"{found[1]} more"
    free = free_memory()
    got = "none" if free is None else _gigabytes(free.available)
    message = f"not enough memory: expected {needed}, got {got} free. Nothing was changed: {ADVICE}"
    return NotEnoughMemoryError(message)


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"


def free_memory() -> FreeMemory | None:
    """Return how much main memory is free; None where the system does not tell."""
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
