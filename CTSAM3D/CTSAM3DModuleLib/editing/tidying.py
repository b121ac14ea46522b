"""Tidying up a mask: keep the clicked parts, fill holes, smooth. The clicks stay obeyed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.geometry.volume import MaskUpdate
from CTSAM3DLib.prompts import Prompts
from CTSAM3DLib.session.points import obeyed_voxels
from CTSAM3DLib.session.tidying import fill_holes, keep_components, smooth

STEPS = ("keep", "fill", "smooth")
SIGMAS_OF_MARGIN = 4.0


def refinement(
    step: str, prompts: Prompts, geometry: Geometry, smoothing_mm: float
) -> Callable[[MaskUpdate], MaskUpdate]:
    """Return one step as a function from mask to mask; an empty mask stays empty.

    The step is ``"keep"``: the parts that hold a positive click, else the largest; ``"fill"``:
    cavities; or ``"smooth"``: the surface, by a Gaussian of `smoothing_mm`. The boxes of the masks
    are on the voxels of the volume, whose geometry is given.
    """

    def apply(mask: MaskUpdate) -> MaskUpdate:
        if mask.bbox.is_empty:
            return mask
        margin = 2
        if step == "smooth":
            margin += int(np.ceil(SIGMAS_OF_MARGIN * smoothing_mm / min(geometry.spacing_mm)))
        box = mask.bbox.padded(margin).clipped(geometry.shape_kji)
        dense = mask.content(box)
        inside, outside = (_voxels(prompts, sign, geometry, box) for sign in (True, False))
        if step == "keep":
            new = keep_components(dense, inside)
        elif step == "fill":
            new = fill_holes(dense, outside)
        elif step == "smooth":
            new = smooth(dense, geometry.spacing_mm, smoothing_mm, inside, outside)
        else:
            raise ValueError(f"expected one of {STEPS}, got {step!r}")
        return MaskUpdate(new, box)

    return apply


def _voxels(prompts: Prompts, positive: bool, geometry: Geometry, box: BoundingBox) -> np.ndarray:
    """Return the voxels (K, J, I) of the clicks of one sign that lie in a box, counted from it."""
    found = [
        tuple(ijk)
        for prompt in prompts
        if prompt.positive == positive
        for ijk in obeyed_voxels(prompt, geometry).tolist()
    ]
    rows = [np.subtract(ijk, box.start_ijk)[::-1] for ijk in found if box.contains(ijk)]
    return np.array(rows, dtype=int).reshape(-1, 3)
