"""Which of the authors' networks do weights belong to: by keys and shapes alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import TypeAlias

import torch

from CTSAM3DLib.bundles.checkpoint_file import first_names
from CTSAM3DLib.errors import CheckpointError
from CTSAM3DLib.network.official.segmenter import OfficialSegmenter
from CTSAM3DLib.network.official.sizes import OFFICIAL_VARIANTS, OfficialConfig

CROSS_PATCH_PREFIX = "cpp_predictor."

Shape: TypeAlias = tuple[int, ...]
Layout: TypeAlias = Mapping[str, tuple[Shape, torch.dtype]]


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
