"""The modal question that Slicer asks before a hidden segment is edited."""

from __future__ import annotations

from typing import Any

import slicer
from PySide6 import QtCore, QtWidgets

SETTING = "Segmentations/ConfirmEditHiddenSegment"
UNANSWERED_MS = 30_000
_BOX = QtWidgets.QMessageBox
_KEPT = {_BOX.ButtonRole.YesRole.value: _BOX.StandardButton.Yes}
_KEPT[_BOX.ButtonRole.NoRole.value] = _BOX.StandardButton.No


def question_of_hidden_segment() -> tuple[Any, bool]:
    """Return the button, Yes, No or Cancel, and whether the box was shown.

    The box waits for an answer, as in Slicer: a test that does not expect it fails here, instead
    of waiting for ever.
    """
    kept = _KEPT.get(int(slicer.app.settings().value(SETTING, _BOX.ButtonRole.InvalidRole.value)))
    if kept is not None:
        return kept, False
    box = _BOX()
    box.setWindowTitle("Operate on invisible segment?")
    box.setText("The currently selected segment is hidden. Would you like to make it visible?")
    box.setStandardButtons(
        _BOX.StandardButton.Yes | _BOX.StandardButton.No | _BOX.StandardButton.Cancel
    )
    late = QtCore.QTimer()
    late.setSingleShot(True)
    late.timeout.connect(lambda: box.done(0))
    late.start(UNANSWERED_MS)
    code = box.exec()
    late.stop()
    if code == 0:
        message = "nobody has answered the question whether to show the hidden segment"
        raise RuntimeError(message)
    return _BOX.StandardButton(code), True
