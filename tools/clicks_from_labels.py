"""Make a clicks file from a labelled CT: one click in the depth of each named structure.

    PYTHONPATH=. python tools/clicks_from_labels.py CASE clicks.json liver spleen

CASE is a folder with ``labels.nii.gz`` and ``labels.json`` (id to anatomy).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.io.clicks import write_clicks
from CTSAM3DLib.io.image import read_volume
from CTSAM3DLib.prompts import Click, ClickHistory


def deepest_ras(mask_kji: NDArray[np.bool_], geometry: Geometry) -> tuple[float, ...]:
    """Return the centre of the voxel that lies farthest, in voxels, from the border; RAS mm."""
    depth = ndimage.distance_transform_edt(mask_kji)
    k, j, i = np.unravel_index(int(np.argmax(depth)), depth.shape)
    return tuple(float(value) for value in geometry.ras_from_ijk((i, j, k)))


def main(case: Path, output: Path, names: Sequence[str]) -> str:
    """Write the file; return what is wrong, or nothing."""
    ids = {name: int(i) for i, name in json.loads((case / "labels.json").read_text()).items()}
    unknown = [name for name in names if name not in ids]
    if unknown or not names:
        return f"{case}: expected some of {', '.join(sorted(ids))}; got {', '.join(unknown)}"
    labels = read_volume(case / "labels.nii.gz")
    clicks = {}
    for name in names:
        mask = labels.array_kji == ids[name]
        if not mask.any():
            return f"{case}: expected voxels of {name}, got none"
        clicks[name] = ClickHistory([Click(deepest_ras(mask, labels.geometry))])
    write_clicks(output, clicks)
    return ""


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]) or 0)
