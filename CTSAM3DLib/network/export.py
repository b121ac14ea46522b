"""Write a trained checkpoint as a TorchScript bundle with its manifest entry."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from CTSAM3DLib.atomic_file import write_text_atomically, written_atomically
from CTSAM3DLib.errors import BundleError, CheckpointError
from CTSAM3DLib.model_manifest import MANIFEST_NAME, MANIFEST_SCHEMA, ModelEntry, read_manifest
from CTSAM3DLib.network.build import build_lite
from CTSAM3DLib.network.lite import LiteConfig
from CTSAM3DLib.network.model import PromptableModel
from CTSAM3DLib.network.torch_predictor import SETTINGS_FILE


def write_bundle(model: PromptableModel, path: Path, *, half: bool = True) -> str:
    """Script a model and write it with its settings, whole or not at all.

    Parameters
    ----------
    model : PromptableModel
        With trained weights; its weights are converted in place when `half` is set.
    path : Path
        File to write.
    half : bool
        Store float16 weights (they are widened again when loaded).

    Returns
    -------
    str
        SHA-256 of the file.

    Raises
    ------
    OutputFileError
        The file cannot be written.
    """
    content = _bundle_content(model, half)
    with written_atomically(path) as temporary:
        temporary.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def _bundle_content(model: PromptableModel, half: bool = True) -> bytes:
    """Return the bytes of a bundle file."""
    settings = json.dumps(model.settings.to_dict())
    stream = io.BytesIO()
    scripted = torch.jit.script(model.half() if half else model)
    torch.jit.save(scripted, stream, _extra_files={SETTINGS_FILE: settings})
    return stream.getvalue()


def lite_from_checkpoint(
    checkpoint: Path, model_id: str = "ctsam3d-lite", cross_patch: Path | None = None
) -> PromptableModel:
    """Build the lite model with the averaged weights of a training checkpoint.

    Parameters
    ----------
    checkpoint : Path
        ``last.pt`` of a training run.
    model_id : str
        Name of the model.
    cross_patch : Path, optional
        ``last.pt`` of a cross-patch training run.

    Returns
    -------
    PromptableModel
        In evaluation mode.

    Raises
    ------
    CheckpointError
        When the file is no training checkpoint or its weights do not fit its sizes.
    """
    state = _load(checkpoint, "average")
    config = state["config"]
    windows = tuple((float(a), float(b)) for a, b in config["windows_hu"])
    sizes = LiteConfig(
        tuple(config["widths"]), config["hidden"], len(windows), config["prompt_resize"]
    )
    model = build_lite(sizes, model_id, 64, windows)
    _fill(model.segmenter, state["average"], checkpoint)
    if cross_patch is not None:
        _fill(model.cross_patch_net, _load(cross_patch, "cross_patch")["cross_patch"], cross_patch)
    return model


def fill_from_bundle(segmenter: torch.nn.Module, bundle: Path) -> None:
    """Copy the segmenter's weights out of a bundle, widened to float32.

    Parameters
    ----------
    segmenter : Module
        Filled in place.
    bundle : Path
        TorchScript file of a `PromptableModel` of the same sizes.

    Raises
    ------
    CheckpointError
        When the file is no bundle or its weights do not fit.
    """
    try:
        weights = torch.jit.load(str(bundle), map_location="cpu").segmenter.state_dict()
    except (RuntimeError, ValueError, AttributeError) as error:
        message = f"expected a model bundle, got {bundle}: {error}"
        raise CheckpointError(message) from error
    _fill(segmenter, weights, bundle)


def _load(path: Path, key: str) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    if key not in state or "config" not in state:
        message = (
            f"{path} is no training checkpoint: expected 'config' and {key!r}, got {list(state)}"
        )
        raise CheckpointError(message)
    return state


def _fill(module: torch.nn.Module, weights: dict[str, torch.Tensor], path: Path) -> None:
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        message = f"the weights of {path} do not fit the network: {error}"
        raise CheckpointError(message) from error


def check_target(manifest: Path, model_id: str) -> None:
    """Raise BundleError where an export could not be found and loaded again.

    Parameters
    ----------
    manifest : Path
        ``models.json``, which need not exist.
    model_id : str
        Name of the model and of its file.

    Raises
    ------
    BundleError
        Another file name, a manifest that cannot be read, or an id that is no plain name.

    Examples
    --------
    >>> check_target(Path("models.json"), "a/b")
    Traceback (most recent call last):
    ...
    CTSAM3DLib.errors.BundleError: expected an id of letters, digits, '.', '_' and '-', got 'a/b'
    """
    if manifest.name != MANIFEST_NAME:
        message = f"expected a manifest with the name {MANIFEST_NAME}, got {manifest}"
        raise BundleError(message)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", model_id) or model_id.endswith(".pt"):
        message = f"expected an id of letters, digits, '.', '_' and '-', got {model_id!r}"
        raise BundleError(message)
    if manifest.exists():
        read_manifest(manifest)


def export_model(model: PromptableModel, manifest: Path, card: Mapping[str, Any]) -> Path:
    """Write a bundle beside a manifest, and its entry into the manifest; both or neither.

    Replaces the entry of a model of the same id. The first model of a manifest is its default.

    Parameters
    ----------
    model : PromptableModel
        With trained weights, which are converted in place to float16.
    manifest : Path
        ``models.json``; made, with its folder, when it is missing.
    card : mapping
        From `read_card`.

    Returns
    -------
    Path
        The bundle file.

    Raises
    ------
    BundleError
        See `check_target`; or the entry would not be understood.
    OutputFileError
        A file cannot be written.
    """
    settings = model.settings.to_dict()
    identifier = settings.pop("model_id")
    check_target(manifest, identifier)
    content = _bundle_content(model)
    path = manifest.parent / f"{identifier}.pt"
    entry = {
        **card,
        "id": identifier,
        "file": path.name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        **settings,
    }
    ModelEntry.from_dict(json.loads(json.dumps(entry)), manifest.parent, manifest)
    listed: dict[str, Any] = {"schema": MANIFEST_SCHEMA, "default": identifier, "models": []}
    if manifest.exists():
        listed |= json.loads(manifest.read_text(encoding="utf-8"))
    listed["models"] = [entry, *(one for one in listed["models"] if one["id"] != identifier)]
    with written_atomically(path) as temporary:
        temporary.write_bytes(content)
        write_text_atomically(manifest, json.dumps(listed, indent=2) + "\n")
    return path
