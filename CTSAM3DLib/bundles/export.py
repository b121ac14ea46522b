"""Write a trained checkpoint as a TorchScript bundle with its manifest entry."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

import torch

from CTSAM3DLib.bundles.adapters import ADAPTERS_FILE, Adapter, to_bytes
from CTSAM3DLib.bundles.predictor import SETTINGS_FILE
from CTSAM3DLib.errors import BundleError, OutputFileError
from CTSAM3DLib.io.safe_write import write_text_atomically, written_atomically
from CTSAM3DLib.models.folder import listing_with, written_with
from CTSAM3DLib.models.manifest import MANIFEST_NAME, ModelEntry, read_manifest
from CTSAM3DLib.models.store import file_sha256, remember
from CTSAM3DLib.network.model import PromptableModel

_NO_ID = "default"  # the Segment Editor effect stores it where no model is chosen


def write_bundle(
    model: PromptableModel,
    path: Path,
    *,
    half: bool = True,
    adapters: Mapping[str, Adapter] = MappingProxyType({}),
) -> None:
    """Script a model and write it with its settings, whole or not at all.

    With `half` it stores float16 weights, which are converted in place and widened when loaded.
    `adapters` are those that its settings name. Raises OutputFileError: the file cannot be written.
    """
    with written_atomically(path) as temporary:
        _save(model, temporary, half, adapters)
    _vouch_for(path)


def _save(
    model: PromptableModel,
    path: Path,
    half: bool,
    adapters: Mapping[str, Adapter] = MappingProxyType({}),
    compressed: bool = False,
) -> None:
    """Write a bundle file, whose bytes do not depend on its name.

    PyTorch would end the whole program where it cannot write to a disk itself; so it writes to
    memory, about three times the size of the file for a moment.
    """
    scripted = torch.jit.script(model.half() if half else model)
    extra: dict[str, Any] = {SETTINGS_FILE: json.dumps(model.settings.to_dict())}
    if adapters:
        extra[ADAPTERS_FILE] = to_bytes(adapters)
    content = scripted.save_to_buffer(_extra_files=extra)
    if compressed:
        _compress(io.BytesIO(content), path)
    else:
        path.write_bytes(content)  # into the file that is locked, not in place of it


def _vouch_for(path: Path) -> None:
    """Remember a file that was made here."""
    with suppress(OutputFileError):  # without a data folder the user can still trust the file
        remember(path, file_sha256(path))


def _compress(archive: IO[bytes], path: Path) -> None:
    """Write the records of an archive anew, compressed; PyTorch reads them the same."""
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(path, "w") as target:
        for record in source.infolist():
            fresh = zipfile.ZipInfo(record.filename)  # a date that is always the same
            target.writestr(fresh, source.read(record), zipfile.ZIP_DEFLATED, compresslevel=9)


def check_target(manifest: Path, model_id: str) -> None:
    """Raise BundleError where an export could not be found and loaded again.

    `manifest` need not exist; `model_id` is the name of the model and of its file. Raises
    BundleError: another file name, a manifest that cannot be read, or an id that is no plain name.
    """
    if manifest.name != MANIFEST_NAME:
        raise BundleError(f"expected a manifest with the name {MANIFEST_NAME}, got {manifest}")
    check_id(model_id)
    if manifest.exists():
        read_manifest(manifest)


def check_id(model_id: str) -> None:
    """Raise BundleError unless an id can be the name of a model and of its file."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", model_id) or model_id.endswith(".pt"):
        raise BundleError(f"expected an id of letters, digits, '.', '_' and '-', got {model_id!r}")
    if model_id.casefold() == _NO_ID:
        raise BundleError(f"expected another id than {model_id!r}, which means the default model")


def export_model(
    model: PromptableModel,
    manifest: Path,
    card: Mapping[str, Any],
    *,
    half: bool = True,
    adapters: Mapping[str, Adapter] = MappingProxyType({}),
    compressed: bool = False,
) -> Path:
    """Write a bundle and its entry in the manifest next to it, both or neither.

    Replaces the entry of a model of the same id. The first model of a manifest is its default. A
    missing `manifest` is made, with its folder. `card` is from `read_card` or `official_card`.
    `half` and `adapters` are as in `write_bundle`; `compressed` pays for rounded weights. Returns
    the bundle file. Raises BundleError as `check_target`; or the entry would not be understood;
    OutputFileError: a file cannot be written.
    """
    identifier = model.settings.model_id
    check_target(manifest, identifier)
    path = manifest.parent / f"{identifier}.pt"
    with written_with(path, manifest) as temporary:
        _save(model, temporary, half, adapters, compressed)
        entry = _entry(model, card, temporary, path)
        write_text_atomically(manifest, listing_with(manifest, entry))
    _vouch_for(path)
    return path


def export_beside(
    model: PromptableModel, path: Path, card: Mapping[str, Any], *, half: bool = True
) -> Path:
    """Write a bundle and, next to it, a file with its entry; both or neither.

    As `export_model`. The entry goes into a file with ``.json`` added to the whole name, which is
    returned. Raises BundleError: the entry would not be understood; OutputFileError: a file cannot
    be written.
    """
    sidecar = path.with_name(path.name + ".json")
    with written_with(path, sidecar) as temporary:
        _save(model, temporary, half)
        entry = _entry(model, card, temporary, path)
        write_text_atomically(sidecar, json.dumps(entry, indent=2) + "\n")
    _vouch_for(path)
    return sidecar


def _entry(
    model: PromptableModel, card: Mapping[str, Any], written: Path, path: Path
) -> dict[str, Any]:
    """Return the entry of a bundle as JSON types, having read it as a manifest is read."""
    settings = model.settings.to_dict()
    identifier = settings.pop("model_id")
    entry: dict[str, Any] = {
        **card,
        "id": identifier,
        "file": path.name,
        "sha256": file_sha256(written),
        "bytes": written.stat().st_size,
        **settings,
    }
    ModelEntry.from_dict(json.loads(json.dumps(entry)), path.parent, path)
    return entry
