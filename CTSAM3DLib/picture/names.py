"""Names in a picture: short enough for their place, and in fonts that have their letters."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Fonts with Chinese, Japanese and Korean letters, as systems name them.
_FONTS = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC"),
    *("Microsoft YaHei", "SimHei", "Yu Gothic", "Meiryo", "Malgun Gothic"),
    *("PingFang SC", "Hiragino Sans", "Hiragino Sans GB", "Apple SD Gothic Neo"),
    *("WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Droid Sans Fallback", "Arial Unicode MS"),
)


def width_of(name: str) -> int:
    """Return how many Latin letters are about as wide as a name."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in name)


def elided(name: str, width: int) -> str:
    """Return a name, without its middle where it has more than `width` Latin letters."""
    if width_of(name) <= width:
        return name
    start, end = name, name
    while width_of(start) > width // 2:
        start = start[:-1]
    while width_of(end) > (width - 1) // 2:
        end = end[1:]
    return f"{start}…{end}"


def draw_as_written(figure: Figure) -> None:
    """Take all texts of a finished figure as they are, in fonts that have the letters."""
    from matplotlib.font_manager import fontManager
    from matplotlib.text import Text

    installed = {font.name for font in fontManager.ttflist}
    families = ["sans-serif", *(name for name in _FONTS if name in installed)]
    for text in figure.findobj(Text):
        # A file name may hold bytes that are no letters.
        text.set_text(text.get_text().encode("utf-8", "replace").decode())
        text.set_parse_math(False)
        text.set_fontfamily(families)
