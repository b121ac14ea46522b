"""Headers whose voxels lie in other files: these must be there, in the folder of the header."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.io.simpleitk import printable


def check_data_files(header: Path, names: Iterable[str]) -> None:
    """Raise VolumeError unless the files that a header names lie below its folder.

    A header of a stranger must not make other files of the computer into an image. `names` are
    relative to the folder, as in the header; one with a % is a pattern and need not exist.
    """
    folder = os.path.abspath(header.parent)  # noqa: PTH100 - keeps links
    for name in names:
        path = os.path.normpath(os.path.join(folder, name))  # noqa: PTH118 - as above
        if os.path.commonpath([folder, path]) != folder:
            raise VolumeError(
                f"expected the voxels in the folder of {printable(header.name)}, got {name!r}; "
                "copy them there and correct the header"
            )
        if "%" not in name and not Path(path).is_file():
            if found := _alike(header.parent, name):
                raise VolumeError(
                    f"expected the voxels in {printable(name)} beside {printable(header.name)}, "
                    f"found {printable(found)}; correct the name in the header"
                )
            raise VolumeError(
                f"expected the voxels in {printable(name)} beside {printable(header.name)}, found "
                "no such file; copy both"
            )


def _alike(folder: Path, name: str) -> str:
    """Return a file whose name differs in capitals or in the folder of Windows; or nothing."""
    wanted = name.replace("\\", "/").rpartition("/")[2].casefold()
    return next((one.name for one in folder.iterdir() if one.name.casefold() == wanted), "")
