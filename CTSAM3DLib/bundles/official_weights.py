"""Checkpoints of the authors' network: recognised by their keys and shapes, checked, loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from CTSAM3DLib.bundles.checkpoint_file import first_names
from CTSAM3DLib.errors import CheckpointError
from CTSAM3DLib.network.build import build_official
from CTSAM3DLib.network.model import PromptableModel
from CTSAM3DLib.network.official.segmenter import OfficialSegmenter
from CTSAM3DLib.network.official.sizes import OFFICIAL_VARIANTS, OfficialConfig

CROSS_PATCH_PREFIX = "cpp_predictor."
STATE_KEY = "model_state_dict"
PARALLEL_PREFIX = "module."
HALF_LIMIT = 65504.0
"""Largest number that float16 holds."""

Shape: TypeAlias = tuple[int, ...]
Layout: TypeAlias = Mapping[str, tuple[Shape, torch.dtype]]


@dataclass(frozen=True, eq=False)
class OfficialWeights:
    """The weights of a checkpoint, complete and finite."""

    # The variant; without cross-patch widths if that part is not in the file
    config: OfficialConfig
    # float32, and int64 counters; keys and shapes as in `OfficialSegmenter`
    state: Mapping[str, Tensor]
    notes: tuple[str, ...] = ()  # What the user should know about the file

    @property
    def has_cross_patch(self) -> bool:
        """Whether the cross-patch predictor is among them."""
        return bool(self.config.cross_patch_widths)


class NoCrossPatch(nn.Module):
    """Stands where a checkpoint has no cross-patch predictor: it never expects a click."""

    def forward(self, pair: Tensor) -> Tensor:
        """Heat map (B, 1, D, H, W) of zeros for (B, 3, D, H, W)."""
        return torch.zeros_like(pair[:, :1])


def official_weights(content: Any, source: str) -> OfficialWeights:
    """Find, recognise and check the weights in what `read_checkpoint` returned.

    `source` names the file in error texts. Raises CheckpointError: not the weights of an official
    network, all of them: the text names the first keys that are missing, unexpected, of another
    shape, or not finite.
    """
    state, notes = _state_dict(content, source)
    config = recognise({key: tuple(value.shape) for key, value in state.items()}, source)
    state, widened = _converted(state, layout(config), source)
    return OfficialWeights(config, state, (*notes, *widened))


def official_model(
    weights: OfficialWeights,
    model_id: str,
    window_hu: tuple[float, float] | None = None,
    spacing_mm: float | None = None,
) -> PromptableModel:
    """Build the authors' network with their weights, not copied, in evaluation mode.

    Window and voxel size are by default those of the authors. Without cross-patch weights it never
    expects a click in a neighbour, and its settings say that the cross-patch predictor is not
    trained.
    """
    with torch.device("meta"):
        base = build_official(OFFICIAL_VARIANTS[weights.config.name], model_id)
    spacing = base.settings.default_spacing_mm if spacing_mm is None else spacing_mm
    settings = replace(
        base.settings,
        cross_patch_trained=weights.has_cross_patch,
        windows_hu=base.settings.windows_hu if window_hu is None else (window_hu,),
        spacing_range_mm=(spacing, spacing),
        default_spacing_mm=spacing,
    )
    cross_patch = base.cross_patch_net
    if not weights.has_cross_patch:
        del base.segmenter.cpp_predictor
        cross_patch = NoCrossPatch()
    base.segmenter.load_state_dict(weights.state, assign=True)
    segmenter = base.segmenter
    model = PromptableModel(segmenter, cross_patch, settings, base.finest_map, base.finest_step)
    return model.eval()


def check_fits_half(state: Mapping[str, Tensor], source: str) -> None:
    """Raise CheckpointError, with their names, for weights that float16 cannot hold."""
    large = [
        key
        for key, value in state.items()
        if value.is_floating_point() and value.numel() and float(value.abs().max()) > HALF_LIMIT
    ]
    if large:
        message = f"{source}: expected weights up to {HALF_LIMIT:.0f} for --half, got larger ones"
        raise CheckpointError(f"{message} in {first_names(large)}; import it without --half")


# ---- inside


def _state_dict(content: Any, source: str) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return the state dict of a checkpoint and notes about it."""
    notes = []
    state = content
    if isinstance(content, Mapping) and STATE_KEY in content:
        state = content[STATE_KEY]
        if others := [str(key) for key in content if key != STATE_KEY]:
            notes.append(f"not used, though in the file: {first_names(others)}")
    if not isinstance(state, Mapping) or not any(isinstance(v, Tensor) for v in state.values()):
        got = type(state).__name__
        if isinstance(state, Mapping) and state:
            got = f"the keys {first_names([repr(k) for k in state])}"
        raise CheckpointError(
            f"{source}: expected weights under {STATE_KEY!r}, or weights and nothing else, got "
            f"{got}"
        )
    strange = [str(k) for k, v in state.items() if not (isinstance(k, str) and _is_plain(v))]
    if strange:
        message = f"{source}: expected a plain tensor of numbers for each key, got another value"
        raise CheckpointError(f"{message} under {first_names(strange)}")
    if all(key.startswith(PARALLEL_PREFIX) for key in state):
        state = {key.removeprefix(PARALLEL_PREFIX): value for key, value in state.items()}
        notes.append(f"the prefix {PARALLEL_PREFIX!r} of every key was taken off")
    return dict(state), tuple(notes)


