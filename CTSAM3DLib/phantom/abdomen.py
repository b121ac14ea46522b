"""Liver, gall bladder, spleen, stomach, pancreas, kidneys, bowel, vessels below the heart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.phantom.canvas import Canvas, Mask
from CTSAM3DLib.phantom.tissue import Tissue

_BOWEL_LOOPS = 46


def draw_abdomen(
    canvas: Canvas, inside: Mask, dome_z: NDArray[np.float32], rng: np.random.Generator
) -> None:
    """Paint everything below the diaphragm into the space inside the wall."""
    room = inside & (canvas.z < dome_z - 4)
    canvas.paint(inside & ~room & (canvas.z < dome_z) & (canvas.y > -60), Tissue.MUSCLE)
    _draw_small_bowel(canvas, room, rng)
    _draw_colon(canvas, room)
    _draw_stomach(canvas, room, dome_z)
    pancreas = [(34, 20, -78), (14, 24, -64), (-26, 10, -56), (-76, -18, -44)]
    canvas.paint(canvas.tube(pancreas, (14, 10, 9, 8)) & room, Tissue.PANCREAS)
    canvas.paint(
        canvas.ellipsoid((-96, -36, -18), (33, 52, 50), exponent=2.3, turn_deg=18) & room,
        Tissue.SPLEEN,
    )
    _draw_kidney(canvas, (61, -42, -84), 1)
    _draw_kidney(canvas, (-60, -42, -72), -1)
    _draw_liver(canvas, room, rng)
    canvas.paint(canvas.tube([(-6, -14, -60), (-96, -22, -26)], (4.5, 4)) & room, Tissue.VEIN)
    canvas.paint(canvas.tube([(8, -14, -86), (16, 4, -62), (34, 10, -36)], (6, 7, 6)), Tissue.VEIN)
    cava = [(20, -20, -200), (22, -20, -90), (26, -16, -30), (22, 4, 22)]
    canvas.paint(canvas.tube(cava, (10.5, 11, 12, 11)), Tissue.VEIN)
    lower = [(-18, -25, 20), (-10, -21, -40), (-4, -19, -200)]
    canvas.paint(canvas.tube(lower, (11.5, 10.5, 9)), Tissue.AORTA)
    for side in (1, -1):
        artery = [(-5, -19, -76), (44 * side, -38, -80)]
        canvas.paint(canvas.tube(artery, (3.5, 3)), Tissue.VEIN)
    canvas.paint(canvas.tube([(-7, -16, -52), (-4, 2, -70)], (4, 3.5)), Tissue.VEIN)


def _draw_liver(canvas: Canvas, room: Mask, rng: np.random.Generator) -> None:
    liver = canvas.ellipsoid((66, -4, -24), (66, 74, 58), exponent=2.4, turn_deg=8)
    liver |= canvas.ellipsoid((82, -6, -72), (42, 56, 40))
    liver |= canvas.ellipsoid((4, 40, -10), (70, 34, 28), exponent=2.2, turn_deg=6)
    liver &= room & (canvas.labels != Tissue.KIDNEY_RIGHT_CORTEX)
    liver &= ~canvas.ellipsoid((61, -42, -84), (33, 36, 58))
    canvas.paint(liver, Tissue.LIVER)
    hilum, confluence = (34.0, 10.0, -36.0), (28.0, -8.0, 4.0)
    for root, count in ((hilum, 16), (confluence, 12)):
        ends = np.column_stack(
            [rng.uniform(10, 115, count), rng.uniform(-55, 50, count), rng.uniform(-60, 5, count)]
        )
        for end in ends:
            bend = 0.5 * (np.asarray(root) + end) + rng.normal(0, 6, 3)
            vessel = canvas.tube([root, bend, end], (6, 4.5, 2))
            canvas.paint(vessel & (canvas.labels == Tissue.LIVER), Tissue.LIVER_VESSEL)
    bladder = canvas.tube([(42, 30, -58), (50, 50, -78)], (9, 15)) & room
    canvas.paint(bladder, Tissue.GALLBLADDER)


def _draw_stomach(canvas: Canvas, room: Mask, dome_z: NDArray[np.float32]) -> None:
    places = (
        ((-60, 2, -14), (42, 40, 34)),
        ((-58, 26, -40), (36, 34, 34)),
        ((-22, 48, -66), (40, 20, 20)),
    )
    whole = np.zeros(canvas.shape_kji, dtype=bool)
    content = whole.copy()
    for center, radii in places:
        whole |= canvas.ellipsoid(center, radii, exponent=2.2)
        content |= canvas.ellipsoid(center, [radius - 5 for radius in radii], exponent=2.2)
    whole &= room
    content &= whole & (canvas.z < dome_z - 9)
    canvas.paint(whole, Tissue.STOMACH_WALL)
    canvas.paint(content, Tissue.STOMACH_CONTENT)
    level = canvas.axes_ras[1][None, :, None] > 44  # gas rises to the front, the surface is flat
    canvas.paint(content & level, Tissue.STOMACH_GAS)


def _draw_kidney(canvas: Canvas, center: tuple[float, float, float], side: int) -> None:
    cortex, medulla = (
        (Tissue.KIDNEY_RIGHT_CORTEX, Tissue.KIDNEY_RIGHT_MEDULLA)
        if side > 0
        else (Tissue.KIDNEY_LEFT_CORTEX, Tissue.KIDNEY_LEFT_MEDULLA)
    )
    turn = 35 * side
    canvas.paint(canvas.ellipsoid(center, (28, 30, 52), exponent=2.2, turn_deg=turn), cortex)
    canvas.paint(canvas.ellipsoid(center, (19, 21, 42), exponent=2.2, turn_deg=turn), medulla)
    hilum = (center[0] - 15 * side, center[1] + 9, center[2])
    canvas.paint(canvas.ellipsoid(hilum, (17, 10, 26), turn_deg=turn), Tissue.RENAL_SINUS)


def _draw_colon(canvas: Canvas, room: Mask) -> None:
    path = [
        (96, 10, -200), (94, 22, -122), (62, 54, -112), (0, 62, -118), (-62, 52, -100),
        (-98, 22, -78), (-104, 6, -100), (-102, 2, -200),
    ]  # fmt: skip
    width = [21, 20, 17, 17, 16, 16, 15, 15]
    canvas.paint(canvas.tube(path, width) & room, Tissue.BOWEL_WALL)
    content = canvas.tube(path, [radius - 3.5 for radius in width]) & room
    canvas.paint(content, Tissue.BOWEL_CONTENT)
    upper = content & (np.sin(canvas.x / 9) + np.sin(canvas.z / 11) + canvas.y / 22 > 2.4)
    canvas.paint(upper, Tissue.BOWEL_GAS)


def _draw_small_bowel(canvas: Canvas, room: Mask, rng: np.random.Generator) -> None:
    place = np.array([0.0, 25.0, -115.0])
    for _ in range(_BOWEL_LOOPS):
        step = rng.normal(0, 1, 3)
        target = place + 34 * step / np.linalg.norm(step)
        target = np.clip(target, (-78, -2, -185), (72, 62, -100))
        loop = canvas.tube([place, target], (11, 11)) & room
        canvas.paint(loop, Tissue.BOWEL_WALL)
        canvas.paint(canvas.tube([place, target], (7.5, 7.5)) & room, Tissue.BOWEL_CONTENT)
        place = target
