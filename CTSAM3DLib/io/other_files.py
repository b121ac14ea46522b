"""Names of image files, and files that are none: what they are, what to do."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from CTSAM3DLib.errors import CTSAM3DError
from CTSAM3DLib.io.header_numbers import GZIP
from CTSAM3DLib.io.simpleitk import printable

IMAGE_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")
"""How files end that are looked for by name; other images are read when they are named."""
_ARCHIVES = (".zip", ".7z", ".rar", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst")
_PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
_PACKED = (b"PK\x03\x04", b"7z\xbc\xaf", b"Rar!", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
_GZIP_READ = (".nii.gz", ".hdr.gz", ".img.gz", ".gipl.gz")
_UNPACK = "unpack it and give what is in it"
_TEXTS = {
    b"version https://git-lfs": "a placeholder of Git LFS; fetch the file with git lfs pull",
    b"/annex/objects/": "a placeholder of git-annex; fetch the file with git annex get",
    b"<!doctype html": "a web page in place of a download; download it again",
    b"<html": "a web page in place of a download; download it again",
}
_LONGEST = 1024
_NAMES = 4  # in a message


def image_stem(name: str) -> str:
    """Return the name of an image without its suffix; further dots belong to it, as in a UID.

    Examples
    --------
    >>> [image_stem(name) for name in ("1.2.3.nii.gz", "liver.seg.nrrd", "ct.v2.gipl")]
    ['1.2.3', 'liver', 'ct.v2']
    """
    ends = (end for end in (".seg.nrrd", *IMAGE_SUFFIXES) if name.lower().endswith(end))
    return name[: -len(next(ends, Path(name).suffix)) or None]


def check_letters(path: Path, kind: type[CTSAM3DError]) -> None:
    """Raise an error of a kind for a name that files cannot have in the locale of this process.

    Otherwise the file would be told to be missing.
    """
    try:
        os.fsencode(path)
    except UnicodeEncodeError as error:
        raise kind(
            f"file names cannot hold {str(path)!r} here, where their encoding is "
            f"{sys.getfilesystemencoding()}. Set the environment variable PYTHONUTF8=1 and run it "
            "again"
        ) from error


def other_file(file: Path, is_read_as_nifti: bool) -> str:
    r"""Return what a file is that no reader takes under its name, and what to do; else nothing.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> path = Path(mkdtemp()) / "ct.nii.gz"
    >>> _ = path.write_bytes(b"PK\x03\x04")
    >>> other_file(path, True)
    'a packed file; unpack it and give what is in it'
    """
    with file.open("rb") as stream:
        start = stream.read(_LONGEST)
    name = file.name.lower()
    if not start:
        return "an empty file; copy it again"
    for beginning, told in _TEXTS.items():
        if start.lower().lstrip().startswith(beginning):
            return told
    is_gzip = start.startswith(GZIP) and name.endswith(".gz") and not name.endswith(_GZIP_READ)
    if is_gzip or start.startswith(_PACKED):
        return f"a packed file; {_UNPACK}"
    for kind, suffix, is_under_its_name in (
        ("an NRRD image", ".nrrd", name.endswith((".nrrd", ".nhdr"))),
        ("a MetaImage", ".mha", file.name.endswith((".mha", ".mhd"))),
        ("a NIfTI image", ".nii", is_read_as_nifti),
        ("a DICOM file", ".dcm", not is_read_as_nifti),
    ):
        if not is_under_its_name and _is_kind(start, suffix):
            return f"{kind} under another name; rename it so that its name ends with {suffix}"
    return ""


def others_in(folder: Path, files: Iterable[Path]) -> str:
    """Return which images and packed files a folder without DICOM holds, and what to do."""
    names = [file.name for file in files if file.parent == folder]
    images = [name for name in names if name.lower().endswith(IMAGE_SUFFIXES)]
    packed = [name for name in names if name.lower().endswith(_ARCHIVES) and name not in images]
    found = []
    if images:
        found.append(f"it holds {_shown(images)}: give that file")
    if packed:
        found.append(f"it holds {_shown(packed)}: unpack that first")
    if pictures := [name for name in names if name.lower().endswith(_PICTURES)]:
        found.append(
            f"it holds {_shown(pictures)}: pictures, without HU and distances; give the files of "
            "the scanner"
        )
    return "; ".join(found)


def _is_kind(start: bytes, suffix: str) -> bool:
    """Whether a file begins as one of a format does."""
    if suffix == ".nrrd":
        return start.startswith(b"NRRD000")
    if suffix == ".mha":
        return start.startswith((b"ObjectType", b"NDims")) and b"DimSize" in start
    if suffix == ".dcm":
        return start[128:132] == b"DICM"
    return start[344:348] in (b"n+1\0", b"ni1\0") or start[4:8] in (b"n+2\0", b"ni2\0")


def _shown(names: list[str]) -> str:
    more = len(names) - _NAMES
    return ", ".join(map(printable, names[:_NAMES])) + (f" and {more} more" if more > 0 else "")
