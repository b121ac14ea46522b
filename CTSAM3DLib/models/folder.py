"""Changing a folder of models: bundle files and the manifest that names them stay in step."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from CTSAM3DLib.errors import BundleError, OutputFileError
from CTSAM3DLib.io.safe_write import write_text_atomically, written_atomically
from CTSAM3DLib.models.manifest import MANIFEST_NAME, MANIFEST_SCHEMA, read_manifest
from CTSAM3DLib.models.store import ModelStore

LOCK_WAIT_S = 10.0


@contextmanager
def locked_folder(folder: str | Path, wait_s: float = LOCK_WAIT_S) -> Iterator[None]:
    """Run a block while no other thread or process of this computer runs one for the folder.

    The lock is a file in the folder for temporary files. It ends with the process. The package
    ``filelock`` comes with PyTorch; without it there is no lock. `folder` need not exist. Raises
    OutputFileError: another one does not finish in time, or the lock cannot be made. The block has
    not run.

    Examples
    --------
    >>> with locked_folder("models"):
    ...     with locked_folder("models", wait_s=0.0):
    ...         pass
    Traceback (most recent call last):
    ...
    CTSAM3DLib.errors.OutputFileError: another run is changing models; try again ...
    """
    try:
        import filelock
    except ImportError:
        yield
        return
    name = os.path.normcase(os.path.realpath(folder))
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    path = Path(tempfile.gettempdir()) / f"ctsam3d-{digest}.lock"
    lock = filelock.FileLock(path, timeout=wait_s, mode=0o666)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise OutputFileError(
            f"another run is changing {folder}; try again when it has finished"
        ) from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise OutputFileError(
            f"cannot change {folder}: expected a lock at {path}, got {reason}"
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def written_with(path: Path, index: Path) -> Iterator[Path]:
    """Give a temporary path for a bundle; the block writes it, then manifest or sidecar.

    After an error both files, and the folders round them, are as they were before. `path` is that
    of the finished bundle, `index` the manifest or sidecar. Raises OutputFileError as
    `written_atomically`.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with written_with(folder / "new" / "a.pt", folder / "new" / "models.json") as temporary:
    ...     _ = (folder / "new" / "models.json").write_text("{}")
    ...     raise OSError("no room")
    Traceback (most recent call last):
    ...
    CTSAM3DLib.errors.OutputFileError: cannot write ...
    >>> list(folder.iterdir())
    []
    """
    before = index.read_bytes() if index.is_file() else None
    missing = [folder for folder in path.parents if not folder.exists()]
    try:
        with written_atomically(path) as temporary:
            yield temporary
    except BaseException:
        _put_back(index, before)
        for folder in missing:
            with suppress(OSError):  # it was never made, or somebody else uses it
                folder.rmdir()
        raise


def listing_with(manifest: Path, entry: dict[str, Any]) -> str:
    """Return the text of a manifest with one more model, in front; one of the same id goes.

    The manifest need not exist; its default stays, the first model becomes it.

    Examples
    --------
    >>> json.loads(listing_with(Path("no such folder/models.json"), {"id": "a"}))["default"]
    'a'
    """
    listed: dict[str, Any] = {"schema": MANIFEST_SCHEMA, "default": "", "models": []}
    if manifest.exists():
        listed |= json.loads(manifest.read_text(encoding="utf-8"))
        listed["default"] = read_manifest(manifest)[0]
    listed["default"] = listed["default"] or entry["id"]
    kept = [one for one in listed["models"] if one["id"] != entry["id"]]
    return _text({**listed, "models": [entry, *kept]})


def remove_model(
    model_id: str, user: ModelStore | None = None, all_models: ModelStore | None = None
) -> Path:
    """Remove a model of the user, its file and its entry in the manifest, or neither.

    `user` is the one folder from which may be removed, `all_models` serves the text of errors; by
    default those of this installation. Returns the file that was removed. Raises BundleError: the
    model is in another folder, or nowhere; the text names those that can be removed;
    OutputFileError: the folder cannot be changed, or another process does not end changing it.
    """
    own = user or ModelStore.user()
    with locked_folder(own.folders[0]):
        return _removed(model_id, own, all_models or ModelStore.standard())


def _removed(model_id: str, own: ModelStore, all_models: ModelStore) -> Path:
    """`remove_model`, while nobody else changes the folder."""
    entries = own.entries()
    if model_id not in entries:
        _refuse(model_id, own, all_models)
    path = entries[model_id].path
    manifest = path.parent / MANIFEST_NAME
    shared = any(e.path == path for name, e in entries.items() if name != model_id)
    before = manifest.read_bytes()
    # The entry first: whenever the process ends, no entry is without its file.
    write_text_atomically(manifest, _listing_without(manifest, model_id))
    try:
        if not shared:
            path.unlink(missing_ok=True)
    except OSError as error:
        _put_back(manifest, before)
        raise OutputFileError(
            f"cannot remove {path}: {error.strerror or type(error).__name__}"
        ) from error
    return path


def _refuse(model_id: str, own: ModelStore, all_models: ModelStore) -> None:
    """Raise BundleError for a model that is not in the user's folder."""
    removable = ", ".join(sorted(own.entries())) or "none"
    entry = all_models.entries().get(model_id)
    if entry is not None:
        raise BundleError(
            f"the model {model_id!r} was not added by the user and stays: it is in "
            f"{entry.path.parent}; models that can be removed: {removable}"
        )
    raise BundleError(f"unknown model {model_id!r}; models that can be removed: {removable}")


def _listing_without(manifest: Path, model_id: str) -> str:
    """Return the text of a manifest without a model; if it was the default, the next one is."""
    default, _ = read_manifest(manifest)
    listed = json.loads(manifest.read_text(encoding="utf-8"))
    kept = [one for one in listed["models"] if one["id"] != model_id]
    if default == model_id:
        default = kept[0]["id"] if kept else ""
    return _text({**listed, "default": default, "models": kept})


def _put_back(index: Path, before: bytes | None) -> None:
    """Give a manifest or sidecar its former content."""
    with suppress(OSError):  # the error that led here is the one to tell
        if before is None:
            index.unlink(missing_ok=True)
        elif not index.is_file() or index.read_bytes() != before:
            index.write_bytes(before)


def _text(listed: dict[str, Any]) -> str:
    return json.dumps(listed, indent=2) + "\n"
