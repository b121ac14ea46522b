"""The searchable list of anatomies; other names can be typed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

from CTSAM3DLib.io.terminology import Anatomy, anatomies, colour, find
from CTSAM3DModuleLib.widgets import Connections

SWATCH_PIXELS = 12


def swatch(rgb: tuple[int, int, int]) -> Any:
    """Return a square of a colour as icon."""
    pixmap = qt.QPixmap(SWATCH_PIXELS, SWATCH_PIXELS)
    pixmap.fill(qt.QColor(*rgb))
    return qt.QIcon(pixmap)


def matches(anatomy: Anatomy, text: str) -> bool:
    """Tell whether every word of a text is in the name or label of an anatomy."""
    known = f"{anatomy.label} {anatomy.name}".casefold().replace("_", " ")
    return all(word in known for word in text.casefold().replace("_", " ").split())


class StructureSection:
    """Search box, list, and the button that calls `on_add` with the name that is selected."""

    def __init__(self, ui: Any, connections: Connections, on_add: Callable[[str], object]) -> None:
        self._box, self._list = ui.searchBox, ui.anatomyList
        self._on_add = on_add
        self._reason = ""
        self._known = sorted(anatomies().values(), key=lambda anatomy: anatomy.name)
        for anatomy in self._known:
            self._list.addItem(qt.QListWidgetItem(swatch(anatomy.rgb), anatomy.label))
        self._list.addItem(qt.QListWidgetItem(""))
        self._add = connections.button(ui.addButton, self.add)
        connections.connect(self._box, "textChanged(QString)", self._on_text)
        connections.connect(self._box, "returnPressed()", self.add)
        double_click = "itemDoubleClicked(QListWidgetItem*)"
        connections.connect(self._list, double_click, lambda _item: self.add())
        connections.connect(
            self._list, "currentRowChanged(int)", lambda _row: self.allow(self._reason)
        )
        self._on_text("")

    @property
    def chosen(self) -> str:
        """The name to add; empty for none."""
        row = self._list.currentRow
        if row < 0 or self._list.item(row).isHidden():
            return ""
        return self._known[row].name if row < len(self._known) else self._box.text.strip()

    def allow(self, reason: str) -> None:
        """Let structures be added, or not, for a reason."""
        self._reason = reason
        self._add.allow(reason or ("" if self.chosen else _("Choose a structure, or type a name.")))

    def add(self) -> None:
        """Add what is selected."""
        name = self.chosen
        if name and not self._reason:
            self._on_add(name)
            self._box.text = ""

    def _on_text(self, text: str) -> None:
        name, own = text.strip(), len(self._known)
        exact = find(name) if name else None
        found = [
            row
            for row, anatomy in enumerate(self._known)
            if anatomy is exact or matches(anatomy, name)
        ]
        for row in range(own):
            self._list.item(row).setHidden(row not in found)
        other = self._list.item(own)
        other.setHidden(not name or exact is not None)
        other.setText(_('Other: "{name}"').format(name=name))
        other.setIcon(swatch(colour(name)))
        if not name:
            row = -1
        elif exact is not None:
            row = self._known.index(exact)
        else:  # the plain organ before its parts
            row = min(found, key=lambda one: len(self._known[one].label), default=own)
        self._list.currentRow = row
        self._list.scrollToItem(self._list.item(max(row, 0)))
        self.allow(self._reason)