def _is_plain(value: Any) -> bool:
    """Tell whether a value is a tensor with real numbers of its own in main memory."""
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not value.is_quantized
        and not value.is_complex()
    )


def _converted(
    state: Mapping[str, Tensor], wanted: Layout, source: str
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return the weights as the network stores them, in its order, and notes; check values."""
    strange, infinite, negative = [], [], []
    types: set[str] = set()
    converted = {}
    for key, (_, dtype) in wanted.items():
        value = state[key]
        if value.is_floating_point() != dtype.is_floating_point or value.dtype == torch.bool:
            strange.append(f"{key} ({value.dtype}, expected {dtype})".replace("torch.", ""))
            continue
        if value.is_floating_point() and value.dtype != dtype:
            types.add(str(value.dtype).removeprefix("torch."))
        value = _own(value.detach().to(dtype))
        if not bool(torch.isfinite(value).all()):
            infinite.append(key)
        elif key.endswith("running_var") and bool((value < 0).any()):
            negative.append(key)
        converted[key] = value
    for found, what in (
        (strange, "expected fractions as weights and whole numbers as counters, got another type"),
        (infinite, "expected finite weights, got NaN or infinite values"),
        (negative, "expected variances of 0 or more, got negative ones"),
    ):
        if found:
            raise CheckpointError(
                f"{source}: {what} in {len(found)} of {len(wanted)} keys: {first_names(found)}"
            )
    notes = (f"stored as {', '.join(sorted(types))}; converted to float32",) if types else ()
    return converted, notes


def _own(value: Tensor) -> Tensor:
    """Return a tensor that is all of its memory, not a view of something larger."""
    whole = value.numel() * value.element_size()
    if value.is_contiguous() and value.untyped_storage().nbytes() == whole:
        return value
    return value.clone(memory_format=torch.contiguous_format)


def recognise(shapes: Mapping[str, Shape], source: str) -> OfficialConfig:
    """Tell by keys and shapes which official network the weights belong to.

    `source` names the file in error texts. The result has no cross-patch widths if all of that part
    is missing. Raises CheckpointError: none fits; the text tells what is wrong for the nearest one.
    """
    with_cross_patch = any(key.startswith(CROSS_PATCH_PREFIX) for key in shapes)
    found = []
    for config in OFFICIAL_VARIANTS.values():
        wanted = config if with_cross_patch else replace(config, cross_patch_widths=())
        faults = _faults(shapes, layout(wanted))
        count = sum(len(keys) for keys in faults.values())
        if count == 0:
            return wanted
        found.append((count, wanted, faults))
    _, nearest, faults = min(found, key=lambda item: item[0])
    raise CheckpointError(
        f"{source}: expected all weights of an official CT-SAM3D network and no others; compared "
        f"with the nearest, {nearest.name} ({len(layout(nearest))} keys), {_told(faults)}"
    )


@lru_cache(maxsize=16)
def layout(config: OfficialConfig) -> Layout:
    """Return shape and type of each key of an official network."""
    with torch.device("meta"):
        state = OfficialSegmenter(config).state_dict()
    return {key: (tuple(value.shape), value.dtype) for key, value in state.items()}


def _faults(shapes: Mapping[str, Shape], wanted: Layout) -> dict[str, list[str]]:
    return {
        "missing": [key for key in wanted if key not in shapes],
        "unexpected": [key for key in shapes if key not in wanted],
        "of another shape": [
            f"{key} (expected {list(wanted[key][0])}, got {list(shape)})"
            for key, shape in shapes.items()
            if key in wanted and wanted[key][0] != shape
        ],
    }


def _told(faults: Mapping[str, list[str]]) -> str:
    told = [f"{len(found)} {kind}: {first_names(found)}" for kind, found in faults.items() if found]
    if any(key.startswith(CROSS_PATCH_PREFIX) for key in faults["missing"]):
        told.append(
            f"the cross-patch predictor ({CROSS_PATCH_PREFIX}*) is there in part: expected all of "
            "it or nothing"
        )
    return "; ".join(told)
