"""Random image files with what they hold: a seed makes one file, and the oracle of that file."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
from dicom_cases import write_enhanced, write_slice
from numpy.typing import NDArray

KINDS = ("nifti", "nrrd", "mha", "dicom", "enhanced")
SPACES = {
    "right-anterior-superior": (1, 1, 1), "RAS": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1), "LAS": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1), "LPS": (-1, -1, 1), "scanner-xyz": (-1, -1, 1),
}  # fmt: skip


@dataclass
class Made:
    """A file, what it holds where it is sound, and what was done to it."""

    path: Path
    kind: str
    array: NDArray[np.float64]  # (K, J, I) HU
    matrix: NDArray[np.float64]  # (4, 4) to RAS
    faults: list[str] = field(default_factory=list)


def make(folder: Path, seed: int) -> Made:
    """Write the file of a seed; every fourth one is damaged."""
    rng = np.random.default_rng(seed)
    kind = KINDS[seed % len(KINDS)]
    size = rng.integers(2, 6, 3)
    matrix = np.eye(4)
    matrix[:3, :3] = _axes(rng) * np.round(rng.uniform(0.3, 6, 3), 3)
    matrix[:3, 3] = np.round(rng.uniform(-900, 900, 3), 3)
    made = Made(folder / "none", kind, np.zeros(size[::-1]), matrix)
    stored = rng.integers(-1000, 3000, size[::-1])
    {"nifti": _nifti, "nrrd": _nrrd, "mha": _mha, "dicom": _dicom, "enhanced": _dicom}[kind](
        folder, rng, made, stored
    )
    if rng.random() < 0.25:
        _damage(rng, made)
    elif made.path.is_file() and made.kind != "enhanced" and rng.random() < 0.1:
        made.path.write_bytes(made.path.read_bytes() + bytes(rng.integers(1, 256, 40, np.uint8)))
        made.faults.append("surplus")
    return made


def _axes(rng: np.random.Generator) -> NDArray[np.float64]:
    """Any orientation and hand: along the world's axes in half of the cases."""
    if rng.random() < 0.5:
        return np.eye(3)[:, rng.permutation(3)] * rng.choice((-1.0, 1.0), 3)
    return np.linalg.qr(rng.normal(size=(3, 3)))[0]


def _typed(rng: np.random.Generator, stored: NDArray[np.int64]) -> NDArray[np.generic]:
    kind = rng.choice(["i2", "i4", "f4", "f8", "u2", "u1"])
    low = {"u2": 0, "u1": 0}.get(kind, -1000)
    return np.clip(stored, low, 255 if kind == "u1" else 3000).astype(kind)


def _shear(rng: np.random.Generator, made: Made) -> None:
    if rng.random() < 0.1:
        made.matrix[:3, 2] += made.matrix[:3, 1] * rng.choice((0.002, 0.05, 0.3))
        made.faults.append("sheared")


def _nifti(folder: Path, rng: np.random.Generator, made: Made, stored: NDArray[np.int64]) -> None:
    _shear(rng, made)
    data = _typed(rng, stored)
    cls = nib.Nifti2Image if rng.random() < 0.2 else nib.Nifti1Image
    header = cls.header_class(endianness=rng.choice(["<", ">"]))
    header.set_data_dtype(data.dtype)
    image = cls(data.transpose(), None, header)
    image.header.set_xyzt_units("mm")
    image.header.set_zooms(np.linalg.norm(made.matrix[:3, :3], axis=0))
    codes = [(0, 1), (0, 2), (1, 1), (1, 0), (2, 4)][rng.integers(5)]
    if codes[0] and "sheared" not in made.faults:
        image.header.set_qform(made.matrix, codes[0])
    if codes[1] or "sheared" in made.faults:
        image.header.set_sform(made.matrix, codes[1] or 1)
    scale = (1.0, 0.0)
    if rng.random() < 0.3:
        scale = (float(rng.choice([0.5, 1, 2])), float(rng.choice([-1024, 0, 3.5])))
    made.array = data.astype(float) * scale[0] + scale[1]
    made.path = folder / f"ct.nii{rng.choice(['', '.gz'])}"
    # nibabel would scale by itself: the numbers go in by hand.
    image.header["vox_offset"] = header.single_vox_offset
    image.header.set_slope_inter(*scale)
    stored_bytes = data.astype(image.header.get_data_dtype()).tobytes()
    content = image.header.binaryblock + b"\0\0\0\0" + stored_bytes
    made.path.write_bytes(gzip.compress(content, 1) if rng.random() < 0.5 else content)


def _nrrd(folder: Path, rng: np.random.Generator, made: Made, stored: NDArray[np.int64]) -> None:
    _shear(rng, made)
    data = _typed(rng, stored)
    space = str(rng.choice(list(SPACES)))
    own = np.array(SPACES[space], float)[:, None] * made.matrix[:3]
    names = {
        "i2": "short",
        "i4": "int",
        "f4": "float",
        "f8": "double",
        "u2": "ushort",
        "u1": "uchar",
    }
    ways = " ".join("(" + ",".join(repr(float(x)) for x in own[:, n]) + ")" for n in range(3))
    packed = rng.random() < 0.5
    lines = [
        "NRRD0004", f"type: {names[data.dtype.str[1:]]}", "dimension: 3", f"space: {space}",
        f"sizes: {' '.join(str(n) for n in data.shape[::-1])}", f"space directions: {ways}",
        "kinds: domain domain domain", "endian: little",
        f"encoding: {'gzip' if packed else 'raw'}",
        "space origin: (" + ",".join(repr(float(x)) for x in own[:, 3]) + ")", "", "",
    ]  # fmt: skip
    content = gzip.compress(data.tobytes(), 1) if packed else data.tobytes()
    made.path, made.array = folder / "ct.nrrd", data.astype(float)
    made.path.write_bytes("\n".join(lines).encode() + content)


