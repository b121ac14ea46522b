"""A line that tells why a volume may give poor results, the same in effect and panel."""

from __future__ import annotations

from typing import Any

import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from CTSAM3DLib.errors import CTSAM3DError
from CTSAM3DLib.io import hu_warning, size_warning
from CTSAM3DLib.mrml import volume_from_node
from CTSAM3DModuleLib.widgets import ERROR_STYLE


class VolumeWarning(VTKObservationMixin):
    """Follows a volume: a label shows what is wrong with it, and is hidden otherwise."""

    def __init__(self, label: Any) -> None:
        VTKObservationMixin.__init__(self)
        self._label, self._volume = label, None
        label.wordWrap = True
        label.styleSheet = ERROR_STYLE
        label.visible = False

    def follow(self, volume_node: Any) -> bool:
        """Follow another volume, None for none; False if it is the one from before."""
        if volume_node is self._volume:
            return False
        self.removeObservers()
        self._volume = volume_node
        if volume_node is not None:
            for event in (volume_node.ImageDataModifiedEvent, vtk.vtkCommand.ModifiedEvent):
                self.addObserver(volume_node, event, self._warn)
        self._warn()
        return True

    def _warn(self, caller: Any = None, event: Any = None) -> None:
        warning = "" if self._volume is None else _text(self._volume)
        self._label.text = warning
        self._label.visible = bool(warning)


def _text(volume_node: Any) -> str:
    """Return why results may be poor, or why there can be none; empty for a good CT."""
    try:
        volume = volume_from_node(volume_node)
    except CTSAM3DError as error:
        return str(error)
    found = hu_warning(volume)
    not_ct = _("Perhaps not a CT: {reason}").format(reason=found) if found else ""
    return "\n".join(filter(None, [not_ct, size_warning(volume)]))
