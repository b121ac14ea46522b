"""What a picture shows and in which window; its colours, marks and small drawing steps."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CTSAM3DLib.io.segment import Segment
from CTSAM3DLib.picture.names import elided, width_of
from CTSAM3DLib.prompts import Prompt

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BACKGROUND = "#101418"
TEXT = "#E8ECEF"
FAINT = "#9AA5AD"
EDGE = "#06080A"

LUNG_WINDOW_HU = (-1350.0, 150.0)
_LUNG_BELOW_HU = -500.0
_BODY_ABOVE_HU = -300.0
_LEAST_PART = 0.05  # of the largest part: arms count, a cable does not
_SAMPLES_PER_AXIS = 96

_LEAST_GAP = 0.3
_OUTLINE_POINTS = 3.5  # wide enough to read white letters over bone
_THIN_INCHES = 0.6
_NARROW_INCHES = 1.15  # name and letter side by side are half as wide
_ROOMY_INCHES = (2.4, 1.2)  # wide and high
_LEAST_RULER_INCHES = 0.6  # between two numbers
_LETTER_INCHES, _CORNER_INCHES = 0.25, 0.3  # where no number stands
_LEGEND_COLUMNS = 4
_SHORT_NAME = 18  # in letters; longer names need a column more
_LONGEST_NAME = 30
_HUE_TURNS = tuple(0.04 * sign * step for step in range(13) for sign in (1, -1))

# Blue and orange stay apart for every common kind of colour blindness; the shapes differ as well.
MARKERS: dict[bool, dict[str, Any]] = {
    True: {"marker": "o", "markerfacecolor": "#56B4E9", "markersize": 7.0, "markeredgewidth": 1.3},
    False: {"marker": "X", "markerfacecolor": "#FF9F1C", "markersize": 8.5, "markeredgewidth": 1.0},
}


def body_box(array_ras: NDArray[Any]) -> NDArray[np.int64]:
    """Return first and last voxel (2, 3) of the body in (R, A, S) HU, without air round it.

    The whole volume where there is no body. Seen in steps: may be up to a step too small or large.
    """
    size = np.array(array_ras.shape)
    steps = np.maximum(1, size // _SAMPLES_PER_AXIS)
    inside = array_ras[tuple(slice(None, None, int(step)) for step in steps)] > _BODY_ABOVE_HU
    parts, count = ndimage.label(inside)
    if count == 0:
        return np.stack([np.zeros(3, np.int64), size - 1])
    voxels = np.bincount(parts.ravel())[1:]
    boxes = ndimage.find_objects(parts)
    large = [boxes[n] for n in np.flatnonzero(voxels >= _LEAST_PART * voxels.max())]
    first = np.min([[axis.start for axis in box] for box in large], axis=0) * steps
    last = np.max([[axis.stop for axis in box] for box in large], axis=0) * steps - 1
    return np.stack([first, np.minimum(last, size - 1)]).astype(np.int64)


def shown_box(
    body: NDArray[np.int64],
    things: Sequence[NDArray[Any]],
    size: Sequence[int],
    margin: Sequence[float],
) -> NDArray[np.float64]:
    """Return edges (2, 3), in voxel indices, round the body and everything that is drawn.

    `body` is its first and last voxel, `things` are indices (N, 3) of what must be seen, `margin`
    are voxels to add at each side; the edges stay in the volume of that size.

    Examples
    --------
    >>> shown_box(np.array([[5, 6, 0], [14, 24, 3]]), [], (20, 30, 4), (2, 2, 2)).tolist()
    [[2.5, 3.5, -0.5], [16.5, 26.5, 3.5]]
    """
    points = np.concatenate([body, *things])
    low, high = points.min(axis=0) - 0.5 - margin, points.max(axis=0) + 0.5 + margin
    return np.stack([np.maximum(low, -0.5), np.minimum(high, np.array(size) - 0.5)])


def tile_window_hu(values_hu: NDArray[Any], usual: tuple[float, float]) -> tuple[float, float]:
    """Return the window, HU, for a structure of some voxels: for lungs where it consists of air.

    Examples
    --------
    >>> tile_window_hu(np.array([-900, -800, 30]), (-160, 240))
    (-1350.0, 150.0)
    >>> tile_window_hu(np.array([-900, 20, 30]), (-160, 240))
    (-160, 240)
    """
    is_lung = len(values_hu) > 0 and float(np.median(values_hu)) < _LUNG_BELOW_HU
    return LUNG_WINDOW_HU if is_lung else usual


def tile_grid(tiles: int) -> tuple[int, int]:
    """Return rows and columns for a number of tiles.

    Examples
    --------
    >>> tile_grid(11)
    (2, 6)
    """
    rows = math.ceil(tiles / 8)
    return rows, max(math.ceil(tiles / max(rows, 1)), 5)


def picture_colours(rgbs: Sequence[tuple[int, int, int]]) -> list[tuple[float, float, float]]:
    """Return colours that show on a dark background and differ from each other.

    Dark colours are raised. A colour that is too near to an earlier one, as those of heart, liver
    and aorta or of left and right kidney in Slicer, is turned round the colour circle.
    """
    found: list[tuple[float, float, float]] = []
    for rgb in rgbs:
        hue, lightness, saturation = colorsys.rgb_to_hls(*(value / 255 for value in rgb))
        lightness, saturation = min(max(lightness, 0.45), 0.85), max(saturation, 0.35)
        tries = [
            colorsys.hls_to_rgb((hue + turn) % 1.0, lightness, saturation) for turn in _HUE_TURNS
        ]
        gaps = [min((math.dist(one, other) for other in found), default=9.0) for one in tries]
        wide = [number for number, gap in enumerate(gaps) if gap > _LEAST_GAP]
        found.append(tries[wide[0] if wide else int(np.argmax(gaps))])
    return found


def draw_clicks(
    axes: Axes, clicks: Sequence[Prompt], places: NDArray[np.float64], scale: float = 1.0
) -> None:
    """Draw clicks at places (N, 2) in mm: a round mark inside, a cross outside."""
    for click, (x, y) in zip(clicks, places, strict=True):
        style = {**MARKERS[click.positive]}
        style["markersize"] *= scale
        axes.plot([x], [y], linestyle="", markeredgecolor=EDGE, zorder=5, **style)


def bare(axes: Axes) -> None:
    """Take away ticks and frame, and keep millimetres square."""
    axes.set_aspect("equal")
    axes.set_facecolor(BACKGROUND)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def label(
    axes: Axes,
    place: tuple[float, float],
    text: str,
    alignment: tuple[str, str],
    colour: str = TEXT,
    size: float = 11,
) -> None:
    """Write text at a place given as fractions of the picture."""
    from matplotlib.patheffects import withStroke

    axes.text(
        *place,
        text,
        transform=axes.transAxes,
        color=colour,
        fontsize=size,
        horizontalalignment=alignment[0],
        verticalalignment=alignment[1],
        path_effects=[withStroke(linewidth=_OUTLINE_POINTS, foreground=EDGE)],
    )


def directions(axes: Axes, name: str, letters: str) -> None:
    """Write the name of a view and the anatomical directions at its left, right, top and bottom.

    In a view of few slices they stand round it: above and below a thin one, beside a narrow one.
    """
    width, height = _size_inches(axes)
    narrow, thin = width < _NARROW_INCHES, height < _THIN_INCHES
    inside = ("top", "bottom")
    above, below = inside[::-1] if thin else inside
    top, bottom = (1.02, -0.02) if thin else (0.985, 0.015)
    left, right, upper, lower = tuple(letters)
    sides = ("right", "left") if narrow else ("left", "right")
    first = -0.08 / width if narrow else 0.012
    start = first if narrow else (0.06 if thin else 0.015)
    label(axes, (start, top), name, (sides[0], above), FAINT, 9)
    label(axes, (first, 0.5), left, (sides[0], "center"))
    label(axes, (1 - first, 0.5), right, (sides[1], "center"))
    label(axes, (0.5, top), upper, ("center", above))
    label(axes, (0.5, bottom), lower, ("center", below))


def is_roomy(axes: Axes) -> bool:
    """Return whether a view has room for places in mm: one of few slices has not."""
    width, height = _size_inches(axes)
    return width > _ROOMY_INCHES[0] and height > _ROOMY_INCHES[1]


def rulers(axes: Axes, zero: tuple[float, float]) -> None:
    """Write millimetres along the left and lower edge; `zero` is where 0 mm is in the picture.

    Across, the numbers fall from left to right, as R does. Where letters stand there is none.
    """
    from matplotlib.patheffects import withStroke

    width, height = _size_inches(axes)
    sides = (
        (axes.xaxis, axes.get_xlim(), width, zero[0], -1),
        (axes.yaxis, axes.get_ylim(), height, zero[1], 1),
    )
    for side, (low, high), inches, start, sign in sides:
        least = _LEAST_RULER_INCHES * (high - low) / inches
        step = min((mm for mm in (10, 20, 50, 100, 200) if mm >= least), default=500)
        first, last = sorted((sign * (low - start), sign * (high - start)))
        values = np.arange(math.ceil(first / step), math.floor(last / step) + 1) * step
        places = start + sign * values
        from_middle = np.abs((places - low) / (high - low) - 0.5) * inches
        free = (from_middle > _LETTER_INCHES) & (from_middle < inches / 2 - _CORNER_INCHES)
        side.set_ticks(places[free], [str(value) for value in values[free]])
        for text in side.get_ticklabels():
            text.set_path_effects([withStroke(linewidth=_OUTLINE_POINTS, foreground=EDGE)])
    style: dict[str, Any] = {"direction": "in", "length": 4, "color": FAINT, "labelsize": 7}
    axes.tick_params("x", pad=-13, labelcolor=FAINT, **style)
    axes.tick_params("y", pad=-6, labelcolor=FAINT, **style)
    for text in axes.get_yticklabels():
        text.set_horizontalalignment("left")


def _size_inches(axes: Axes) -> tuple[float, float]:
    figure = axes.get_figure(root=True)
    axes.apply_aspect()
    extent, dpi = axes.get_window_extent(), figure.dpi if figure is not None else 100
    return extent.width / dpi, extent.height / dpi


def scale_bar(axes: Axes) -> None:
    """Draw a bar of a round length in the lower left corner."""
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    wanted = 0.25 * (right - left)
    length = max((mm for mm in (1, 2, 5, 10, 20, 50, 100, 200) if mm <= wanted), default=1)
    x, y = left + 0.03 * (right - left), bottom + 0.03 * (top - bottom)
    axes.plot([x, x + length], [y, y], color=TEXT, linewidth=2.5, solid_capstyle="butt")
    share = (x - left) / (right - left)
    label(axes, (share, 0.045), f"{length} mm", ("left", "bottom"), TEXT, 8)


def zoom(axes: Axes, points: NDArray[np.float64]) -> None:
    """Show a square round points (N, 2) in mm, with a margin, at least 60 mm wide."""
    low, high = points.min(axis=0), points.max(axis=0)
    half = max(0.62 * float((high - low).max()), 30.0)
    x, y = (low + high) / 2
    axes.set_xlim(x - half, x + half)
    axes.set_ylim(y - half, y + half)


def legend(
    axes: Axes,
    segments: Sequence[Segment],
    colours: Sequence[tuple[float, float, float]],
    voxel_mm3: float,
    tiles: int = 0,
) -> None:
    """Write the names of structures, volumes in cm3, and clicks inside (+) and outside (-).

    Marks are explained where there are such clicks. Where only `tiles` of the structures have a
    picture of their own, the number of the others is told.
    """
    from matplotlib.lines import Line2D

    handles = []
    for segment, colour in zip(segments, colours, strict=True):
        volume_cm3 = segment.mask.voxel_count * voxel_mm3 / 1000
        name = elided(segment.name, _LONGEST_NAME)
        text = f" {name}   {volume_cm3:,.1f} cm³   {segment.clicks.counts()}"
        handles.append(Line2D([], [], color=colour, linewidth=5, label=text))
    for inside in _kinds_of_clicks(segments):
        text = "click inside" if inside else "click outside"
        style = MARKERS[inside]
        handles.append(Line2D([], [], linestyle="", markeredgecolor=EDGE, label=text, **style))
    if 0 < tiles < len(segments):
        text = f"+ {len(segments) - tiles} more without a tile"
        handles.append(Line2D([], [], linestyle="", label=text))
    axes.legend(
        handles=handles,
        loc="upper left",
        ncols=_legend_columns(segments),
        fontsize=9.5,
        frameon=False,
        labelcolor=TEXT,
        borderaxespad=0.2,
        handlelength=1.4,
        columnspacing=2.2,
    )
    axes.axis("off")


def legend_rows(segments: Sequence[Segment], tiles: int) -> int:
    """Return how many lines `legend` takes."""
    entries = len(segments) + len(_kinds_of_clicks(segments)) + (0 < tiles < len(segments))
    return math.ceil(entries / _legend_columns(segments))


def _legend_columns(segments: Sequence[Segment]) -> int:
    """Return how many entries fit into a line of the legend."""
    widest = max((width_of(segment.name) for segment in segments), default=0)
    return _LEGEND_COLUMNS if widest <= _SHORT_NAME else _LEGEND_COLUMNS - 1


def marked_prompts(segment: Segment) -> list[Prompt]:
    """Return the prompts with a mark at their anchor: a box may have nothing in its middle."""
    return [one for one in segment.clicks if one.bounds is None or not one.positive]


def _kinds_of_clicks(segments: Sequence[Segment]) -> list[bool]:
    """Return which kinds of clicks there are, positive ones first."""
    return sorted(
        {click.positive for one in segments for click in marked_prompts(one)}, reverse=True
    )
