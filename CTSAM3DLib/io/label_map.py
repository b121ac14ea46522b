"""NIfTI label maps: one number a structure on the voxels of the CT, and a JSON file with names."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.errors import GeometryError, SegmentationFileError
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.io.content_mark import BLANK, KEY, fill_mark, write_marked_text
from CTSAM3DLib.io.safe_write import written_atomically
from CTSAM3DLib.io.segment import Segment

SUFFIX = ".nii.gz"
_LARGEST_SIZE = 32767  # of an axis, in NIfTI-1
_LABEL_INTENT = 1002
_SCANNER_CODE = 1
_MM = 2
_UINT8, _UINT16 = (2, 8), (512, 16)  # code of the type, bits


def names_path(path: str | Path) -> Path:
    """Return the JSON file with the names of a label map.

    Examples
    --------
    >>> names_path("out/organs.nii.gz").name
    'organs.labels.json'
    """
    file = Path(path)
    return file.with_name(f"{file.name[: -len(SUFFIX)]}.labels.json")


def write_label_map(path: str | Path, segments: Sequence[Segment], geometry: Geometry) -> int:
    """Write a label map (``.nii.gz``), and beside it the names, colours and codes of its labels.

    The first segment gets label 1, and so on. A voxel holds one number: where structures overlap it
    belongs to the smallest of them. Returns how many voxels are hidden so; the names file counts
    them for each structure. Files that exist are replaced whole.

    Raises SegmentationFileError: no segments, too many, a mask outside the volume, or a name that
    does not end as it should; GeometryError: more voxels along an axis than the format can count;
    OSError: a file cannot be written.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from CTSAM3DLib.io.segment import RegionMask
    >>> box = RegionMask.from_full(np.ones((2, 3, 4), bool))
    >>> file = Path(mkdtemp()) / "organs.nii.gz"
    >>> write_label_map(file, [Segment("liver", box)], Geometry(np.eye(4), (2, 3, 4)))
    0
    >>> json.loads(names_path(file).read_text())["labels"]["1"]["code"]
    ['SCT', '10200004', 'Liver']
    """
    if not str(path).lower().endswith(SUFFIX):
        raise SegmentationFileError(f"expected a file name ending with {SUFFIX}, got {path}")
    if not 0 < len(segments) <= np.iinfo(np.uint16).max:
        raise SegmentationFileError(f"expected 1 to 65535 segments, got {len(segments)}")
    labels = label_array(segments, geometry)
    counts = np.bincount(labels.ravel(), minlength=len(segments) + 1)
    hidden = [one.mask.voxel_count - int(counts[n]) for n, one in enumerate(segments, 1)]
    with written_atomically(path) as temporary:
        with temporary.open("wb") as file:
            _write_gzip(file, _header(geometry, labels.dtype), labels)
        fill_mark(temporary)
    rows = {str(n): _about(one, hidden[n - 1]) for n, one in enumerate(segments, 1)}
    text = json.dumps({KEY: BLANK, "labels": rows}, indent=1, ensure_ascii=False) + "\n"
    write_marked_text(names_path(path), text)
    return sum(hidden)


def label_array(
    segments: Sequence[Segment], geometry: Geometry
) -> NDArray[np.unsignedinteger[Any]]:
    """Return the labels 1, 2, ... of segments on a volume, (K, J, I) uint8 or uint16."""
    dtype = np.uint8 if len(segments) <= np.iinfo(np.uint8).max else np.uint16
    labels = np.zeros(geometry.shape_kji, dtype)
    numbered = enumerate(segments, 1)
    for number, one in sorted(numbered, key=lambda pair: -pair[1].mask.voxel_count):
        one.mask.check_inside(geometry.shape_kji)
        labels[one.mask.bbox.slices_kji][one.mask.mask_kji] = number
    return labels


def _about(segment: Segment, hidden: int) -> dict[str, Any]:
    """Return what the names file says about one label."""
    codes = [part.split("^") for part in segment.terminology.split("~")]
    _, _, kind, modifier, *_ = codes
    about = {"name": segment.name, "rgb": list(segment.rgb), "code": kind}
    if any(modifier):
        about["modifier"] = modifier
    return {**about, "voxels": segment.mask.voxel_count, "hidden_voxels": hidden}


def _write_gzip(file: Any, header: bytes, array_kji: NDArray[Any]) -> None:
    """Write a gzip file of which the comment holds the mark, and no time."""
    comment = f"{KEY}: {BLANK}    ".encode()  # the blanks stand where a PNG has its checksum
    file.write(b"\x1f\x8b\x08\x10\0\0\0\0\0\xff" + comment + b"\0")
    packer = zlib.compressobj(4, zlib.DEFLATED, -zlib.MAX_WBITS)
    checksum, length = 0, 0
    for part in (header, *array_kji):
        content = part if isinstance(part, bytes) else part.tobytes()
        checksum, length = zlib.crc32(content, checksum), length + len(content)
        file.write(packer.compress(content))
    file.write(packer.flush() + struct.pack("<II", checksum, length & 0xFFFFFFFF))


def _header(geometry: Geometry, dtype: np.dtype[Any]) -> bytes:
    """Return the 352 bytes before the voxels of a NIfTI-1 file."""
    if max(geometry.size_ijk) > _LARGEST_SIZE:
        raise GeometryError(
            f"expected up to {_LARGEST_SIZE} voxels along an axis of NIfTI-1, got "
            f"{geometry.size_ijk}"
        )
    header = bytearray(352)
    code, bits = _UINT8 if dtype.itemsize == 1 else _UINT16

    def put(kind: str, offset: int, *values: Any) -> None:
        struct.pack_into("<" + kind, header, offset, *values)

    put("i", 0, 348)
    put("8h", 40, 3, *geometry.size_ijk, 1, 1, 1, 1)
    put("3h", 68, _LABEL_INTENT, code, bits)
    put("4f", 76, -1.0 if geometry.is_left_handed else 1.0, *geometry.spacing_mm)
    put("3f", 108, 352.0, 1.0, 0.0)
    put("B", 123, _MM)
    put("2h", 252, _SCANNER_CODE, _SCANNER_CODE)
    put("6f", 256, *_quaternion(geometry), *geometry.origin_ras)
    put("12f", 280, *geometry.ijk_to_ras[:3].ravel())
    put("4s", 344, b"n+1\0")
    return bytes(header)


def _quaternion(geometry: Geometry) -> tuple[float, float, float]:
    """Return b, c and d of the rotation of a grid; its third axis is turned where qfac says so."""
    from scipy.spatial.transform import Rotation

    axes = geometry.directions_ras * (1.0, 1.0, -1.0 if geometry.is_left_handed else 1.0)
    b, c, d, _ = Rotation.from_matrix(axes).as_quat(canonical=True)
    return float(b), float(c), float(d)
