"""What the code in a TorchScript file may do: compute, and nothing with files."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import torch

from CTSAM3DLib.errors import BundleError

_MOST_CODE_BYTES = 1 << 26
_MOST_BYTES = 1 << 33
# Operators that open files, and those of other libraries. A name cannot be spelled otherwise.
_FORBIDDEN = re.compile(r"\b(?:save|from_file)\b|\bops\.(?!prim\.)\w+|\btorch\.classes\b")


def check_script(path: Path) -> None:
    """Raise BundleError for a TorchScript file whose code could do more than compute.

    TorchScript cannot run Python, but it has operators that write and map files. Nothing is run.

    Parameters
    ----------
    path : Path
        A file of ``torch.jit.save``.

    Raises
    ------
    BundleError
        No such archive, one that unpacks to more than 8 GiB, or one whose code names an operator
        for files or of a library other than PyTorch.

    Examples
    --------
    >>> check_script(Path("no-such-file.pt"))
    Traceback (most recent call last):
    ...
    CTSAM3DLib.errors.BundleError: no-such-file.pt is not a readable TorchScript bundle: ...
    """
    try:
        with zipfile.ZipFile(path) as archive:
            records = archive.infolist()
            code = [record for record in records if record.filename.lower().endswith(".py")]
            _check_size(path, sum(record.file_size for record in records), _MOST_BYTES)
            _check_size(path, sum(record.file_size for record in code), _MOST_CODE_BYTES)
        # As PyTorch itself finds it: it minds neither case nor where the directory should lie.
        reader = torch._C.PyTorchFileReader(str(path))
        names = [name for name in reader.get_all_records() if name.lower().endswith(".py")]
        texts = [reader.get_record(name).decode("utf-8", "replace") for name in names]
    except (OSError, zipfile.BadZipFile, RuntimeError, EOFError, UnicodeDecodeError) as error:
        message = f"{path} is not a readable TorchScript bundle: {error}"
        raise BundleError(message) from error
    for text in texts:
        found = _FORBIDDEN.search(text)
        if found:
            message = (
                f"{path} is refused: its code names {found[0]!r}, and a model may only compute; "
                "get the model from whoever made it"
            )
            raise BundleError(message)


def _check_size(path: Path, got: int, most: int) -> None:
    if got > most:
        message = f"{path} is refused: it unpacks to {got} bytes, at most {most} are expected"
        raise BundleError(message)
