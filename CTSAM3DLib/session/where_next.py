"""Where a further prompt helps most, as far as the logits tell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.prompts.click import Position
from CTSAM3DLib.session.points import nearest_voxels
from CTSAM3DLib.session.state import SessionState

UNSURE_BORDER = "unsure border"
UNCLOSED_FACE = "unclosed face"
LOOSE_PART = "loose part"

_SIGMA_VOXELS = 2.5  # of the surroundings in which doubt is summed
_FURTHER_VOXELS = 4  # at most so far beyond a face a place is shown
_DOUBT = 0.5  # that a loose part, or what lies beyond a face, is wrong


@dataclass(frozen=True)
class Suggestion:
    """A place to look at.

    Examples
    --------
    >>> Suggestion((87.0, 17.0, -39.0), "loose part", 240.0).reason
    'loose part'
    """

    position_ras: Position  # 3 numbers: mm in the RAS frame of the volume itself
    # ``"unsure border"``: the model is in doubt; ``"unclosed face"``: the structure may go
    # on where no patch has been; ``"loose part"``: no positive prompt is in this part
    reason: str
    wrong_mm3: float  # About so much may be wrong there


def where_next(state: SessionState) -> Suggestion | None:
    """Return where a further prompt helps most, from the logits alone; None without any.

    Three kinds of places are compared by how many voxels may be wrong there: the summed doubt round
    a voxel, a cube beyond the place where the mask ends at the border of what has been decoded, and
    half of a part of the mask without a positive prompt.

    Examples
    --------
    >>> from CTSAM3DLib.geometry.grid import Geometry
    >>> geometry = Geometry(np.eye(4), (16, 16, 32))
    >>> logits = np.full((16, 16, 16), -8.0)
    >>> logits[4:12, 4:12, 4:] = 8.0
    >>> state = SessionState.empty(geometry, geometry)
    >>> found = where_next(state.with_logits(BoundingBox((0, 0, 0), (16, 16, 16)), logits))
    >>> found.reason, found.position_ras[0] > 15
    ('unclosed face', True)
    """
    everything = state.logits.occupied_box()
    if everything.is_empty:
        return None
    boxes = [*state.patches, *state.coarse] or [everything]
    places = [place for box in boxes for place in _places_in(state, box)]
    places += _loose_parts(state, everything)
    wrong, reason, voxel_ijk = max(places, key=lambda place: place[0])
    r, a, s = state.grid.ras_from_ijk(np.array(voxel_ijk, float)).tolist()
    voxel_mm3 = abs(float(np.linalg.det(state.grid.ijk_to_ras[:3, :3])))
    return Suggestion(_inside_volume(state, (r, a, s)), reason, wrong * voxel_mm3)


_Place = tuple[float, str, tuple[int, int, int]]  # voxels that may be wrong, why, i j k of the grid


def _places_in(state: SessionState, patch: BoundingBox) -> Iterator[_Place]:
    """Yield the best unsure border and the unclosed faces of one patch."""
    whole = BoundingBox.from_shape(state.grid.shape_kji)
    box = patch.padded(1).intersection(whole)
    logits = state.logits.read(box).astype(np.float32)
    known = ~np.isnan(logits)
    # The smaller one of both probabilities: how likely a voxel is on the wrong side.
    doubt = np.where(known, 1.0 / (1.0 + np.exp(np.abs(np.where(known, logits, 0.0)))), 0.0)
    around = ndimage.gaussian_filter(doubt, _SIGMA_VOXELS, mode="constant")
    k, j, i = np.unravel_index(int(around.argmax()), around.shape)
    summed = float(around[k, j, i]) * (2.0 * np.pi) ** 1.5 * _SIGMA_VOXELS**3
    yield summed, UNSURE_BORDER, _moved(box, (int(i), int(j), int(k)))
    inside = known & (np.nan_to_num(logits) > 0)
    for axis in range(3):
        for side in (-1, 1):
            yield from _unclosed(box, inside, known, axis, side, whole)


def _unclosed(
    box: BoundingBox,
    inside: NDArray[np.bool_],
    known: NDArray[np.bool_],
    axis: int,
    side: int,
    whole: BoundingBox,
) -> Iterator[_Place]:
    """Yield where the mask ends at unknown voxels in one direction."""
    unknown = np.roll(~known, -side, axis=2 - axis)
    edge = [slice(None)] * 3
    edge[2 - axis] = slice(-1, None) if side > 0 else slice(0, 1)
    unknown[tuple(edge)] = False  # the border of the box, which is padded, or of the grid
    parts, _ = ndimage.label(inside & unknown)
    for number, area in enumerate(np.bincount(parts.ravel())[1:].tolist(), 1):
        layers_last = np.moveaxis(parts == number, 2 - axis, -1)
        depth = ndimage.distance_transform_edt(np.pad(layers_last.any(axis=-1), 1))
        row, column = (int(at) - 1 for at in np.unravel_index(int(depth.argmax()), depth.shape))
        at_kji = [row, column]
        at_kji.insert(2 - axis, int(layers_last[row, column].argmax()))
        voxel = list(_moved(box, (at_kji[2], at_kji[1], at_kji[0])))
        further = min(_FURTHER_VOXELS, max(1, round(float(np.sqrt(area)) / 2)))
        last = whole.size_ijk[axis] - 1
        voxel[axis] = min(max(voxel[axis] + side * further, 0), last)
        yield _DOUBT * area**1.5, UNCLOSED_FACE, (voxel[0], voxel[1], voxel[2])


def _loose_parts(state: SessionState, box: BoundingBox) -> Iterator[_Place]:
    """Yield the parts of the mask that hold no positive prompt; the largest part is never loose."""
    inside = state.logits.read(box) > 0
    tight = BoundingBox.from_mask(inside)
    if tight.is_empty:
        return
    parts, count = ndimage.label(inside[tight.slices_kji])
    if count < 2:
        return
    start = np.add(box.start_ijk, tight.start_ijk)
    sizes = np.bincount(parts.ravel())
    kept = {1 + int(sizes[1:].argmax())}
    for prompt in state.prompts:
        if prompt.positive:
            points = np.concatenate([[prompt.anchor_ras], prompt.points_ras(1.0)])
            at = nearest_voxels(points, state.grid) - start
            at = at[np.all((at >= 0) & (at < tight.size_ijk), axis=1)]
            kept |= set(parts[tuple(at.T[::-1])].tolist())
    for number, where in enumerate(ndimage.find_objects(parts), 1):
        if number not in kept and where is not None:
            depth = ndimage.distance_transform_edt(np.pad(parts[where] == number, 1))
            at_kji = np.unravel_index(int(depth.argmax()), depth.shape)
            i, j, k = (
                int(at) - 1 + axis.start + int(first)
                for at, axis, first in zip(at_kji[::-1], where[::-1], start, strict=True)
            )
            yield _DOUBT * float(sizes[number]), LOOSE_PART, (i, j, k)


def _moved(box: BoundingBox, voxel_ijk: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return a voxel of a box as one of the grid."""
    i, j, k = (at + start for at, start in zip(voxel_ijk, box.start_ijk, strict=True))
    return i, j, k


def _inside_volume(state: SessionState, position_ras: Position) -> Position:
    """Return the nearest centre of a voxel of the volume, which the grid may reach beyond."""
    ijk = np.rint(state.geometry.ijk_from_ras(np.array(position_ras)))
    clipped = np.clip(ijk, 0, np.array(state.geometry.size_ijk) - 1)
    r, a, s = state.geometry.ras_from_ijk(clipped).tolist()
    return r, a, s
