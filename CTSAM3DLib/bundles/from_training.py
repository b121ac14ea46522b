"""From a training checkpoint to a model that can be bundled, and back."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from CTSAM3DLib.bundles.adapters import CHANGE_FILE, Adapter, check_fit, low_rank
from CTSAM3DLib.bundles.predictor import SETTINGS_FILE, TorchPredictor
from CTSAM3DLib.bundles.script_code import check_script
from CTSAM3DLib.errors import BundleError, CheckpointError
from CTSAM3DLib.io.text import found_instead
from CTSAM3DLib.models.manifest import ModelEntry
from CTSAM3DLib.models.store import check_trusted
from CTSAM3DLib.models.tuning import adapter_of, inherited
from CTSAM3DLib.network.build import build_promptable
from CTSAM3DLib.network.model import PromptableModel
from CTSAM3DLib.network.segmenters import build_segmenter


def model_from_checkpoint(
    checkpoint: Path,
    model_id: str = "ctsam3d-lite",
    cross_patch: Path | None = None,
    others: Sequence[Path] = (),
    share: float | None = None,
) -> PromptableModel:
    """Build the model, in evaluation mode, with the averaged weights of a checkpoint.

    `checkpoint` is the ``last.pt`` of a training run, `cross_patch` that of a cross-patch run or a
    bundle that holds such a predictor. `others` are checkpoints of runs that began with the same
    weights, or the bundle that this one began with: the mean of all is taken. The first one has
    `share` in the mean, between 0 and 1, by default an equal part. Raises CheckpointError when a
    file is neither, or its weights do not fit the sizes of the first.
    """
    state = _load(checkpoint, "average")
    config = state["config"]
    windows = tuple((float(a), float(b)) for a, b in config["windows_hu"])
    architecture, widths = config.get("architecture", "psap"), tuple(config["widths"])
    segmenter = build_segmenter(
        architecture, widths, config["hidden"], len(windows), config["prompt_resize"]
    )
    _fill(segmenter, state["average"], checkpoint)
    first = 1.0 / (1 + len(others)) if share is None else share
    mean = {key: first * value for key, value in segmenter.state_dict().items()}
    for other in others:
        if _is_script(other):
            fill_from_bundle(segmenter, other)
        else:
            _fill(segmenter, _load(other, "average")["average"], other)
        for key, value in segmenter.state_dict().items():
            mean[key] += (1.0 - first) / len(others) * value
    if others:
        _fill(segmenter, mean, checkpoint)
    model = build_promptable(segmenter, model_id, 64, windows)
    if cross_patch is not None:
        _fill(model.cross_patch_net, _cross_patch_weights(cross_patch), cross_patch)
        model.settings = replace(model.settings, cross_patch_trained=True)
    return model


def model_with_adapters(
    entry: ModelEntry, changes: Mapping[str, Path], rank: int, model_id: str, share: float = 1.0
) -> tuple[Any, dict[str, Adapter]]:
    """Return the model of a bundle, as it stands, with settings that name adapters; and these.

    `changes` are the ``adapter.pt`` of training runs from this bundle, by the name of the adapter;
    `rank` is theirs, `share` how much of each is taken: a part may hold better on other bodies
    (arXiv 2109.01903). Adapters that the bundle has already are kept for anatomies that no file
    has, unless one of the files takes their name; so is what was measured for it, such as sizes of
    voxels. Raises CheckpointError: a file is none, was trained from another bundle or has learnt
    nothing, or two of them have an anatomy in common; BundleError as `loaded_bundle`.
    """
    adapters: dict[str, Adapter] = {}
    owner: dict[str, str] = {}
    for name, path in changes.items():
        anatomies, change = _change(path, entry.sha256)
        twice = sorted(set(anatomies) & set(owner))
        if twice:
            raise CheckpointError(f"{path}: {', '.join(twice)} has an adapter already")
        owner.update(dict.fromkeys(anatomies, name))
        adapters[name] = low_rank({key: share * value for key, value in change.items()}, rank)
        if not adapters[name]:
            raise CheckpointError(f"{path} changes nothing: train it for longer")
    before = TorchPredictor(entry.path, "cpu")
    own = replace(entry.settings, adapters=before.settings.adapters)  # a manifest may lack them
    kept = {a: name for a, name in own.adapters.items() if a not in owner and name not in adapters}
    adapters |= {name: before.adapters[name] for name in sorted(set(kept.values()))}
    model = loaded_bundle(entry.path)
    check_fit(adapters, model, entry.path)
    if model_id != own.model_id:  # what is looked up by the id
        own = inherited(own, model_id)
    model.settings = replace(own, adapters=kept | owner)
    return model, adapters


def adapter_for(entry: ModelEntry, anatomies: Sequence[str]) -> tuple[str, Adapter]:
    """Return name and change of the adapter that a bundle has for all of some anatomies.

    Where it has none, or several, both are empty. Raises BundleError as `loaded_bundle`.
    """
    bundle = TorchPredictor(entry.path, "cpu")
    names = {adapter_of(bundle.settings, anatomy) for anatomy in anatomies}
    name = names.pop() if len(names) == 1 else ""
    return name, bundle.adapters[name] if name else {}


def loaded_bundle(path: Path) -> Any:
    """Return the TorchScript module of a bundle whose checksum is verified, on the processor.

    Raises BundleError: its code could do more than compute, or it cannot be read.
    """
    check_script(path)
    try:
        return torch.jit.load(str(path), map_location="cpu")
    except RuntimeError as error:
        raise BundleError(f"{path} is not a readable TorchScript bundle: {error}") from error


def frozen_network(path: Path, device: torch.device) -> Any:
    """Return the network of a bundle in float32 on a device, for training a copy or a part of it.

    No parameter wants gradients. Raises BundleError as `loaded_bundle`.
    """
    module = loaded_bundle(path).to(torch.float32).eval().to(device)
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return module


def _change(path: Path, parent_sha256: str) -> tuple[list[str], dict[str, torch.Tensor]]:
    """Read what `training.adapting` has learnt."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        anatomies = [str(name) for name in state["anatomies"]]
        change = {str(name): value.float() for name, value in state["change"].items()}
        parent = str(state["parent"])
    except (
        OSError,
        RuntimeError,
        EOFError,
        LookupError,
        TypeError,
        AttributeError,
        pickle.UnpicklingError,
    ) as error:
        raise CheckpointError(f"expected {CHANGE_FILE} of training, got none: {path}") from error
    if parent != parent_sha256:
        raise CheckpointError(
            f"{path} was trained from another bundle (SHA-256 {parent}), expected {parent_sha256}"
        )
    return anatomies, change


