"""PyTorch files from elsewhere: their tensors are read, and nothing in them is run.

``torch.load(weights_only=True)`` does the reading. Before it, kinds of files are sorted out for
which older versions of PyTorch leave that mode, and what is damaged or no checkpoint at all raises
a plain error.
"""

from __future__ import annotations

import pickle
import pickletools
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from CTSAM3DLib.errors import CheckpointError

_ZIP = b"PK\x03\x04"
# What torch.save wrote before version 1.6 begins with this number, as a pickle.
_LEGACY = re.compile(rb"\x80[\x02-\x05]\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19\.")
_LEGACY_PICKLES = 4  # the number, a version, facts about the machine, the object
_POINTER = b"version https://git-lfs"
_HEAD_BYTES = 64

# What the pickle of a state dict refers to; anything else is named to the user.
_PLAIN = re.compile(
    r"collections\.OrderedDict"
    r"|torch\._utils\._rebuild_(tensor_v2|parameter)"
    r"|torch\.([A-Z]\w*Storage|Size|device|u?int\d+|b?float\d+|bool)"
    r"|torch\.storage\.\w*Storage"
)
_MOST_NAMES = 3


def first_names(found: Sequence[str]) -> str:
    """Return the first of many names, and how many more there are."""
    more = f" and {len(found) - _MOST_NAMES} more" if len(found) > _MOST_NAMES else ""
    return ", ".join(found[:_MOST_NAMES]) + more


def read_checkpoint(path: Path) -> Any:
    """Read what ``torch.save`` has written, tensors (on the CPU) and plain containers only.

    Raises CheckpointError for any other file, also one that could be read only by running code.
    """
    try:
        names = _check_kind(path)
    except OSError as error:
        got = error.strerror or type(error).__name__
        raise CheckpointError(f"{path}: expected a readable file, got: {got}") from error
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # a file may be damaged, or made, in any way
        raise _refusal(path, names, error) from error


def _refusal(path: Path, names: list[str], error: Exception) -> CheckpointError:
    """Return why PyTorch has not read a file."""
    if names and isinstance(error, pickle.UnpicklingError):
        return CheckpointError(
            f"{path}: expected weights alone, got a file that can be read only by running code, "
            f"which the import never does: it names {first_names(names)}. {_advice(path.name)}"
        )
    first = next(iter(str(error).splitlines()), "") or type(error).__name__
    return CheckpointError(
        f"{path}: the file is damaged or incomplete; download it again ({first})"
    )


def _advice(name: str) -> str:
    """Return what a user can do with a file that holds more than weights."""
    load = f"checkpoint = torch.load({name!r}, map_location='cpu', weights_only=False)"
    save = "torch.save({'model_state_dict': checkpoint['model_state_dict']}, 'weights.pth')"
    return (
        "If you trust whoever made it, load it once in an environment where its packages are "
        "installed and save the weights alone, with these two lines after `import torch`: "
        f"`{load}` and `{save}`; then import weights.pth. Never do so with a file that you do not "
        "trust: it can do all that you can do."
    )


def _check_kind(path: Path) -> list[str]:
    """Return what else than tensors a file names; raise CheckpointError for other files."""
    if not path.exists():
        raise CheckpointError(f"{path}: expected a file, found nothing")
    if path.is_dir():
        raise CheckpointError(f"{path}: expected a file, got a folder")
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
    if head.startswith(_ZIP):
        return _check_archive(path)
    if _LEGACY.match(head):
        with path.open("rb") as stream:
            return _names(stream, _LEGACY_PICKLES)
    got = "a file of another kind"
    if not head:
        got = "an empty file"
    elif head.startswith(_POINTER):
        got = "a pointer of Git LFS, not the file itself; download that"
    elif head.startswith(b"\x80"):
        got = "a pickle that torch.save has not written; reading it could run code"
    raise CheckpointError(f"{path}: expected a PyTorch file as torch.save writes it, got {got}")


def _check_archive(path: Path) -> list[str]:
    """Check a zip archive as far as this can be done without PyTorch; return what it names."""
    try:
        with zipfile.ZipFile(path) as archive:
            records = archive.infolist()
            files = [Path(record.filename).name for record in records]
            found = {*files}
            if "data.pkl" in found:  # PyTorch may find another directory in a crafted file
                found |= {*torch._C.PyTorchFileReader(str(path)).get_all_records()}
            if "constants.pkl" in found:
                raise CheckpointError(
                    f"{path}: expected weights, got a TorchScript archive, which holds code; if it "
                    "is a bundle of this project, use it as it is, as a model file"
                )
            if files.count("data.pkl") != 1:
                raise CheckpointError(
                    f"{path}: expected a PyTorch file, got a zip archive of another kind"
                )
            if any(record.compress_type != zipfile.ZIP_STORED for record in records):
                raise CheckpointError(
                    f"{path}: expected records as torch.save stores them, got compressed ones"
                )
            damaged = archive.testzip()
            if damaged is not None:
                raise CheckpointError(
                    f"{path}: the file is damaged; download it again (the checksum of its record "
                    f"{damaged} is wrong)"
                )
            with archive.open(records[files.index("data.pkl")]) as stream:
                return _names(stream, 1)
    except (zipfile.BadZipFile, EOFError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"{path}: the file is damaged or incomplete; download it again ({error})"
        ) from error


def _names(stream: Any, pickles: int) -> list[str]:
    """Return the classes and functions that pickles refer to, plain ones left out; runs nothing."""
    found: dict[str, None] = {}
    try:
        for _ in range(pickles):
            for opcode, argument, _at in pickletools.genops(stream):
                if opcode.name in ("GLOBAL", "INST"):
                    name = str(argument).replace(" ", ".")
                    if not _PLAIN.fullmatch(name):
                        found[name] = None
                elif opcode.name == "STACK_GLOBAL":
                    found["classes of a newer form of pickle"] = None
    except (ValueError, EOFError):  # what is wrong with it, PyTorch will say
        pass
    return list(found)
