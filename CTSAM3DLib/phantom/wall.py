"""Skin, fat, muscle, ribs, breastbone, spine and the table of the scanner."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.phantom.canvas import Canvas, Field, Mask
from CTSAM3DLib.phantom.tissue import Tissue

VERTEBRA_PITCH_MM = 30.0
VERTEBRAE = {
    f"vertebrae_{name}": -135.0 + VERTEBRA_PITCH_MM * step
    for step, name in enumerate(("L3", "L2", "L1", "T12", "T11", "T10", "T9", "T8", "T7", "T6"))
}
"""Height of the middle of each vertebral body, S in mm."""

_BODY_MM = (166.0, 108.0)  # half width and half depth at the skin
_SKIN_MM, _WALL_MM = 2.5, (38.0, 30.0)
_RIB_LAYER_MM = 9.0  # from the inner side of the wall to the middle of the ribs
_PLANE_MM = 4.0  # a plane of fat between the layers of muscle, from the inner side
_RIB_SHAPE_MM = (3.6, 6.2)  # half thickness across and along the wall
_RIB_DROP_MM = 27.0  # for each radian from the spine


def section_level(canvas: Canvas, half_mm: tuple[float, float]) -> NDArray[np.float32]:
    """Return how far out each voxel is in the cross-section: 1 on the outline, 0 on the axis."""
    level = np.abs(canvas.x / half_mm[0]) ** 2.4 + np.abs(canvas.y / half_mm[1]) ** 2.4
    found: NDArray[np.float32] = level ** np.float32(1 / 2.4)
    return found


def draw_wall(canvas: Canvas) -> Mask:
    """Paint table, skin, fat, muscle, ribs and breastbone; return the space inside the wall."""
    _draw_table(canvas)
    level = section_level(canvas, _BODY_MM)
    radius = np.hypot(canvas.x, canvas.y) + np.float32(1e-3)
    # The layer of fat is thicker in front and at the flanks of the belly than at the back.
    front = np.clip(canvas.y / 100, -1, 1)
    fat_mm = 17 + 6 * front - 0.04 * np.clip(canvas.z, -160, 60)
    depth = (1 - level) * radius / np.maximum(level, 0.05)
    canvas.paint(level <= 1, Tissue.SKIN)
    canvas.paint(depth >= _SKIN_MM, Tissue.FAT)
    canvas.paint(depth >= fat_mm, Tissue.MUSCLE)
    inner = section_level(canvas, (_BODY_MM[0] - _WALL_MM[0], _BODY_MM[1] - _WALL_MM[1]))
    inside = inner <= 1
    outward_mm = (inner - 1) * radius / np.maximum(inner, 0.05)
    canvas.paint((np.abs(outward_mm - _PLANE_MM) < 1.1) & (depth > fat_mm), Tissue.FAT)
    canvas.paint(inside, Tissue.VISCERAL_FAT)
    _draw_ribs(canvas, outward_mm)
    return inside


def _draw_table(canvas: Canvas) -> None:
    below_mm = canvas.axes_ras[1][:, None] + 121 - 0.0011 * canvas.axes_ras[0][None, :] ** 2
    wide = np.abs(canvas.axes_ras[0])[None, :] < 178
    canvas.labels[:, wide & (below_mm < 0) & (below_mm > -14)] = Tissue.TABLE_SHELL
    canvas.labels[:, wide & (below_mm < -2) & (below_mm > -12)] = Tissue.TABLE_CORE


def _draw_ribs(canvas: Canvas, outward_mm: Field) -> None:
    near = np.abs(outward_mm - _RIB_LAYER_MM) < 2 * _RIB_SHAPE_MM[0]
    x, y, z = canvas.x[near], canvas.y[near], canvas.z[near]
    turned = np.abs(np.arctan2(x, -y))  # 0 at the back, pi in front
    head_z = z + _RIB_DROP_MM * turned  # height at which this rib leaves the spine
    step = np.round((head_z - VERTEBRAE["vertebrae_T12"]) / VERTEBRA_PITCH_MM)
    across = (outward_mm[near] - _RIB_LAYER_MM) / _RIB_SHAPE_MM[0]
    along = head_z - VERTEBRAE["vertebrae_T12"] - step * VERTEBRA_PITCH_MM
    level = across**2 + (along / _RIB_SHAPE_MM[1]) ** 2
    reach = np.select([step < 0, step < 1, step < 2], [0.0, 1.3, 1.9], 2.75)
    rib = (level <= 1) & (turned < reach) & (turned > 0.2)
    bony = rib & (turned < 2.35)
    values = canvas.labels[near]
    values[rib] = Tissue.CARTILAGE
    values[bony] = Tissue.BONE_CORTEX
    values[bony & (level < 0.4)] = Tissue.BONE_MARROW
    sternum = (np.abs(x) < 17) & (y > 0) & (z > 22)
    values[sternum] = Tissue.BONE_CORTEX
    values[sternum & (np.abs(across) < 1.2) & (np.abs(x) < 14)] = Tissue.BONE_MARROW
    canvas.labels[near] = values


def draw_spine(canvas: Canvas) -> dict[str, Mask]:
    """Paint back muscles and spine; return the mask of each vertebra whose body is in the field."""
    for side in (1, -1):
        canvas.paint(
            canvas.tube([(34 * side, -80, -200), (30 * side, -80, 200)], (20, 17)), Tissue.MUSCLE
        )
        psoas = [(44 * side, -40, -190), (32 * side, -44, -110), (26 * side, -48, -60)]
        canvas.paint(canvas.tube(psoas, (21, 16, 5)), Tissue.PSOAS)
    canvas.paint(
        canvas.ellipsoid((0, -46, 0), (20, 15, 400), exponent=2.6) & (np.abs(canvas.z) < 400),
        Tissue.DISC,
    )
    vertebrae = {name: _draw_vertebra(canvas, height) for name, height in VERTEBRAE.items()}
    canvas.paint(canvas.tube([(0, -71, -200), (0, -71, 200)], (8.5, 8.5)), Tissue.SPINAL_CANAL)
    canvas.paint(canvas.tube([(0, -71, -85), (0, -71, 200)], (3, 5)), Tissue.SPINAL_CORD)
    canal = canvas.labels == Tissue.SPINAL_CANAL
    canal |= canvas.labels == Tissue.SPINAL_CORD
    return {name: mask & ~canal for name, mask in vertebrae.items()}


def _draw_vertebra(canvas: Canvas, height: float) -> Mask:
    body = canvas.ellipsoid((0, -46, height), (23, 17, 12.5), exponent=4)
    parts = [
        canvas.ellipsoid((0, -71, height), (15, 15, 11), exponent=4),
        canvas.tube([(0, -82, height - 2), (0, -95, height - 10)], (5, 4)),
    ]
    parts += [
        canvas.tube([(s * 10, -68, height + 2), (s * 40, -76, height + 4)], (6, 4.5))
        for s in (1, -1)
    ]
    whole: Mask = np.logical_or.reduce([body, *parts])
    canvas.paint(whole, Tissue.BONE_CORTEX)
    canvas.paint(
        canvas.ellipsoid((0, -46, height), (20, 14, 10), exponent=4)
        | canvas.tube([(0, -83, height - 3), (0, -93, height - 9)], (2.5, 2)),
        Tissue.BONE_MARROW,
    )
    return whole