def _mha(folder: Path, rng: np.random.Generator, made: Made, stored: NDArray[np.int64]) -> None:
    _shear(rng, made)
    data = _typed(rng, stored)
    lps = np.diag([-1.0, -1, 1]) @ made.matrix[:3]
    spacing = np.linalg.norm(lps[:, :3], axis=0)
    names = {
        "i2": "SHORT",
        "i4": "INT",
        "f4": "FLOAT",
        "f8": "DOUBLE",
        "u2": "USHORT",
        "u1": "UCHAR",
    }

    def shown(values: NDArray[np.float64]) -> str:
        return " ".join(repr(float(value)) for value in values.ravel())

    content = zlib.compress(data.tobytes(), 1) if rng.random() < 0.5 else data.tobytes()
    packing = [f"CompressedData = True\nCompressedDataSize = {len(content)}"]
    lines = [
        "ObjectType = Image", "NDims = 3", "BinaryData = True", "BinaryDataByteOrderMSB = False",
        *packing * (content != data.tobytes()),
        f"TransformMatrix = {shown((lps[:, :3] / spacing).T)}",
        f"Offset = {shown(lps[:, 3])}", f"ElementSpacing = {shown(spacing)}",
        f"DimSize = {' '.join(str(n) for n in data.shape[::-1])}",
        f"ElementType = MET_{names[data.dtype.str[1:]]}", "ElementDataFile = LOCAL", "",
    ]  # fmt: skip
    made.path, made.array = folder / "ct.mha", data.astype(float)
    made.path.write_bytes("\n".join(lines).encode() + content)


def _dicom(folder: Path, rng: np.random.Generator, made: Made, stored: NDArray[np.int64]) -> None:
    # Slices are sorted along their normal: the frame of DICOM is right-handed.
    if np.linalg.det(np.diag([-1.0, -1, 1]) @ made.matrix[:3, :3]) < 0:
        made.matrix[:3, 2] = -made.matrix[:3, 2]
    lps = np.diag([-1.0, -1, 1]) @ made.matrix[:3]
    spacing = np.linalg.norm(lps[:, :3], axis=0)
    axes = lps[:, :3] / spacing
    step = lps[:, 2].copy()
    if rng.random() < 0.1:
        step += axes[:, 1] * spacing[2] * rng.choice((0.01, 0.25))
        made.faults.append("tilted")
    positions = [lps[:, 3] + n * step for n in range(len(stored))]
    if len(positions) > 3 and rng.random() < 0.1:
        positions[1] = positions[1] + 0.5 * step
        made.faults.append("uneven")
    rescales = [
        (float(rng.choice([1, 2, 0.5])), float(rng.choice([0, -1024, -8.5]))) for _ in positions
    ]
    signed = [bool(rng.integers(2)) for _ in positions]
    if made.kind == "enhanced":
        signed = signed[:1] * len(positions)
    lowest = [-1000 if is_signed else 0 for is_signed in signed]
    slices = [np.clip(s, low, 3000) for s, low in zip(stored, lowest, strict=True)]
    made.array = np.stack([s * m + b for s, (m, b) in zip(slices, rescales, strict=True)])
    order = rng.permutation(len(positions))
    orientation = [float(f"{value:.10f}") for value in (*axes[:, 0], *axes[:, 1])]
    common = {"PixelSpacing": [float(f"{v:.8f}") for v in (spacing[1], spacing[0])]}
    common["SliceThickness"] = float(f"{spacing[2]:.8f}")
    made.path = folder / ("ct.dcm" if made.kind == "enhanced" else "ct")
    if made.kind == "enhanced":
        pixels = np.stack([slices[n] for n in order]).astype("<i2" if signed[0] else "<u2")
        write_enhanced(made.path, pixels, [positions[n] for n in order],
                       [rescales[n] for n in order], orientation=orientation,
                       PixelRepresentation=int(signed[0]))  # fmt: skip
        dataset = pydicom.dcmread(made.path)
        shared = dataset.SharedFunctionalGroupsSequence[0]
        for name, value in common.items():
            setattr(shared.PixelMeasuresSequence[0], name, value)
        dataset.save_as(made.path)
        return
    made.path.mkdir()
    for n in order:
        kind = "<i2" if signed[n] else "<u2"
        slope, intercept = rescales[n]
        write_slice(made.path / f"{order[n]}-{n}.dcm", slices[n].astype(kind), tuple(positions[n]),
                    PixelRepresentation=int(signed[n]), RescaleSlope=slope,
                    RescaleIntercept=intercept, ImageOrientationPatient=orientation,
                    PhotometricInterpretation=str(rng.choice(["MONOCHROME1", "MONOCHROME2"])),
                    **common)  # fmt: skip


def _damage(rng: np.random.Generator, made: Made) -> None:
    """Cut a file off, or turn one bit."""
    file = made.path
    if file.is_dir():
        file = sorted(file.iterdir())[rng.integers(len(list(file.iterdir())))]
    content = bytearray(file.read_bytes())
    if rng.random() < 0.5:
        del content[int(rng.integers(0, len(content))) :]
        made.faults.append("cut off")
    else:
        content[rng.integers(len(content))] ^= 1 << rng.integers(8)
        made.faults.append("bit")
    file.write_bytes(content)
