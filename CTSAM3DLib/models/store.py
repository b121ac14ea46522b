"""Models on disk: which there are, and whether their files are intact.

Nothing here imports PyTorch, and no file is handed on before its size and SHA-256 fit. A model is
a program, and a stranger can write a checksum beside it: one that is chosen by its path also needs
a manifest of this installation, or the user's word, see `trust_model`.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from CTSAM3DLib.errors import BundleError, ModelExistsError, OutputFileError, UntrustedModelError
from CTSAM3DLib.io.safe_write import leftovers
from CTSAM3DLib.io.text import read_bounded
from CTSAM3DLib.models.manifest import MANIFEST_NAME, ModelEntry, entry_beside, read_manifest
from CTSAM3DLib.resources import resource_folders

FOLDER_VARIABLE = "CTSAM3D_MODELS"
"""Environment variable with folders of models (separated like PATH), searched first."""

TRUSTED_NAME = "trusted-models.sha256"
"""File in the user's data folder: the checksums of models made here, and of those trusted."""

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class ModelStore:
    """The models of several folders; an earlier folder wins.

    Examples
    --------
    >>> ModelStore([Path("no such folder")]).entries()
    {}
    """

    folders: Sequence[Path]  # Folders that may hold a ``models.json``; others are skipped

    @classmethod
    def standard(cls) -> ModelStore:
        """Return the store of this installation.

        Searched in this order: folders in the environment variable ``CTSAM3D_MODELS``, models
        that come with the extension, the user's data folder, if the user has one.
        """
        named = [
            Path(part) for part in os.environ.get(FOLDER_VARIABLE, "").split(os.pathsep) if part
        ]
        found = [*named, *(folder / "Models" for folder in resource_folders())]
        with suppress(OutputFileError):  # no home folder
            found.append(user_models_folder())
        return cls(found)

    @classmethod
    def user(cls) -> ModelStore:
        """Return the models that the user has added, and no others; errors as below."""
        return cls([user_models_folder()])

    def entries(self) -> dict[str, ModelEntry]:
        """Return all models by their id.

        Raises BundleError if a manifest cannot be read.
        """
        found: dict[str, ModelEntry] = {}
        for _, models in self._manifests():
            for entry in models:
                found.setdefault(entry.model_id, entry)
        return found

    def default(self) -> ModelEntry:
        """Return the default model of the first folder that has models.

        Raises BundleError if there is no model at all, or the default names none.
        """
        for default_id, models in self._manifests():
            for entry in models:
                if entry.model_id == default_id:
                    return entry
        places = ", ".join(str(folder) for folder in self.folders)
        raise BundleError(f"no model is installed; looked for {MANIFEST_NAME} in {places}")

    def entry(self, model_id: str) -> ModelEntry:
        """Return the model of that id.

        Raises BundleError if no folder has it; the text names those that exist.
        """
        entries = self.entries()
        if model_id not in entries:
            known = ", ".join(sorted(entries)) or "none"
            raise BundleError(f"unknown model {model_id!r}; known models: {known}")
        return entries[model_id]

    def vouches_for(self, sha256: str) -> bool:
        """Tell whether a manifest lists a model of that checksum.

        Raises BundleError if a manifest cannot be read.
        """
        return any(entry.sha256 == sha256 for _, models in self._manifests() for entry in models)

    def _manifests(self) -> list[tuple[str, list[ModelEntry]]]:
        """Return default id and models of each folder that has a manifest with models."""
        paths = [Path(folder) / MANIFEST_NAME for folder in self.folders]
        read = [read_manifest(path) for path in paths if path.is_file()]
        return [(default_id, models) for default_id, models in read if models]


def resolve_model(model: str | Path | None = None, store: ModelStore | None = None) -> ModelEntry:
    """Find a model by id or path in `store`, by default this installation, and verify its file.

    None is the default model. A path is that of a bundle file that has its entry in a
    ``models.json`` in the same folder or in ``<file>.json``; see `check_trusted`, too. Raises
    BundleError if there is no such model, or its file is missing, truncated or altered;
    UntrustedModelError if it is chosen by its path, and nobody here vouches for it.
    """
    chosen = ModelStore.standard() if store is None else store
    if model is None:
        entry = chosen.default()
    elif _is_path(model):
        entry = entry_beside(Path(model))
        verify(entry)
        check_trusted(entry.path, chosen)
    else:
        entry = chosen.entry(str(model))
    verify(entry)
    return entry


def check_new_id(model_id: str, folder: Path, replace: bool = False) -> None:
    """Raise ModelExistsError for the id of a model that is there, in any case of its letters.

    The id is to be that of a new model in `folder`; with `replace` one of there may be replaced.
    Raises BundleError if a manifest cannot be read.
    """
    stores = (ModelStore.standard(), ModelStore([folder]))
    for other in (entry for store in stores for entry in store.entries().values()):
        if other.model_id.casefold() != model_id.casefold():
            continue
        replaceable = other.model_id == model_id and other.path.parent == folder
        if not (replaceable and replace):
            way = (
                ", remove that one, or replace it (--restart; in Slicer Begin anew)"
                if replaceable
                else ""
            )
            raise ModelExistsError(
                f"there is a model {other.model_id!r} already: {other.path}; choose another id{way}"
            )


