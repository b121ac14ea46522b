"""Write a trained checkpoint as a TorchScript bundle with its manifest entry."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch

from CTSAM3DLib.errors import CheckpointError
from CTSAM3DLib.network.build import build_lite
from CTSAM3DLib.network.lite import LiteConfig
from CTSAM3DLib.network.model import PromptableModel
from CTSAM3DLib.network.torch_predictor import SETTINGS_FILE


def write_bundle(model: PromptableModel, path: Path, *, half: bool = True) -> str:
    """Script a model and write it with its settings.

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
    """
    settings = json.dumps(model.settings.to_dict())
    scripted = torch.jit.script(model.half() if half else model)
    torch.jit.save(scripted, str(path), _extra_files={SETTINGS_FILE: settings})
    return hashlib.sha256(path.read_bytes()).hexdigest()


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


def update_manifest(
    manifest: Path, bundle: Path, checksum: str, model: PromptableModel, card: Path
) -> None:
    """Replace or add the model's entry; the first model of a manifest becomes its default."""
    content: dict[str, Any] = {"schema": 1, "default": model.settings.model_id, "models": []}
    if manifest.is_file():
        content = json.loads(manifest.read_text())
    settings = model.settings.to_dict()
    identifier = settings.pop("model_id")
    entry = {
        "id": identifier,
        "file": bundle.name,
        "sha256": checksum,
        "bytes": bundle.stat().st_size,
        **settings,
        **json.loads(card.read_text()),
    }
    others = [m for m in content["models"] if m["id"] != identifier]
    content["models"] = [entry, *others]
    manifest.write_text(json.dumps(content, indent=2) + "\n")
