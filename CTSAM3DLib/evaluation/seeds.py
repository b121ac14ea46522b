"""What every classical method starts from: a box round the clicks, and seeds in it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.prompts import Click

FOREGROUND, BACKGROUND = 1, 2


@dataclass(frozen=True)
class SeededBox:
    """A cut-out of the volume with its clicks."""

    hu_kji: NDArray[np.float32]  # Voxels of the cut-out, HU
    clicks_kji: list[tuple[tuple[int, int, int], bool]]  # Clicks inside it, in the order made
    spacing_kji: NDArray[np.float64]  # (3,): voxel size, mm
    bbox: BoundingBox  # Place of the cut-out in the volume
    # tuple of 6 bool: for low k, high k, low j, ... : the face does not lie on the edge of the
    # volume.
    open_faces: tuple[bool, ...]

    def seeds(self, radius_mm: float) -> NDArray[np.uint8]:
        """Return a label image: `FOREGROUND`, `BACKGROUND`, or 0 where nothing is known.

        Each click paints a ball, a later one over an earlier one, as with a brush; only the voxel
        of a click itself is never painted over by another. The faces of
        the box are background, except those on the edge of the volume: there the structure may go
        on. When all are on the edge, all are background, since both labels are needed.
        """
        labels = np.zeros(self.hu_kji.shape, dtype=np.uint8)
        faces = self.open_faces if any(self.open_faces) else (True,) * 6
        for number, is_open in enumerate(faces):
            if is_open:
                axis, high = divmod(number, 2)
                where: list[int | slice] = [slice(None)] * 3
                where[axis] = -1 if high else 0
                labels[tuple(where)] = BACKGROUND
        for place, positive in self.clicks_kji:
            self._paint_ball(labels, place, radius_mm, FOREGROUND if positive else BACKGROUND)
        for place, positive in self.clicks_kji:
            labels[place] = FOREGROUND if positive else BACKGROUND
        return labels

    def _paint_ball(
        self, labels: NDArray[np.uint8], place: tuple[int, int, int], radius_mm: float, value: int
    ) -> None:
        reach = np.floor(radius_mm / self.spacing_kji).astype(int)
        low = np.maximum(np.array(place) - reach, 0)
        high = np.minimum(np.array(place) + reach + 1, labels.shape)
        axes = [
            (np.arange(low[axis], high[axis]) - place[axis]) * self.spacing_kji[axis]
            for axis in range(3)
        ]
        squared = (
            axes[0][:, None, None] ** 2 + axes[1][None, :, None] ** 2 + axes[2][None, None, :] ** 2
        )
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        labels[box][squared <= radius_mm**2] = value


def seeded_box(volume: Volume, clicks: Sequence[Click], margin_mm: float) -> SeededBox | None:
    """Cut out the box of the positive clicks with a margin; None without a positive click.

    Clicks outside the box are ignored; the margin is cut off at the edge of the volume. Raises
    ClickOutsideVolumeError when a click is not inside the volume.
    """
    voxels = [(volume.geometry.voxel_from_ras(c.position_ras), c.positive) for c in clicks]
    wanted = np.array([ijk for ijk, positive in voxels if positive])
    if len(wanted) == 0:
        return None
    spacing_ijk = np.asarray(volume.geometry.spacing_mm)
    margin = np.array([math.ceil(margin_mm / step) for step in spacing_ijk])
    size = np.asarray(volume.geometry.size_ijk)
    low = np.maximum(wanted.min(0) - margin, 0)
    high = np.minimum(wanted.max(0) + margin + 1, size)
    bbox = BoundingBox(_ijk(low), _ijk(high))
    inside = [
        (_ijk((np.array(ijk) - low)[::-1]), positive)
        for ijk, positive in voxels
        if np.all(ijk >= low) and np.all(ijk < high)
    ]
    open_faces = np.stack([low > 0, high < size], axis=1)[::-1].ravel()
    return SeededBox(
        hu_kji=volume.array_kji[bbox.slices_kji].astype(np.float32),
        clicks_kji=inside,
        spacing_kji=spacing_ijk[::-1],
        bbox=bbox,
        open_faces=tuple(bool(face) for face in open_faces),
    )


def _ijk(values: NDArray[np.int64]) -> tuple[int, int, int]:
    return int(values[0]), int(values[1]), int(values[2])
