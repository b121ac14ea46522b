"""A shaded picture of masks from the front, computed with numpy and scipy alone.

Each mask becomes a smooth field; rays run through it from the front, and the first crossing gives
depth and, by the field's gradient, the slope that is lit. Surfaces are a little transparent, so
that a lesion inside an organ shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.io.segment import RegionMask

_Floats = NDArray[np.float32]
_LIGHT = np.array([-0.45, 0.55, -0.70]) / np.linalg.norm([-0.45, 0.55, -0.70])
_HALFWAY = np.array([-0.24, 0.30, -0.92])
_CHUNK_ROWS = 32
_SURFACES_PER_PIXEL = 4


@dataclass(frozen=True, eq=False)
class SurfaceView:
    """A finished picture."""

    rgb: _Floats  # (rows, columns, 3), 0 to 1, rows from the lower to the upper edge
    extent_mm: tuple[float, float, float, float]  # Left, right, bottom, top in the view's frame
    ras_to_view: NDArray[np.float64]  # (3, 3) rotation: to the right, up, away from the viewer

    def project(self, points_ras: ArrayLike) -> NDArray[np.float64]:
        """Return the places (..., 2) of RAS mm points in the picture, in mm."""
        return (np.asarray(points_ras) @ self.ras_to_view.T)[..., :2]


def view_rotation(azimuth_deg: float, elevation_deg: float) -> NDArray[np.float64]:
    """Return the rotation (3, 3) from RAS to a view of the front: rows right, up and away.

    Azimuth 0 looks straight from the front; positive numbers move the viewer to the patient's left.
    Positive elevations move the viewer up.
    """
    azimuth, elevation = np.deg2rad([azimuth_deg, elevation_deg])
    right = np.array([-np.cos(azimuth), -np.sin(azimuth), 0.0])
    level = np.array([np.sin(azimuth), -np.cos(azimuth), 0.0])
    up = np.array([0.0, 0.0, np.cos(elevation)]) + np.sin(elevation) * level
    away = np.cos(elevation) * level - np.array([0.0, 0.0, np.sin(elevation)])
    return np.stack([right, up, away])


def render_surfaces(
    masks: Sequence[RegionMask],
    colours: Sequence[ArrayLike],
    geometry: Geometry,
    background: ArrayLike = (0.0, 0.0, 0.0),
    pixels: int = 440,
) -> SurfaceView:
    """Render masks from the front; empty ones are passed over, without any it is a blank of 100 mm.

    Colours are 0 to 1. The longer edge has `pixels`; fewer when they would be finer than the
    voxels.
    """
    rotation = view_rotation(18.0, 12.0)
    boxes = [_view_box(mask, geometry, rotation) for mask in masks]
    filled = [box for mask, box in zip(masks, boxes, strict=True) if mask.voxel_count]
    if not filled:
        blank = np.tile(np.asarray(background, np.float32), (2, 2, 1))
        return SurfaceView(blank, (-50.0, 50.0, -50.0, 50.0), rotation)
    low = np.min([box[0] for box in filled], axis=0)
    high = np.max([box[1] for box in filled], axis=0)
    margin = 0.06 * max(high[:2] - low[:2])
    low, high = low - margin, high + margin
    # Finer than a third of a voxel shows nothing more.
    step = max(max(high[:2] - low[:2]) / pixels, min(geometry.spacing_mm) / 3)
    columns, rows = (int(count) for count in np.ceil((high[:2] - low[:2]) / step))
    layers = []
    for mask, colour, box in zip(masks, colours, boxes, strict=True):
        if mask.voxel_count:
            field = _Field.of(mask, geometry, rotation, step)
            window = _Window.around(box, low, step, rows, columns)
            layers.append(_surface(field, window, np.asarray(colour, np.float32), (rows, columns)))
    left, bottom = float(low[0]), float(low[1])
    extent = (left, left + columns * float(step), bottom, bottom + rows * float(step))
    rgb = _composed(layers, np.asarray(background, np.float32), (rows, columns))
    return SurfaceView(rgb, extent, rotation)


@dataclass(frozen=True)
class _Window:
    """The rays that can meet one mask."""

    rows: slice
    columns: slice
    low: NDArray[np.float64]
    step: float
    depth_steps: int

    @classmethod
    def around(
        cls,
        box: NDArray[np.float64],
        low: NDArray[np.float64],
        step: float,
        rows: int,
        columns: int,
    ) -> _Window:
        first = np.maximum(np.floor((box[0, :2] - low[:2]) / step).astype(int) - 2, 0)
        last = np.ceil((box[1, :2] - low[:2]) / step).astype(int) + 2
        start = np.array([*(low[:2] + (first + 0.5) * step), box[0, 2] - 2 * step])
        steps = int(np.ceil((box[1, 2] - start[2]) / (2 * step))) + 1
        return cls(
            slice(first[1], min(last[1], rows)),
            slice(first[0], min(last[0], columns)),
            start,
            step,
            steps,
        )


@dataclass(frozen=True)
class _Field:
    """A smoothed mask and the affine map from the view's mm to its indices (K, J, I)."""

    values: _Floats
    matrix: NDArray[np.float64]
    offset: NDArray[np.float64]
    level: float

    @classmethod
    def of(
        cls, mask: RegionMask, geometry: Geometry, rotation: NDArray[np.float64], step: float
    ) -> _Field:
        spacing_kji = np.array(geometry.spacing_mm)[::-1]
        factors = np.maximum((step / spacing_kji).astype(int), 1)
        pad = 2 * factors
        missing = -np.array(mask.mask_kji.shape) % factors
        padded = np.pad(mask.mask_kji, [(p, p + m) for p, m in zip(pad, missing, strict=True)])
        shape = [part for n, f in zip(padded.shape, factors, strict=True) for part in (n // f, f)]
        blocks = padded.reshape(shape).mean(axis=(1, 3, 5), dtype=np.float32)
        values = ndimage.gaussian_filter(blocks, 0.8)
        # index KJI = (IJK reversed - start + pad + 0.5) / factor - 0.5
        reverse = np.eye(3)[::-1]
        to_ijk = geometry.ras_to_ijk[:3, :3] @ rotation.T
        start = np.array(mask.bbox.start_ijk)[::-1]
        matrix = reverse @ to_ijk / factors[:, None]
        origin = reverse @ geometry.ras_to_ijk[:3, 3] - start + pad
        return cls(
            values, matrix, (origin + 0.5) / factors - 0.5, min(0.5, 0.6 * float(values.max()))
        )

    def at(self, points: NDArray[np.float64]) -> _Floats:
        """Return the values at view points (3, N)."""
        places = self.matrix @ points + self.offset[:, None]
        return ndimage.map_coordinates(self.values, places, order=1)

    def rays(self, window: _Window, first_row: int, rows: int) -> _Floats:
        """Return the values along all rays of some rows: (rows, columns, depth)."""
        steps = np.diag([window.step, window.step, 2 * window.step])[:, [1, 0, 2]]
        start = window.low + np.array([0.0, first_row * window.step, 0.0])
        shape = (rows, window.columns.stop - window.columns.start, window.depth_steps)
        return ndimage.affine_transform(
            self.values,
            self.matrix @ steps,
            self.matrix @ start + self.offset,
            output_shape=shape,
            order=1,
        )


def _view_box(
    mask: RegionMask, geometry: Geometry, rotation: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return lowest and highest view coordinates (2, 3) of a mask's box."""
    edges = [mask.bbox.start_ijk, mask.bbox.stop_ijk]
    corners = np.stack(np.meshgrid(*np.transpose(edges)), axis=-1).reshape(-1, 3) - 0.5
    view = geometry.ras_from_ijk(corners) @ rotation.T
    return np.stack([view.min(axis=0), view.max(axis=0)])


def _surface(
    field: _Field, window: _Window, colour: _Floats, shape: tuple[int, int]
) -> tuple[_Floats, _Floats]:
    """Return depth (inf where no surface is) and lit colour with opacity of one mask."""
    depth = np.full(shape, np.inf, np.float32)
    rgba = np.zeros((*shape, 4), np.float32)
    count = window.rows.stop - window.rows.start
    for first in range(0, count, _CHUNK_ROWS):
        rays = field.rays(window, first, min(_CHUNK_ROWS, count - first))
        inside = rays >= field.level
        row, column = np.nonzero(inside.any(axis=-1))
        index = inside.argmax(axis=-1)[row, column]
        behind = rays[row, column, index]
        before = rays[row, column, np.maximum(index - 1, 0)]
        rise = np.maximum(behind - before, 1e-6)
        steps = index - np.clip((behind - field.level) / rise, 0, 1)
        points = np.stack([column, row + first, 2 * steps]) * window.step + window.low[:, None]
        place = (row + first + window.rows.start, column + window.columns.start)
        depth[place] = points[2]
        rgba[place] = _lit(_normals(field, points, window.step), colour)
    return depth, rgba


def _normals(field: _Field, points: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """Return outward unit normals (3, N) at points of a surface."""
    offsets = 1.5 * step * np.eye(3)
    slopes = [
        field.at(points - move[:, None]) - field.at(points + move[:, None]) for move in offsets
    ]
    normals = np.stack(slopes).astype(np.float64)
    normals /= np.maximum(np.linalg.norm(normals, axis=0), 1e-9)
    return normals


def _lit(normals: NDArray[np.float64], colour: _Floats) -> _Floats:
    """Return colour and opacity (N, 4) of lit surface points."""
    diffuse = np.clip(_LIGHT @ normals, 0, 1)
    shine = np.clip(_HALFWAY @ normals, 0, 1) ** 24
    lit = colour[None] * (0.30 + 0.75 * diffuse)[:, None] + 0.18 * shine[:, None]
    facing = np.clip(-normals[2], 0, 1)
    opacity = 0.99 - 0.12 * facing**2
    return np.concatenate([np.clip(lit, 0, 1), opacity[:, None]], axis=1).astype(np.float32)


def _composed(
    layers: Sequence[tuple[_Floats, _Floats]], background: _Floats, shape: tuple[int, int]
) -> _Floats:
    """Return the layers over the background; the nearest surfaces of each pixel count."""
    depths = np.stack([depth for depth, _ in layers])
    rgb = np.zeros((*shape, 3), np.float32)
    seen_through = np.ones((*shape, 1), np.float32)
    for _ in range(min(len(layers), _SURFACES_PER_PIXEL)):
        nearest = np.where(np.isfinite(depths.min(axis=0)), depths.argmin(axis=0), -1)
        for number, (_, rgba) in enumerate(layers):
            here = nearest == number
            opacity = rgba[here][:, 3:]
            rgb[here] += seen_through[here] * opacity * rgba[here][:, :3]
            seen_through[here] *= 1 - opacity
            depths[number][here] = np.inf
    return rgb + seen_through * background
