"""The fields of NIfTI-1 and NIfTI-2 headers that a reader of CTs needs.

Format: https://nifti.nimh.nih.gov/nifti-1 and https://nifti.nimh.nih.gov/nifti-2
"""

from __future__ import annotations

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
        for order in "<>":
            if len(content) >= 348 and struct.unpack_from(order + "i", content)[0] == 348:
                return cls._version_1(content, order, is_one_file)
            if len(content) >= 540 and struct.unpack_from(order + "i", content)[0] == 540:
                return cls._version_2(content, order, is_one_file)
        raise VolumeError(
            "expected a NIfTI header, got none; is it another format under this name?"
        )

    @classmethod
    def _version_1(cls, content: bytes, order: str, is_one_file: bool) -> NiftiHeader:
        if content[344:348] not in (b"n+1\0", b"ni1\0"):
            raise VolumeError(
                "expected a NIfTI header, got Analyze 7.5, which does not say where left is; "
                "convert the CT to NIfTI with the program that wrote it"
            )

        def field(kind: str, offset: int) -> tuple[Any, ...]:
            return struct.unpack_from(order + kind, content, offset)

        return cls(
            size=_size(field("8h", 40)),
            datatype=field("h", 70)[0],
            order=order,
            offset=_offset(field("f", 108)[0], 352 if is_one_file else 0),
            pixdim=field("4f", 76),
            slope=field("f", 112)[0],
            intercept=field("f", 116)[0],
            intent=field("h", 68)[0],
            qform_code=field("h", 252)[0],
            sform_code=field("h", 254)[0],
            quaternion=field("3f", 256),
            qoffset=field("3f", 268),
            sform=np.array(field("12f", 280), np.float64).reshape(3, 4),
            mm=_MM.get(content[123] & 7, 1.0),
        )

    @classmethod
    def _version_2(cls, content: bytes, order: str, is_one_file: bool) -> NiftiHeader:
        if content[4:8] not in (b"n+2\0", b"ni2\0"):
            raise VolumeError(f"expected a NIfTI header, got a wrong mark {content[4:8]!r}")

        def field(kind: str, offset: int) -> tuple[Any, ...]:
            return struct.unpack_from(order + kind, content, offset)

        return cls(
            size=_size(field("8q", 16)),
            datatype=field("h", 12)[0],
            order=order,
            offset=_offset(field("q", 168)[0], 544 if is_one_file else 0),
            pixdim=field("4d", 104),
            slope=field("d", 176)[0],
            intercept=field("d", 184)[0],
            intent=field("i", 504)[0],
            qform_code=field("i", 344)[0],
            sform_code=field("i", 348)[0],
            quaternion=field("3d", 352),
            qoffset=field("3d", 376),
            sform=np.array(field("12d", 400), np.float64).reshape(3, 4),
            mm=_MM.get(field("i", 500)[0] & 7, 1.0),
        )

    @property
    def voxel_type(self) -> np.dtype[Any]:
        """As it is stored; VolumeError when it is none of one number."""
        if self.datatype in _MANY_VALUES:
            count = _MANY_VALUES[self.datatype]
            raise VolumeError(
                f"expected one value per voxel, got {count} (a colour or complex image)"
            )
        if self.datatype not in _TYPES:
            raise VolumeError(
                f"expected a NIfTI data type of whole bytes, got number {self.datatype}"
            )
        return np.dtype(self.order + _TYPES[self.datatype])


def _size(dim: tuple[int, ...]) -> tuple[int, ...]:
    """Return the size of a 3D image from the field dim; VolumeError for other images."""
    if not 1 <= dim[0] <= 7:
        raise VolumeError(f"expected 1 to 7 axes in the header, got {dim[0]}")
    size = dim[1 : dim[0] + 1]
    if dim[0] < 3:
        raise VolumeError(f"expected a 3D image, got a {dim[0]}D image of size {size}")
    if any(count > 1 for count in size[3:]):
        raise VolumeError(
            f"expected a 3D image, got a series of frames of size {size}; export one of them"
        )
    return size[:3]


def _offset(value: float, least: int) -> int:
    """Return the first byte of the voxels."""
    if not least <= value < 2**31:
        raise VolumeError(
            f"expected voxels that begin at byte {least} or later, got {value:g}; save it again"
        )
    return int(value)
