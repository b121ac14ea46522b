"""The fields of NIfTI-1 and NIfTI-2 headers that a reader of CTs needs.

Format: https://nifti.nimh.nih.gov/nifti-1 and https://nifti.nimh.nih.gov/nifti-2
"""

from __future__ import annotations

import itertools
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.errors import VolumeError

_TYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8",
    256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
}  # fmt: skip
_MANY_VALUES = {32: 2, 1792: 2, 2048: 2, 128: 3, 2304: 4}  # complex and colour
_MM = {1: 1000.0, 2: 1.0, 3: 0.001}  # metres, mm, micrometres; others are taken as mm
# By the length of a header, how each field is stored and where.
_FIELDS = {
    348: {
        "dim": ("8h", 40), "intent": ("h", 68), "datatype": ("h", 70), "pixdim": ("4f", 76),
        "offset": ("f", 108), "slope": ("f", 112), "intercept": ("f", 116), "units": ("B", 123),
        "qform_code": ("h", 252), "sform_code": ("h", 254), "quaternion": ("3f", 256),
        "qoffset": ("3f", 268), "sform": ("12f", 280),
    },
    540: {
        "dim": ("8q", 16), "intent": ("i", 504), "datatype": ("h", 12), "pixdim": ("4d", 104),
        "offset": ("q", 168), "slope": ("d", 176), "intercept": ("d", 184), "units": ("i", 500),
        "qform_code": ("i", 344), "sform_code": ("i", 348), "quaternion": ("3d", 352),
        "qoffset": ("3d", 376), "sform": ("12d", 400),
    },
}  # fmt: skip


@dataclass(frozen=True)
class NiftiHeader:
    """The fields of a NIfTI header that a reader needs, NIfTI-1 or NIfTI-2."""

    size: tuple[int, ...]
    datatype: int
    order: str
    offset: int
    pixdim: tuple[float, ...]  # qfac, then the spacing of three axes
    slope: float
    intercept: float
    intent: int
    qform_code: int
    sform_code: int
    quaternion: tuple[float, ...]
    qoffset: tuple[float, ...]
    sform: NDArray[np.float64]  # (3, 4)
    mm: float

    @classmethod
    def from_bytes(cls, content: bytes, is_one_file: bool) -> NiftiHeader:
        """Read what stands at the beginning of a file, which may hold the voxels as well."""
        for order, length in itertools.product("<>", _FIELDS):
            if len(content) >= length and struct.unpack_from(order + "i", content)[0] == length:
                return cls._of_length(length, content, order, is_one_file)
        raise VolumeError(
            "expected a NIfTI header, got none; is it another format under this name?"
        )

    @classmethod
    def _of_length(cls, length: int, content: bytes, order: str, is_one_file: bool) -> NiftiHeader:
        _check_mark(content, length)
        found: dict[str, Any] = {}
        for name, (kind, place) in _FIELDS[length].items():
            values = struct.unpack_from(order + kind, content, place)
            found[name] = values if len(values) > 1 else values[0]
        offset, least = found.pop("offset"), length + 4 if is_one_file else 0
        if not least <= offset < 2**31:
            raise VolumeError(
                f"expected voxels that begin at byte {least} or later, got {offset:g}; save it "
                "again"
            )
        return cls(
            order=order,
            size=_size(found.pop("dim")),
            offset=int(offset),
            sform=np.array(found.pop("sform"), np.float64).reshape(3, 4),
            mm=_MM.get(found.pop("units") & 7, 1.0),
            **found,
        )

    @property
    def voxel_type(self) -> np.dtype[Any]:
        """As it is stored; VolumeError when it is none of one number."""
        if self.datatype in _MANY_VALUES:
            count = _MANY_VALUES[self.datatype]
            raise VolumeError(
                f"expected one value per voxel, got {count} (a colour or complex image); save "
                "the CT with one number a voxel"
            )
        if self.datatype not in _TYPES:
            raise VolumeError(
                f"expected a NIfTI data type of whole bytes, got number {self.datatype}; "
                "save the CT with 16 or 32 bits a voxel"
            )
        return np.dtype(self.order + _TYPES[self.datatype])


def _check_mark(content: bytes, length: int) -> None:
    """Raise VolumeError unless the header says that it is NIfTI."""
    if length == 540 and content[4:8] not in (b"n+2\0", b"ni2\0"):
        raise VolumeError(f"expected a NIfTI header, got a wrong mark {content[4:8]!r}")
    if length == 348 and content[344:348] not in (b"n+1\0", b"ni1\0"):
        raise VolumeError(
            "expected a NIfTI header, got Analyze 7.5, which does not say where left is; "
            "convert the CT to NIfTI with the program that wrote it"
        )


def _size(dim: tuple[int, ...]) -> tuple[int, ...]:
    """Return the size of a 3D image from the field dim; VolumeError for other images."""
    if not 1 <= dim[0] <= 7:
        raise VolumeError(f"expected 1 to 7 axes in the header, got {dim[0]}")
    size = dim[1 : dim[0] + 1]
    if dim[0] < 3:
        raise VolumeError(
            f"expected a 3D image, got a {dim[0]}D image of size {size}; save all slices of the CT "
            "in one file"
        )
    if any(count > 1 for count in size[3:]):
        if size[2] == 1:
            raise VolumeError(
                f"expected the slices along the third axis, got size {size}; save the CT again "
                "without a time axis"
            )
        raise VolumeError(
            f"expected a 3D image, got a series of frames of size {size}; export one of them"
        )
    return size[:3]
