"""What was measured for a model after its training: sizes of voxels, weights of rules, growing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, TypeVar

from CTSAM3DLib.errors import BundleError
from CTSAM3DLib.io.terminology import find
from CTSAM3DLib.models.contract import ModelSettings
from CTSAM3DLib.resources import resource_path

T = TypeVar("T")

TUNING_FILE = "Models/tuning.json"


def tuned(settings: ModelSettings) -> ModelSettings:
    """Return the settings of a model with what the resource file says for its id and version.

    What the settings say themselves goes first. The numbers are in ``voxel-sizes.md``,
    ``intensities.md``, ``opposite.md`` and ``growing.md`` of ``Testing/Benchmarks/results``. Raises
    BundleError if the file is damaged.

    Examples
    --------
    >>> settings = ModelSettings("mine", 64, (1.5, 4.0), 2.0, ((-125.0, 225.0),))
    >>> tuned(settings) == settings
    True
    """
    row = _rows().get((settings.model_id, settings.version))
    if row is None:
        return settings
    try:
        return replace(
            settings,
            voxel_sizes_mm=settings.voxel_sizes_mm or row["voxel_sizes_mm"],
            intensity_weight=settings.intensity_weight or row["intensity_weight"],
            opposite_weight=settings.opposite_weight or row["opposite_weight"],
            not_followed=settings.not_followed or row["not_followed"],
        )
    except BundleError as error:
        raise BundleError(f"{resource_path(TUNING_FILE)}: {error}") from error


def inherited(settings: ModelSettings, model_id: str) -> ModelSettings:
    """Return the settings of a model made of another one, for which what was measured holds too.

    `settings` are those of the other one, `model_id` is the name of the new one. Raises as `tuned`.

    Examples
    --------
    >>> child = inherited(ModelSettings("one", 64, (1.5, 4.0), 2.0, ((-125.0, 225.0),)), "two")
    >>> child.model_id, child.calibrated_as
    ('two', 'one')
    """
    own = tuned(settings)
    return replace(own, model_id=model_id, calibrated_as=own.calibrated_as or own.model_id)


def voxel_size_mm(settings: ModelSettings, name: str = "") -> float:
    """Return the voxel size for a structure by its name, as in `find`; else that of all others.

    Examples
    --------
    >>> settings = ModelSettings("mine", 64, (1.5, 4.0), 2.0, ((-125.0, 225.0),))
    >>> voxel_size_mm(settings), voxel_size_mm(settings, "lesion")
    (2.0, 2.0)
    """
    return _of(tuned(settings).voxel_sizes_mm, name, settings.default_spacing_mm)


def adapter_of(settings: ModelSettings, name: str = "") -> str:
    """Return the adapter that decodes a structure by its name, as in `find`; mostly none, empty.

    Examples
    --------
    >>> bones = {"sacrum": "pelvis"}
    >>> settings = ModelSettings("mine", 64, (1.5, 4.0), 2.0, ((-125.0, 225.0),), adapters=bones)
    >>> adapter_of(settings, "Sacrum"), adapter_of(settings, "liver"), adapter_of(settings)
    ('pelvis', '', '')
    """
    return _of(settings.adapters, name, "")


def is_followed(settings: ModelSettings, name: str = "") -> bool:
    """Tell whether ``grow="auto"`` follows a structure by its name, as in `find`; mostly it does.

    Examples
    --------
    >>> settings = ModelSettings("mine", 64, (1.5, 4.0), 2.0, ((-125.0, 225.0),))
    >>> settings = replace(settings, not_followed=("femur_left",))
    >>> is_followed(settings, "Left femur"), is_followed(settings, "aorta"), is_followed(settings)
    (False, True, True)
    """
    return not _of(dict.fromkeys(tuned(settings).not_followed, True), name, False)


def _of(own: Mapping[str, T], name: str, usual: T) -> T:
    """Return what a mapping by anatomies has for a name."""
    anatomy = find(name) if own and name else None
    return usual if anatomy is None else own.get(anatomy.name, usual)


@lru_cache(maxsize=1)
def _rows() -> Mapping[tuple[str, int], Mapping[str, Any]]:
    """Return what the resource file says, by id and version of a model."""
    path = resource_path(TUNING_FILE)
    try:
        return {
            (str(row["model"]), int(row["version"])): {
                "voxel_sizes_mm": {
                    str(name): float(size)
                    for size, names in row["voxel_sizes_mm"].items()
                    for name in names
                },
                "intensity_weight": float(row["intensity_weight"]),
                "opposite_weight": float(row["opposite_weight"]),
                "not_followed": tuple(str(name) for name in row["not_followed"]),
            }
            for row in json.loads(path.read_text(encoding="utf-8"))["models"]
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise BundleError(f"{path} is no table of tuning: {error!r}") from error