def check_trusted(path: Path, store: ModelStore | None = None) -> None:
    """Raise UntrustedModelError unless somebody here vouches for the content of a model file.

    That is: a manifest of `store` (by default this installation) lists its checksum, or the model
    was made on this computer by this user, or the user has said so, see `trust_model`. What lies
    beside the file does not count. Raises UntrustedModelError: nobody does; BundleError: the file
    or a manifest cannot be read.
    """
    checksum = _checksum_of(path)
    if checksum in _trusted() or (store or ModelStore.standard()).vouches_for(checksum):
        return
    raise UntrustedModelError(
        f"the model file {path} was not made on this computer, and no installed manifest lists "
        "it. A model is a program. If you trust whoever made it, say so once: python -m CTSAM3DLib "
        f'models trust "{path}", or in Python CTSAM3DLib.trust_model({str(path)!r})'
    )


def trust_model(path: str | Path) -> ModelEntry:
    """Trust a model file of somebody else: from now on its path can be chosen as a model.

    The file needs its entry beside it, and must fit it. Its checksum is remembered for this user.
    Raises BundleError: the file is missing, nothing describes it, or it is not what is described;
    OutputFileError: it cannot be remembered.

    Examples
    --------
    >>> trust_model("no-such-file.pt")
    Traceback (most recent call last):
    ...
    CTSAM3DLib.errors.BundleError: the model file is missing: no-such-file.pt
    """
    entry = entry_beside(Path(path))
    verify(entry)
    remember(entry.path, entry.sha256)
    return entry


def remember(path: Path, sha256: str) -> None:
    """Vouch for a checksum from now on; the name of the file `path` is noted beside it.

    Raises OutputFileError if the list cannot be written.
    """
    listing = user_models_folder().parent / TRUSTED_NAME
    try:
        listing.parent.mkdir(parents=True, exist_ok=True)
        with listing.open("a", encoding="ascii") as stream:
            # One write, which begins a line: whole also beside another process's or a torn one.
            stream.write(f"\n{sha256}  {path.name!a}\n")
    except OSError as error:
        raise OutputFileError(
            f"cannot write {listing}: {error.strerror or type(error).__name__}"
        ) from error


def _trusted() -> set[str]:
    """Return the checksums that the user vouches for."""
    try:
        listing = user_models_folder().parent / TRUSTED_NAME
    except OutputFileError:  # no home folder
        return set()
    try:
        text = read_bounded(listing).decode("ascii", "replace")
    except FileNotFoundError:
        return set()
    except (OSError, ValueError) as error:
        raise BundleError(f"cannot read {listing}: {error}") from error
    return {line.partition("  ")[0] for line in text.splitlines()}


def _checksum_of(path: Path) -> str:
    """Return the SHA-256 of a model file, computed once for each state of it."""
    try:
        status = path.stat()
        return _sha256(path, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise BundleError(
            f"cannot read the model file {path}: {error.strerror or type(error).__name__}"
        ) from error


def verify(entry: ModelEntry) -> Path:
    """Check size and SHA-256 of a bundle file, and return its path.

    The checksum is computed once for each state (path, modification time, size) of a file. Raises
    BundleError if the file is missing, has another size or another checksum.
    """
    if _problem(entry):
        _finish(entry)
    problem = _problem(entry)
    if problem:
        raise BundleError(f"the file of model {entry.model_id!r} is {problem}: {entry.path}")
    return entry.path


def _problem(entry: ModelEntry) -> str:
    """Return what is wrong with the file of a model; nothing when it is intact."""
    try:
        status = entry.path.stat()
    except OSError:
        return "missing"
    if status.st_size != entry.size_bytes:
        what = "truncated" if status.st_size < entry.size_bytes else "not the expected file"
        return f"{what}: expected {entry.size_bytes} bytes, got {status.st_size}"
    checksum = _sha256(entry.path, status.st_mtime_ns, status.st_size)
    if checksum != entry.sha256:
        return f"altered: expected SHA-256 {entry.sha256}, got {checksum}"
    return ""


def _finish(entry: ModelEntry) -> None:
    """Finish an import whose process ended between the last two files: entry, then bundle."""
    for path in leftovers(entry.path.parent, entry.path.name):
        with suppress(OSError):  # removed or finished by another process
            if path.stat().st_size == entry.size_bytes and file_sha256(path) == entry.sha256:
                path.replace(entry.path)
                return


def user_models_folder() -> Path:
    """Return the folder for models that the user adds; it need not exist.

    Raises OutputFileError: the user has no home folder, as in some containers.
    """
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or _home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = _home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or _home() / ".local" / "share")
    return base / "CTSAM3D" / "models"


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError as error:
        raise OutputFileError(
            "expected a home folder, which holds what you add, found none. Let the environment "
            "variable HOME name a folder"
        ) from error


def _is_path(model: str | Path) -> bool:
    """Tell a path from an id: ids have neither separators nor the suffix of a bundle."""
    return isinstance(model, Path) or Path(model).suffix == ".pt" or Path(model).name != model


@lru_cache(maxsize=64)
def _sha256(path: Path, modified_ns: int, size_bytes: int) -> str:  # noqa: ARG001 - cache key
    """Return the SHA-256 of a file in a certain state."""
    return file_sha256(path)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, read in pieces; OSError if it cannot be read."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
