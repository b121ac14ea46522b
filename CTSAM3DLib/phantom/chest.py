"""Lungs with vessels and airways, heart, great vessels and gullet."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.phantom.canvas import Canvas, Mask, Point
from CTSAM3DLib.phantom.tissue import Tissue
from CTSAM3DLib.phantom.wall import section_level

_VESSEL_ENDS = 110  # in each lung


def diaphragm_z(canvas: Canvas) -> NDArray[np.float32]:
    """Return the height of the diaphragm below or above each voxel, S in mm."""
    domes = [
        top - 0.0085 * ((canvas.x - middle) ** 2 + 1.05 * (canvas.y - 8) ** 2)
        for top, middle in ((24.0, 60.0), (12.0, -62.0))
    ]
    return np.maximum(*domes)


def draw_chest(
    canvas: Canvas, inside: Mask, dome_z: NDArray[np.float32], rng: np.random.Generator
) -> None:
    """Paint everything above the diaphragm into the space inside the wall."""
    above = inside & (canvas.z > dome_z)
    shoulder = 1 - 0.45 * (np.clip(canvas.z - 40, 0, 140) / 140) ** 2
    chest = section_level(canvas, (125.0, 77.0)) <= shoulder
    half_mm = 24 + 10 * np.clip((canvas.y + 10) / 70, 0, 1)
    middle = (np.abs(canvas.x + 4) < half_mm) & (canvas.y > -66)
    canvas.paint(inside & (canvas.z > 20) & ~chest, Tissue.MUSCLE)
    lungs = above & chest & ~middle
    lungs &= ~canvas.tube([(0, -56, -200), (0, -56, 200)], (30, 30))
    lungs &= ~canvas.ellipsoid((-26, 24, 40), (61, 50, 50), turn_deg=-35)
    right, left = lungs & (canvas.x > 0), lungs & (canvas.x < 0)
    for side, vessel, mask, sign in (
        (Tissue.LUNG_RIGHT, Tissue.LUNG_VESSEL_RIGHT, right, 1),
        (Tissue.LUNG_LEFT, Tissue.LUNG_VESSEL_LEFT, left, -1),
    ):
        canvas.paint(mask, side)
        tree = _vessel_tree(canvas, mask, (34.0 * sign, -4.0, 62.0), rng)
        canvas.paint(tree & mask, vessel)
    _draw_heart(canvas, dome_z)
    _draw_tubes(canvas)


def _vessel_tree(canvas: Canvas, lung: Mask, root: Point, rng: np.random.Generator) -> Mask:
    """Grow a tree from the root: each random end joins the nearest node that exists already."""
    voxels = np.flatnonzero(lung)
    picked = rng.choice(voxels, size=_VESSEL_ENDS, replace=False)
    ends = np.stack([field.ravel()[picked] for field in (canvas.x, canvas.y, canvas.z)], axis=1)
    ends = ends[np.argsort(((ends - np.asarray(root)) ** 2).sum(1))]
    mask = np.zeros(canvas.shape_kji, dtype=bool)
    nodes, radii = [np.asarray(root, dtype=np.float32)], [6.5]
    for end in ends:
        gaps = ((np.array(nodes) - end) ** 2).sum(1)
        nearest = int(gaps.argmin())
        radius = max(0.9, 0.86 * radii[nearest])
        mask |= canvas.tube([nodes[nearest], end], (min(radii[nearest], radius + 0.6), radius))
        nodes.append(end)
        radii.append(radius)
    return mask


def _draw_heart(canvas: Canvas, dome_z: NDArray[np.float32]) -> None:
    heart = canvas.ellipsoid((-26, 24, 40), (56, 45, 45), turn_deg=-35)
    heart &= canvas.z > dome_z + 3
    rim = canvas.ellipsoid((-26, 24, 40), (60, 49, 49), turn_deg=-35) & (canvas.z > dome_z)
    canvas.paint(rim, Tissue.VISCERAL_FAT)
    canvas.paint(heart, Tissue.MYOCARDIUM)
    chambers = (
        canvas.ellipsoid((-44, 16, 38), (28, 17, 26), turn_deg=-35)
        | canvas.ellipsoid((-30, 46, 36), (34, 13, 28), turn_deg=-30)
        | canvas.ellipsoid((16, 20, 42), (18, 20, 25))
        | canvas.ellipsoid((-10, -6, 55), (26, 13, 19))
    )
    canvas.paint(chambers & heart, Tissue.HEART_CAVITY)


def _draw_tubes(canvas: Canvas) -> None:
    veins = [(20, 14, 40), (23, 12, 90), (25, 8, 200)]
    canvas.paint(canvas.tube(veins, (9, 9, 9)), Tissue.VEIN)
    for sign in (1, -1):
        branch = [(-14, 26, 70), (-4, 8, 84), (40 * sign, -4, 70)]
        canvas.paint(canvas.tube(branch, (13, 11, 6)), Tissue.PULMONARY_ARTERY)
    arch = [(-2, 18, 52), (8, 22, 80), (4, 14, 106), (-8, -4, 116), (-18, -22, 106)]
    descending = [(-21, -27, 84), (-18, -25, 20), (-10, -21, -40), (-4, -19, -200)]
    aorta = canvas.tube([*arch, *descending], (15, 15, 13.5, 13, 12.5, 12, 11.5, 10.5, 9))
    canvas.paint(aorta, Tissue.AORTA)
    gullet = [(-2, -17, 200), (-3, -18, 60), (-12, -8, 12), (-34, 0, -4)]
    canvas.paint(canvas.tube(gullet, (7, 7, 7, 7)), Tissue.ESOPHAGUS)
    canvas.paint(canvas.tube([(2, -4, 200), (1, -7, 98)], (10, 10)), Tissue.CARTILAGE)
    canvas.paint(canvas.tube([(2, -4, 200), (1, -7, 98)], (8, 8)), Tissue.AIRWAY)
    for sign in (1, -1):
        bronchus = [(0, -7, 98), (20 * sign, -12, 82), (42 * sign, -12, 70)]
        canvas.paint(canvas.tube(bronchus, (6.5, 6, 4)), Tissue.AIRWAY)
