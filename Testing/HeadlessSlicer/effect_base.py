"""What an effect gets from its host: parameters, images, writing, options, coordinates.

Masking, overwriting, undo and the geometry are the real C++ `vtkSlicerSegmentEditorLogic`; this
is the thin Qt layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import slicer
from PySide6 import QtCore, QtGui, QtWidgets

from Testing.HeadlessSlicer.effect_views import EffectViews
from Testing.HeadlessSlicer.hidden_question import question_of_hidden_segment
from Testing.HeadlessSlicer.native import cpp_property, native_class, native_property

_LOGIC = slicer.vtkSlicerSegmentEditorLogic
# The wrapped enum cannot be made from a number.
MODES = {
    int(member): member
    for member in (
        _LOGIC.ModificationModeSet,
        _LOGIC.ModificationModeAdd,
        _LOGIC.ModificationModeRemove,
        _LOGIC.ModificationModeRemoveAll,
    )
}
NO_EXTENT = (0, -1, 0, -1, 0, -1)


def _text(value: object) -> str:
    """Return a parameter as Qt writes it: six digits for a float."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        message = f"An effect parameter takes str, int or float, got {value!r}"
        raise TypeError(message)
    return f"{value:g}" if isinstance(value, float) else str(value)


@native_class()
class qSlicerSegmentEditorAbstractEffect(EffectViews, QtCore.QObject):
    """Base of all effects."""

    ModificationModeSet, ModificationModeAdd, ModificationModeRemove, ModificationModeRemoveAll = (
        range(4)
    )
    NotConfirmed, ConfirmedWithoutDialog, ConfirmedWithDialog = range(3)

    name = native_property("name", "UnnamedScriptedEffect")
    perSegment = native_property("perSegment", default=True)
    requireSegments = native_property("requireSegments", default=True)
    showEffectCursorInSliceView = native_property("showEffectCursorInSliceView", default=True)
    showEffectCursorInThreeDView = native_property("showEffectCursorInThreeDView", default=False)
    title = cpp_property(
        str,
        lambda self: self.__dict__.get("_title") or self.name,
        lambda self, title: self.__dict__.__setitem__("_title", title),
    )

    def __init__(self, parent: Any = None) -> None:
        QtCore.QObject.__init__(self, parent)
        self._active = False
        self._node: Any = None
        self._host: Any = None
        self._logic: Any = None
        self._confirmed_hidden: Any = None
        self._frame = QtWidgets.QFrame()
        QtWidgets.QFormLayout(self._frame)

    # ---- state

    def active(self) -> bool:
        """Tell whether the effect is the active one of its editor."""
        return self._active

    def activate(self) -> None:
        """Show the options, then be active, then show the parameters."""
        self._frame.setVisible(True)
        self._active = True
        self.updateGUIFromMRML()

    def deactivate(self) -> None:
        """Hide the options and be inactive."""
        self._frame.setVisible(False)
        self._active = False

    def updateGUIFromMRML(self) -> None:
        """Show the parameters."""

    def selectEffect(self, name: str) -> None:
        """Ask the editor for another effect; an empty name for none."""
        if self._host is not None:
            self._host.setActiveEffectByName(name)

    def saveStateForUndo(self) -> None:
        """Keep the present state of the segmentation."""
        if self._host is not None:
            self._host.saveStateForUndo()

    def confirmCurrentSegmentVisible(self) -> int:
        """Ask, by a modal box, whether to show a hidden segment.

        "No" means to work on it hidden, and is not asked again for this segment; an answer kept
        in the settings is given without the box.
        """
        segmentation = self._node.GetSegmentationNode() if self._node is not None else None
        segment_id = self._node.GetSelectedSegmentID() if segmentation is not None else ""
        if not segment_id:
            return self.ConfirmedWithoutDialog
        segment = segmentation.GetSegmentation().GetSegment(segment_id)
        display = segmentation.GetDisplayNode()
        shown = display is not None and (
            display.GetVisibility() and display.GetSegmentVisibility(segment_id)
        )
        if shown or segment is self._confirmed_hidden:
            return self.ConfirmedWithoutDialog
        answer, asked = question_of_hidden_segment()
        buttons = QtWidgets.QMessageBox.StandardButton
        if answer == buttons.Cancel:
            return self.NotConfirmed
        if answer == buttons.Yes:
            if display is not None:
                display.SetVisibility(True)
                display.SetSegmentVisibility(segment_id, True)
        else:
            self._confirmed_hidden = segment
        return self.ConfirmedWithDialog if asked else self.ConfirmedWithoutDialog

    # ---- options

    def optionsFrame(self) -> Any:
        """Return the frame of the options."""
        return self._frame

    def optionsLayout(self) -> Any:
        """Return the layout of the options."""
        return self._frame.layout()

    def addOptionsWidget(self, widget: Any) -> None:
        """Add a row."""
        self._frame.layout().addRow(widget)

    def addLabeledOptionsWidget(self, label: str, widget: Any) -> Any:
        """Add a row with a label, and return the label."""
        label_widget = QtWidgets.QLabel(label)
        self._frame.layout().addRow(label_widget, widget)
        return label_widget

    # ---- parameters

    def parameterSetNode(self) -> Any:
        """Return the segment editor node."""
        return self._node

    def setParameterSetNode(self, node: Any) -> None:
        """Set the segment editor node."""
        self._node = node

    def scene(self) -> Any:
        """Return the scene of the segment editor node."""
        return self._node.GetScene() if self._node is not None else None

    def _own(self, name: str) -> str:
        return f"{self.name}.{name}"

    def parameter(self, name: str) -> str:
        """Return a parameter of this effect, else the common one; an undefined one raises."""
        if self._node is None:
            return ""
        for attribute in (self._own(name), name):
            value = self._node.GetAttribute(attribute)
            if value is not None:
                return str(value)
        message = f"Effect {self.name} has no parameter {name}; set its default in setMRMLDefaults"
        raise KeyError(message)

    def integerParameter(self, name: str) -> int:
        """Return a parameter as int."""
        return int(self.parameter(name)) if self._node is not None else 0

    def doubleParameter(self, name: str) -> float:
        """Return a parameter as float."""
        return float(self.parameter(name)) if self._node is not None else 0.0

    def parameterDefined(self, name: str) -> bool:
        """Tell whether a parameter of this effect has a value that is not empty."""
        return self.commonParameterDefined(self._own(name))

    def commonParameterDefined(self, name: str) -> bool:
        """Tell whether a common parameter has a value that is not empty."""
        return bool(self._node is not None and self._node.GetAttribute(name))

    def setParameter(self, name: str, value: Any) -> None:
        """Set a parameter of this effect."""
        self.setCommonParameter(self._own(name), value)

    def setParameterDefault(self, name: str, value: Any) -> None:
        """Set a parameter of this effect if it has no value."""
        if not self.parameterDefined(name):
            self.setParameter(name, value)

    def setCommonParameterDefault(self, name: str, value: Any) -> None:
        """Set a common parameter if it has no value."""
        if not self.commonParameterDefined(name):
            self.setCommonParameter(name, value)

    def setCommonParameter(self, name: str, value: Any) -> None:
        """Set an attribute of the editor node; it sends EffectParameterModified, not Modified."""
        text = _text(value)
        if self._node is None:
            message = f"Effect {self.name} has no segment editor node"
            raise RuntimeError(message)
        if (self._node.GetAttribute(name) or "") == text:
            return
        disabled = self._node.GetDisableModifiedEvent()
        self._node.SetDisableModifiedEvent(1)
        self._node.SetAttribute(name, text)
        self._node.SetDisableModifiedEvent(disabled)
        self._node.InvokeCustomModifiedEvent(
            slicer.vtkMRMLSegmentEditorNode.EffectParameterModified
        )

    def nodeReference(self, name: str) -> Any:
        """Return the node of a reference of this effect, else of the common one."""
        return self._node.GetNodeReference(self._own(name)) or self._node.GetNodeReference(name)

    def setNodeReference(self, name: str, node: Any) -> None:
        """Set a reference of this effect."""
        self.setCommonNodeReference(self._own(name), node)

    def setCommonNodeReference(self, name: str, node: Any) -> None:
        """Set a reference of the editor node."""
        if node is not self._node.GetNodeReference(name):
            self._node.SetNodeReferenceID(name, node.GetID() if node is not None else None)
            self._node.InvokeCustomModifiedEvent(
                slicer.vtkMRMLSegmentEditorNode.EffectParameterModified
            )

    # ---- images, all in the geometry of the segmentation

    def defaultModifierLabelmap(self) -> Any:
        """Return the modifier, emptied; None without a source volume."""
        return (
            self._logic.GetModifierLabelmap()
            if self._logic.ResetModifierLabelmapToDefault()
            else None
        )

    def modifierLabelmap(self) -> Any:
        """Return the modifier as it is."""
        return self._logic.GetModifierLabelmap()

    def selectedSegmentLabelmap(self) -> Any:
        """Return the selected segment."""
        return (
            self._logic.GetSelectedSegmentLabelmap()
            if self._logic.UpdateSelectedSegmentLabelmap()
            else None
        )

    def maskLabelmap(self) -> Any:
        """Return where editing is not allowed."""
        return self._logic.GetMaskLabelmap() if self._logic.UpdateMaskLabelmap() else None

    def sourceVolumeImageData(self) -> Any:
        """Return the source volume, resampled."""
        return (
            self._logic.GetAlignedSourceVolume()
            if self._logic.UpdateAlignedSourceVolume()
            else None
        )

    def referenceGeometryImage(self) -> Any:
        """Return an image without voxels in the geometry of the segmentation."""
        return (
            self._logic.GetReferenceGeometryImage()
            if self._logic.UpdateReferenceGeometryImage()
            else None
        )

    # ---- writing

    def modifySelectedSegmentByLabelmap(
        self, labelmap: Any, mode: Any, *extent_and_bypass: Any
    ) -> None:
        """Write into the selected segment."""
        segment_id = self._node.GetSelectedSegmentID() or ""
        self.modifySegmentByLabelmap(
            self._node.GetSegmentationNode(), segment_id, labelmap, mode, *extent_and_bypass
        )

    def modifySegmentByLabelmap(
        self, segmentation: Any, segment_id: str, labelmap: Any, mode: Any, *extent_and_bypass: Any
    ) -> None:
        """Write into a segment, masked and overwriting as the editor says."""
        extent: Sequence[int] = NO_EXTENT
        bypass = False
        for argument in extent_and_bypass:
            if isinstance(argument, bool):
                bypass = argument
            else:
                extent = [int(bound) for bound in argument]
        if len(extent) != 6:
            message = f"The extent needs 6 numbers, got {list(extent)}"
            raise ValueError(message)
        self._logic.ModifySegmentByLabelmap(
            segmentation, segment_id, labelmap, MODES[int(mode)], extent, self.perSegment, bypass
        )

    def icon(self) -> Any:
        """Return no icon."""
        return QtGui.QIcon()
