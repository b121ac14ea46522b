"""The size of voxels at which a model sees an anatomy best, where it was measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

from CTSAM3DLib.errors import BundleError
from CTSAM3DLib.io.terminology import find
from CTSAM3DLib.models.contract import ModelSettings
from CTSAM3DLib.resources import resource_path

VOXEL_SIZES_FILE = "Models/voxel_sizes.json"


def own_voxel_sizes_mm(settings: ModelSettings) -> Mapping[str, float]:
    """Return the anatomies that a model sees with voxels of their own size, mm, by their names.

    Those of its settings, else those of the resource file for its id and version. The numbers are
    in ``Testing/Benchmarks/results/voxel-sizes.md``.

    Examples
    --------
    >>> own_voxel_sizes_mm(ModelSettings("mine", 64, (1.5, 4.0), 2.0, ((-125.0, 225.0),)))
    {}
    """
    return settings.voxel_sizes_mm or _rows().get((settings.model_id, settings.version), {})


def voxel_size_mm(settings: ModelSettings, name: str = "") -> float:
    """Return the voxel size for a structure by its name, as in `find`; else that of all others.

    Examples
    --------
    >>> settings = ModelSettings("mine", 64, (1.5, 4.0), 2.0, ((-125.0, 225.0),))
    >>> voxel_size_mm(settings), voxel_size_mm(settings, "lesion")
    (2.0, 2.0)
    """
    own = own_voxel_sizes_mm(settings)
    anatomy = find(name) if own and name else None
    known = "" if anatomy is None else anatomy.name
    return own.get(known, settings.default_spacing_mm)


def settings_of_child(settings: ModelSettings, model_id: str) -> ModelSettings:
    """Return the settings of a model of another id that comes from one: it sees as that does.

    Examples
    --------
    >>> parent = ModelSettings("mine", 64, (1.5, 4.0), 2.0, ((-125.0, 225.0),))
    >>> settings_of_child(parent, "better").model_id
    'better'
    """
    return replace(settings, model_id=model_id, voxel_sizes_mm=dict(own_voxel_sizes_mm(settings)))


@lru_cache(maxsize=1)
def _rows() -> Mapping[tuple[str, int], Mapping[str, float]]:
    """Return what the resource file says."""
    path = resource_path(VOXEL_SIZES_FILE)
    try:
        models = json.loads(path.read_text(encoding="utf-8"))["models"]
        return {
            (str(row["model"]), int(row["version"])): {
                str(name): float(size) for size, names in row["mm"].items() for name in names
            }
            for row in models
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"{path} is no table of voxel sizes: {error!r}") from error
