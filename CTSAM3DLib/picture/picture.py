"""One picture that shows whether a segmentation worked: planes, a view from the front, volumes."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.io.content_mark import BLANK, KEY, fill_mark
from CTSAM3DLib.io.safe_write import written_atomically
from CTSAM3DLib.io.segment import Segment
from CTSAM3DLib.picture.names import draw_as_written, elided
from CTSAM3DLib.picture.parts import (
    BACKGROUND,
    EDGE,
    TEXT,
    bare,
    body_box,
    directions,
    draw_clicks,
    is_roomy,
    legend,
    legend_rows,
    marked_prompts,
    picture_colours,
    rulers,
    scale_bar,
    shown_box,
    tile_grid,
    tile_window_hu,
    zoom,
)
from CTSAM3DLib.picture.planes import PLANES, AnatomicalGrid, Plane
from CTSAM3DLib.picture.surface import render_surfaces
from CTSAM3DLib.prompts import Prompt

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WINDOW_HU = (-160.0, 240.0)
_TILE_LIMIT = 12
_MARGIN_MM = 8.0
_TITLE_WIDTH = 110  # in letters, as are all widths of names
_TILE_NAMES_WIDTH = 160  # of all names in a row of tiles
_NO_GLYPH = "Glyph|Matplotlib currently does not support"  # of a font that lacks a script


def write_picture(
    path: str | Path, volume: Volume, segments: Sequence[Segment], title: str = ""
) -> None:
    """Write a PNG with three planes, a view from the front, and a tile for each structure.

    The planes show the body in the slices that cut most structures; outlines and clicks have one
    mark for positive (round) and one for negative clicks (cross). Each tile shows one structure in
    the axial slice of its first positive click; one that consists of air in a window for lungs.
    Slices tell their place, and planes the millimetres along their edges, RAS, unless the volume is
    oblique. Up to 12 structures get a tile, the largest first. Above the picture stands the title,
    by default the name of the volume. Long names are shortened in their middle; letters that no
    installed font has become boxes. A file at `path` is replaced whole. Needs matplotlib. Raises
    SegmentationFileError: a mask outside the volume; OSError: the file cannot be written.
    """
    with warnings.catch_warnings(), written_atomically(path) as temporary:
        warnings.filterwarnings("ignore", _NO_GLYPH, UserWarning)
        figure = draw_picture(volume, segments, title)
        figure.savefig(temporary, format="png", facecolor=BACKGROUND, metadata={KEY: BLANK})
        fill_mark(temporary)


def draw_picture(volume: Volume, segments: Sequence[Segment], title: str = "") -> Figure:
    """Return the picture that `write_picture` writes; see there."""
    for segment in segments:
        segment.mask.check_inside(volume.geometry.shape_kji)
    return _Picture(volume, segments).drawn(title or volume.name)


class _Picture:
    def __init__(self, volume: Volume, segments: Sequence[Segment]) -> None:
        self._volume = volume
        self._segments = segments
        self._grid = AnatomicalGrid(volume.geometry)
        self._colours = picture_colours([segment.rgb for segment in segments])
        drawn: list[NDArray[Any]] = [self._indices(segment.clicks) for segment in segments]
        drawn += [self._grid.box(one.mask.bbox) for one in segments if one.mask.voxel_count]
        self._shown = shown_box(
            body_box(self._grid.view(volume.array_kji)),
            drawn,
            self._grid.size,
            [_MARGIN_MM / step for step in self._grid.spacing_mm],
        )

    def drawn(self, title: str) -> Figure:
        """Return the finished figure."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        tiles = self._tiles()
        width, heights = 13.0, self._heights(13.0, len(tiles))
        figure = Figure(figsize=(width, sum(heights) + 0.5), dpi=110)
        FigureCanvasAgg(figure)
        total = sum(heights) + 0.5
        shown = elided(title, _TITLE_WIDTH)
        figure.text(0.012, 1 - 0.22 / total, shown, color=TEXT, fontsize=14, va="center")
        top = 1 - 0.45 / total
        body = figure.add_gridspec(
            sum(height > 0 for height in heights),
            1,
            left=0.012,
            right=0.988,
            top=top,
            bottom=0.02,
            height_ratios=[height for height in heights if height],
            hspace=0.05,
        )
        self._draw_overview(figure, body[0])
        if tiles:
            rows, columns = tile_grid(len(tiles))
            grid = body[1].subgridspec(rows, columns, wspace=0.03, hspace=0.14)
            for place, number in enumerate(tiles):
                axes = figure.add_subplot(grid[place // columns, place % columns])
                self._draw_tile(axes, number, _TILE_NAMES_WIDTH // columns)
        voxel_mm3 = float(np.prod(self._volume.geometry.spacing_mm))
        axes = figure.add_subplot(body[-1])
        legend(axes, self._segments, self._colours, voxel_mm3, len(tiles))
        draw_as_written(figure)
        return figure

    @property
    def _size_mm(self) -> tuple[float, float, float]:
        """What is shown along R, A, S."""
        wide, deep, high = (self._shown[1] - self._shown[0]) * self._grid.spacing_mm
        return float(wide), float(deep), float(high)

    def _is_tall(self) -> bool:
        """Whether the volume is so high that all views stand side by side."""
        wide, deep, high = self._size_mm
        return bool(high > 1.3 * max(wide, deep))

    def _tall_widths(self) -> list[float]:
        """Return the widths of all views side by side; names stand beside narrow ones."""
        wide, deep, high = self._size_mm
        return [*(max(width, 0.2 * high) for width in (wide, wide, deep)), 0.8 * high]

    def _heights(self, width: float, tiles: int) -> list[float]:
        """Return the heights in inches of overview, tiles and legend."""
        wide, deep, high = self._size_mm
        if self._is_tall():
            overview = width * high / sum(self._tall_widths())
        else:
            overview = width * (deep + high) / (2 * max(wide, deep))
        rows, columns = tile_grid(tiles)
        names = 0.2 + 0.24 * legend_rows(self._segments, tiles)
        return [float(np.clip(overview, 4.5, 11.0)), rows * (0.3 + width / columns), names]

    def _draw_overview(self, figure: Figure, place: Any) -> None:
        wide, deep, high = self._size_mm
        if self._is_tall():
            grid = place.subgridspec(1, 4, width_ratios=self._tall_widths(), wspace=0.03)
            cells = [grid[0, 0], grid[0, 1], grid[0, 2], grid[0, 3]]
        else:
            ratios = [max(deep, 0.6 * wide), max(high, 0.3 * wide)]
            grid = place.subgridspec(2, 2, height_ratios=ratios, wspace=0.03, hspace=0.04)
            cells = [grid[0, 0], grid[1, 0], grid[1, 1], grid[0, 1]]
        for plane, cell in zip(PLANES, cells[:3], strict=True):
            axes = figure.add_subplot(cell)
            index = self._best_slice(plane)
            self._draw_plane(axes, plane, index, range(len(self._segments)))
            told = self._grid.is_straight and is_roomy(axes)
            name = plane.name + (self._place(plane, index) if told else "")
            directions(axes, name, plane.letters)
            if told:
                zero = -self._grid.first_ras / self._grid.spacing_mm  # where R, A, S are 0
                rulers(axes, tuple(self._grid.positions_mm(plane, zero)))
        self._draw_surfaces(figure.add_subplot(cells[3]))

    def _place(self, plane: Plane, index: int) -> str:
        """Return where a slice is, RAS mm; nothing where it runs through several places."""
        if not self._grid.is_straight:
            return ""
        axis = plane.normal
        place = self._grid.first_ras[axis] + index * self._grid.spacing_mm[axis]
        return f" {'RAS'[axis]} {round(place)} mm"

    def _best_slice(self, plane: Plane) -> int:
        """Return the slice that cuts most structures, each weighed by its own largest slice."""
        scores = np.zeros(self._grid.size[plane.normal])
        for segment in self._segments:
            if segment.mask.voxel_count:
                other = tuple(axis for axis in range(3) if axis != plane.normal)
                areas = self._grid.view(segment.mask.mask_kji).sum(axis=other)
                first = self._grid.box(segment.mask.bbox)[0, plane.normal]
                scores[first : first + len(areas)] += areas / areas.max()
            for index in {int(i) for i in np.round(self._indices(segment.clicks)[:, plane.normal])}:
                scores[index] += 0.2
        middle = np.abs(np.arange(len(scores)) - (len(scores) - 1) / 2) * 1e-6
        return int(np.argmax(scores - middle))

    def _draw_plane(
        self,
        axes: Axes,
        plane: Plane,
        index: int,
        numbers: Sequence[int],
        line_width: float = 1.5,
        window_hu: tuple[float, float] = _WINDOW_HU,
    ) -> None:
        """Draw a slice with the outlines and the near clicks of some structures."""
        black, white = window_hu
        axes.imshow(
            self._grid.cut(self._volume.array_kji, plane, index),
            cmap="gray",
            vmin=black,
            vmax=white,
            extent=self._grid.extent_mm(plane),
            origin="lower",
            interpolation="bilinear",
        )
        for number in numbers:
            self._outline(axes, plane, index, number, line_width)
        reach = max(4.0, self._grid.spacing_mm[plane.normal]) / self._grid.spacing_mm[plane.normal]
        for number in numbers:
            marked = marked_prompts(self._segments[number])
            indices = self._indices(marked)
            near = np.abs(indices[:, plane.normal] - index) <= reach
            places = self._grid.positions_mm(plane, indices)
            draw_clicks(axes, [marked[int(n)] for n in np.flatnonzero(near)], places[near])
        edges = self._grid.positions_mm(plane, self._shown)
        axes.set_xlim(*sorted(edges[:, 0]))
        axes.set_ylim(*sorted(edges[:, 1]))
        bare(axes)

    def _outline(
        self, axes: Axes, plane: Plane, index: int, number: int, line_width: float
    ) -> None:
        """Draw where the surface of a structure cuts a slice."""
        mask = self._segments[number].mask
        if mask.voxel_count == 0:
            return
        low, high = self._grid.box(mask.bbox)
        if not low[plane.normal] <= index <= high[plane.normal]:
            return
        part = self._grid.view(mask.mask_kji).transpose(plane.normal, plane.up, plane.across)
        inside = np.pad(part[index - low[plane.normal]], 1).astype(np.float32)
        rows, columns = (
            np.arange(low[axis] - 1, high[axis] + 2) for axis in (plane.up, plane.across)
        )
        across = -columns * self._grid.spacing_mm[plane.across]
        upward = rows * self._grid.spacing_mm[plane.up]
        colour = self._colours[number]
        if inside.any():
            axes.contourf(across, upward, inside, [0.5, 2], colors=[colour], alpha=0.16)
            axes.contour(across, upward, inside, [0.5], colors=[EDGE], linewidths=line_width + 1.2)
            axes.contour(across, upward, inside, [0.5], colors=[colour], linewidths=line_width)

    def _draw_surfaces(self, axes: Axes) -> None:
        from matplotlib.colors import to_rgb

        view = render_surfaces(
            [segment.mask for segment in self._segments],
            self._colours,
            self._volume.geometry,
            to_rgb(BACKGROUND),
        )
        axes.imshow(
            np.clip(view.rgb, 0, 1), extent=view.extent_mm, origin="lower", interpolation="bilinear"
        )
        for segment in self._segments:
            marked = marked_prompts(segment)
            if marked:
                points = [prompt.anchor_ras for prompt in marked]
                draw_clicks(axes, marked, view.project(points), scale=0.6)
        left, right, bottom, top = view.extent_mm
        axes.set_xlim(left, right)
        axes.set_ylim(bottom, top)
        scale_bar(axes)
        bare(axes)
        directions(axes, "3D", "RLSI")

    def _tiles(self) -> list[int]:
        """Return the structures that get a tile: none for a single one."""
        if len(self._segments) < 2:
            return []
        order = sorted(
            range(len(self._segments)), key=lambda n: -self._segments[n].mask.voxel_count
        )
        return sorted(order[:_TILE_LIMIT])

    def _draw_tile(self, axes: Axes, number: int, name_width: int) -> None:
        """Draw one structure near its first positive click, in an axial slice."""
        segment = self._segments[number]
        plane = PLANES[0]
        indices = self._indices(segment.clicks)
        first = [n for n, click in enumerate(segment.clicks) if click.positive]
        index = self._best_slice(plane)
        if first:
            index = int(np.round(indices[first[0], plane.normal]))
        inside = self._volume.array_kji[segment.mask.bbox.slices_kji][segment.mask.mask_kji]
        window_hu = tile_window_hu(inside, _WINDOW_HU)
        self._draw_plane(axes, plane, index, [number], line_width=1.3, window_hu=window_hu)
        spans = [self._grid.positions_mm(plane, indices)]
        if segment.mask.voxel_count:
            box = self._grid.box(segment.mask.bbox).astype(np.float64)
            spans.append(self._grid.positions_mm(plane, box))
        points = np.concatenate(spans)
        if len(points):
            zoom(axes, points)
        place = self._place(plane, index)
        name = elided(segment.name, name_width - len(place)) + place
        axes.set_title(name, color=self._colours[number], fontsize=9, pad=3)

    def _indices(self, prompts: Iterable[Prompt]) -> NDArray[np.float64]:
        """Return the anchors of prompts as indices (N, 3) along R, A, S."""
        points = np.array([prompt.anchor_ras for prompt in prompts]).reshape(-1, 3)
        return self._grid.indices(self._volume.geometry.ijk_from_ras(points))