def _is_script(path: Path) -> bool:
    """Tell a TorchScript file from a checkpoint."""
    return zipfile.is_zipfile(path) and any(
        "/code/" in name for name in zipfile.ZipFile(path).namelist()
    )


def _cross_patch_weights(path: Path) -> dict[str, torch.Tensor]:
    if not _is_script(path):
        weights: dict[str, torch.Tensor] = _load(path, "cross_patch")["cross_patch"]
        return weights
    extra = {SETTINGS_FILE: ""}
    check_script(path)
    check_trusted(path)
    module = torch.jit.load(str(path), map_location="cpu", _extra_files=extra)
    if not json.loads(extra[SETTINGS_FILE] or "{}").get("cross_patch_trained"):
        raise CheckpointError(
            f"expected a trained cross-patch predictor, got a file without one: {path}"
        )
    return {name: value.float() for name, value in module.cross_patch_net.state_dict().items()}


def fill_from_bundle(segmenter: torch.nn.Module, bundle: Path) -> None:
    """Copy the segmenter's weights out of a bundle of the same sizes, in place, as float32.

    Raises CheckpointError when the file is no bundle or its weights do not fit.
    """
    try:
        check_script(bundle)
        check_trusted(bundle)
        weights = torch.jit.load(str(bundle), map_location="cpu").segmenter.state_dict()
    except (BundleError, RuntimeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"expected a model bundle, got {bundle}: {error}") from error
    _fill(segmenter, weights, bundle)


def _load(path: Path, key: str) -> dict[str, Any]:
    if _is_script(path):
        raise CheckpointError(f"expected last.pt of a training run, got a bundle: {path}")
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(
            f"{path}: expected a training checkpoint, {found_instead(error)}"
        ) from error
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise CheckpointError(
            f"expected a training checkpoint, got a file that is none: {path}"
        ) from error
    if key not in state or "config" not in state:
        raise CheckpointError(
            f"{path} is no training checkpoint: expected 'config' and {key!r}, got {list(state)}"
        )
    return state


def _fill(module: torch.nn.Module, weights: dict[str, torch.Tensor], path: Path) -> None:
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(f"the weights of {path} do not fit the network: {error}") from error


def round_weights(model: torch.nn.Module, bits: int) -> None:
    """Round the kernels of a model, in place, to a number of significant bits.

    The leading bit counts; float16 holds 11. Parameters of two and more axes are rounded; norms and
    biases are not.

    Examples
    --------
    >>> layer = torch.nn.Linear(1, 1)
    >>> _ = torch.nn.init.constant_(layer.weight, 1.0 / 3.0)
    >>> round_weights(layer, 3)
    >>> layer.weight.item()
    0.3125
    """
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim >= 2:
                significand, exponent = torch.frexp(weight)
                scale = 2.0**bits
                weight.copy_(torch.ldexp(torch.round(significand * scale) / scale, exponent))
