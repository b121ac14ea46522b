"""The manifest of model bundles: what each model is and which checksum its file has.

A folder of models holds the bundle files and one manifest ``models.json``::

    {"schema": 1, "default": "lite",
     "models": [{"id": "lite", "file": "lite.pt", "sha256": "...", "bytes": 14331170,
                 "licence": "Apache-2.0", "version": 1, "patch_size": 64,
                 "spacing_range_mm": [1.5, 4.0], "default_spacing_mm": 2.0,
                 "windows_hu": [[-125, 225]],
                 "training_data": [{"name": "...", "licence": "...", "url": "..."}],
                 "quality": {"...": 0.9}}]}

A single bundle elsewhere carries the entry of its own in a file next to it with ``.json`` added
to the whole name (``mine.pt`` and ``mine.pt.json``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from CTSAM3DLib.errors import BundleError
from CTSAM3DLib.io.text import readable_json
from CTSAM3DLib.models.contract import ModelSettings

MANIFEST_NAME = "models.json"
MANIFEST_SCHEMA = 1


@dataclass(frozen=True)
class ModelEntry:
    """One model of a manifest."""

    path: Path  # The bundle file; it need not exist until `verify` is called
    sha256: str  # Checksum of the file, 64 lower-case hexadecimal digits
    size_bytes: int  # Size of the file
    licence: str  # SPDX identifier or text of the licence of the weights
    settings: ModelSettings  # Patch size, spacing, HU windows and version
    # Attribution: ``name``, ``licence`` and optionally ``url`` of each data set
    training_data: tuple[Mapping[str, str], ...] = ()
    # Measured quality, as the manifest gives it
    quality: Mapping[str, Any] = field(default_factory=dict)
    # Which of the authors' networks it is, for example ``tiny``; empty for a network of our own
    variant: str = ""

    @property
    def model_id(self) -> str:
        """Name of the model."""
        return self.settings.model_id

    @classmethod
    def from_dict(cls, values: Any, folder: Path, source: Path) -> ModelEntry:
        """Build an entry from one object of a manifest, as JSON gives it.

        `folder` holds the bundle file; `source` is the file that was read, for error texts. Raises
        BundleError if an entry is missing or has the wrong form.
        """
        if not isinstance(values, Mapping) or "id" not in values:
            raise BundleError(
                f"{source}: expected an object with an 'id' for each model, got {values!r:.80}"
            )
        name = values["id"]
        try:
            return cls(
                path=folder / _plain_file_name(values["file"]),
                sha256=_checksum(values["sha256"]),
                size_bytes=_positive_integer(values["bytes"]),
                licence=str(values["licence"]),
                settings=ModelSettings.from_dict({**values, "model_id": name}),
                training_data=tuple(dict(item) for item in values.get("training_data", ())),
                quality=dict(values.get("quality", {})),
                variant=str(values.get("variant", "")),
            )
        except KeyError as error:
            raise BundleError(f"{source}: model {name!r} lacks the entry {error}") from error
        except (BundleError, TypeError, ValueError) as error:
            raise BundleError(f"{source}: model {name!r}: {error}") from error


def read_manifest(path: Path) -> tuple[str, list[ModelEntry]]:
    """Read a manifest: the id of the default model, and the models.

    The default is the first one where the manifest names none. The files lie in the folder of the
    manifest; nothing is verified. Raises BundleError if it cannot be read, has another schema or an
    entry is missing or of the wrong form.
    """
    values = readable_json(path, "a readable model manifest", BundleError)
    schema = values.get("schema") if isinstance(values, Mapping) else None
    if schema != MANIFEST_SCHEMA:
        raise BundleError(
            f"{path}: expected a manifest of schema {MANIFEST_SCHEMA}, got schema {schema!r}"
        )
    models = values.get("models")
    if not isinstance(models, list):
        raise BundleError(f"{path}: expected a list of 'models', got {type(models).__name__}")
    entries = [ModelEntry.from_dict(item, path.parent, path) for item in models]
    default_id = str(values.get("default") or (entries[0].model_id if entries else ""))
    if entries and default_id not in {entry.model_id for entry in entries}:
        raise BundleError(f"{path}: the default model {default_id!r} is not among its models")
    return default_id, entries


def entry_beside(path: Path) -> ModelEntry:
    """Read the entry of a bundle file from its sidecar or the manifest of its folder.

    The file is not verified. Raises BundleError if the file is missing or nothing describes it.
    """
    if not path.is_file():
        raise BundleError(f"the model file is missing: {path}")
    sidecar = path.with_name(path.name + ".json")
    if sidecar.is_file():
        values = readable_json(sidecar, "a readable model manifest", BundleError)
        if isinstance(values, Mapping):
            values = {**values, "file": path.name}
        return ModelEntry.from_dict(values, path.parent, sidecar)
    manifest = path.parent / MANIFEST_NAME
    if manifest.is_file():
        for entry in read_manifest(manifest)[1]:
            if entry.path.name == path.name:
                return entry
    raise BundleError(
        f"the model file {path} has no entry: expected one (id, sha256, bytes, licence, "
        f"settings) in {sidecar.name} or {MANIFEST_NAME} next to it"
    )


def _plain_file_name(value: Any) -> str:
    """Return a file name without folders."""
    if not isinstance(value, str) or value in {"", ".", ".."} or re.search(r"[/\\:]", value):
        raise BundleError(f"expected a plain file name under 'file', got {value!r}")
    return value


def _checksum(value: Any) -> str:
    """Return a SHA-256 in lower case."""
    if not isinstance(value, str) or not re.fullmatch(r"[0-9a-fA-F]{64}", value):
        raise BundleError(f"expected 64 hexadecimal digits under 'sha256', got {value!r}")
    return value.lower()


def _positive_integer(value: Any) -> int:
    """Return a file size."""
    if not isinstance(value, int) or value < 1:
        raise BundleError(f"expected a positive integer under 'bytes', got {value!r}")
    return value
