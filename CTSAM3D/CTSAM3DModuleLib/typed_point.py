"""Widgets to type a position as a point: in mm as the views show it, or as a voxel."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import qt
from slicer.i18n import tr as _

from CTSAM3DLib.errors import GeometryError
from CTSAM3DModuleLib.widgets import Connections, sign_text

_NUMBER = r"([LRAPSI]?)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:E[-+]?\d+)?)(?:\s*mm)?"
_BETWEEN = r"(?:\s*[,;]\s*|\s+)"
_TEXT = re.compile(rf"[\s(]*{_BETWEEN.join([_NUMBER] * 3)}[\s)]*", re.IGNORECASE)
_AXES = (("", "R", "L"), ("", "A", "P"), ("", "S", "I"))


def typed_position(text: str) -> list[float]:
    """Return the three numbers of a text; L, P or I before a number turns its sign.

    Raises GeometryError: the text says something else, or has a letter of another axis before a
    number.

    Examples
    --------
    >>> typed_position("12.5, -3 40"), typed_position("(L 12.5mm, A 3.0mm, I 40.0mm)")
    ([12.5, -3.0, 40.0], [-12.5, 3.0, -40.0])
    """
    match = _TEXT.fullmatch(text)
    if match is None:
        raise GeometryError(f"expected three numbers such as 12.5, -3, 40, got {text.strip()!r}")
    found = list(zip(match.groups()[::2], match.groups()[1::2], strict=True))
    if not all(side.upper() in axis for (side, _), axis in zip(found, _AXES, strict=True)):
        raise GeometryError(f"expected three numbers in the order R, A, S, got {text.strip()!r}")
    return [(-1.0 if side and side in "LPIlpi" else 1.0) * float(n) for side, n in found]


class TypedPoint:
    """Adds what is typed to the structure that is edited, and takes the views there.

    `editor_of` returns the `ClickEditor`, None for none; `tell` is called with what is wrong with a
    text; `rows` is the layout of the widgets, to be put somewhere.
    """

    def __init__(
        self,
        connections: Connections,
        editor_of: Callable[[], Any],
        tell: Callable[[str], object],
    ) -> None:
        self._editor_of, self._tell = editor_of, tell
        self.unitBox = qt.QComboBox()
        self.unitBox.addItem(_("RAS"))
        self.unitBox.addItem(_("IJK"))
        self.unitBox.toolTip = _(
            "RAS: mm in the world. IJK: a voxel of the CT, from 0. Slicer's Data Probe shows both."
        )
        self.unitBox.accessibleName = _("Kind of position")
        self.edit = qt.QLineEdit()
        self.edit.placeholderText = "12.5, -3, 40"
        self.edit.toolTip = _("Three numbers; L, P or I before a number turns its sign.")
        self.edit.accessibleName = _("Position of a point")
        self.rows = qt.QVBoxLayout()
        position, signs = qt.QHBoxLayout(), qt.QHBoxLayout()
        position.addWidget(qt.QLabel(_("Position:")))
        position.addWidget(self.unitBox)
        position.addWidget(self.edit, 1)
        self.rows.addLayout(position)
        self.rows.addLayout(signs)
        self.buttons = {}
        for positive in (True, False):
            button = self.buttons[positive] = qt.QPushButton(sign_text(positive))
            button.toolTip = _("Add a point at this position.")
            connections.connect(button, "clicked()", partial(self._add, positive))
            signs.addWidget(button)

    def _add(self, positive: bool) -> None:
        from CTSAM3DLib.mrml.frames import geometry_from_node, world_from_volume

        editor = self._editor_of()
        if editor is None:
            return
        try:
            position = typed_position(self.edit.text)
        except GeometryError as error:
            self._tell(str(error))
            return
        target = editor.target
        if self.unitBox.currentIndex == 1 and target is not None:
            position_ras = geometry_from_node(target.volume_node).ras_from_ijk(position)
            position = world_from_volume(position_ras, target.volume_node).tolist()
        if editor.click(position, positive):
            editor.go_to(editor.controller.prompts(target)[-1].anchor_ras)
