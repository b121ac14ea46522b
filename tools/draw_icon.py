"""Draw the icon of the extension: an axial CT slice, one organ and the click that selects it."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import numpy as np
from matplotlib.image import imsave

SIZE = 128
OVERSAMPLING = 8
CLICK_XY = (-0.27, 0.10)
RING = (0.20, 0.62, 0.86)
BODY = (0.23, 0.27, 0.33)
BONE = (0.90, 0.91, 0.88)
LUNG = (0.10, 0.12, 0.16)
SOFT = (0.42, 0.46, 0.52)
ORGAN = (0.99, 0.55, 0.25)
OUTLINE = (1.00, 0.86, 0.45)
CLICK = (0.55, 1.00, 0.45)


def _ellipse(
    x: np.ndarray,
    y: np.ndarray,
    centre: tuple[float, float],
    radii: tuple[float, float],
    turn_deg: float = 0.0,
) -> np.ndarray:
    turn = np.deg2rad(turn_deg)
    u = (x - centre[0]) * np.cos(turn) + (y - centre[1]) * np.sin(turn)
    v = (y - centre[1]) * np.cos(turn) - (x - centre[0]) * np.sin(turn)
    return (u / radii[0]) ** 2 + (v / radii[1]) ** 2


def draw(size: int = SIZE) -> np.ndarray:
    """Return the icon as (size, size, 4) float RGBA in [0, 1]; row 0 is the top (anterior)."""
    fine = size * OVERSAMPLING
    axis = (np.arange(fine) + 0.5) / fine * 2 - 1
    x, y = np.meshgrid(axis, axis)
    image = np.zeros((fine, fine, 4))

    def paint(where: np.ndarray, colour: tuple[float, float, float]) -> None:
        image[where] = (*colour, 1.0)

    radius = np.hypot(x, y)
    paint(radius < 0.97, RING)
    paint(radius < 0.83, (0.05, 0.06, 0.09))
    # The patient: body, lungs' bases, spine, spleen side, and the liver as the selected organ.
    paint(_ellipse(x, y, (0, 0.02), (0.74, 0.56)) < 1, BODY)
    paint(_ellipse(x, y, (0, 0.02), (0.67, 0.49)) < 1, SOFT)
    paint(_ellipse(x, y, (0.34, 0.20), (0.20, 0.23), 20) < 1, LUNG)
    paint(_ellipse(x, y, (0.36, -0.17), (0.18, 0.15), -20) < 1, BODY)
    paint(_ellipse(x, y, (0.02, 0.36), (0.15, 0.12)) < 1, BONE)
    paint(_ellipse(x, y, (0.02, 0.36), (0.06, 0.045)) < 1, SOFT)
    paint(_ellipse(x, y, (0.08, 0.15), (0.075, 0.075)) < 1, BONE)
    liver = np.minimum(
        _ellipse(x, y, (-0.27, 0.04), (0.36, 0.36)), _ellipse(x, y, (-0.04, -0.16), (0.30, 0.19))
    )
    liver = np.maximum(liver, _ellipse(x, y, (0, 0.02), (0.64, 0.46)))
    paint(liver < 1.0, OUTLINE)
    paint(liver < 0.82, ORGAN)
    # The click: a cross with a dark rim, so that it is seen at 16 pixels too.
    dx, dy = np.abs(x - CLICK_XY[0]), np.abs(y - CLICK_XY[1])
    for half_width, length, colour in ((0.085, 0.235, (0.05, 0.10, 0.05)), (0.048, 0.20, CLICK)):
        bar = (np.minimum(dx, dy) < half_width) & (np.maximum(dx, dy) < length)
        paint(bar, colour)
    blocks = image.reshape(size, OVERSAMPLING, size, OVERSAMPLING, 4)
    alpha = blocks[..., 3:].mean(axis=(1, 3))
    colour = (blocks[..., :3] * blocks[..., 3:]).mean(axis=(1, 3)) / np.maximum(alpha, 1e-6)
    return np.concatenate([colour, alpha], axis=-1).clip(0, 1)


if __name__ == "__main__":
    folder = Path(__file__).resolve().parent.parent / "CTSAM3D" / "Resources" / "Icons"
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else folder / "CTSAM3D.png"
    imsave(target, draw(), metadata={"Software": None})
    print(f"Wrote {target}")
