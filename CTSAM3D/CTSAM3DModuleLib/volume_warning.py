"""A line that tells why a volume may give poor results, the same in effect and panel."""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _

from CTSAM3DLib.errors import CTSAM3DError
from CTSAM3DLib.io import hu_warning, size_warning
from CTSAM3DLib.mrml import volume_from_node
from CTSAM3DModuleLib.widgets import Observed, show_line


class VolumeWarning:
    """Follows a volume: a label shows what is wrong with it, and is hidden otherwise."""

    def __init__(self, label: Any) -> None:
        self._label, self._observed = label, Observed(self._warn)
        label.wordWrap = True
        show_line(label, "")

    def follow(self, volume_node: Any) -> bool:
        """Follow another volume, None for none; False if it is the one from before."""
        events = (slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent, vtk.vtkCommand.ModifiedEvent)
        is_new = self._observed.follow(volume_node, events)
        if is_new:
            self._warn()
        return is_new

    def _warn(self) -> None:
        volume = self._observed.subject
        show_line(self._label, "" if volume is None else _text(volume), is_error=True)


def _text(volume_node: Any) -> str:
    """Return why results may be poor, or why there can be none; empty for a good CT."""
    try:
        volume = volume_from_node(volume_node)
    except CTSAM3DError as error:
        return str(error)
    found = hu_warning(volume)
    not_ct = _("Perhaps not a CT: {reason}").format(reason=found) if found else ""
    return "\n".join(filter(None, [not_ct, size_warning(volume)]))
