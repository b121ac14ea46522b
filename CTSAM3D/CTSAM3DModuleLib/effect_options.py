"""The options of the effect: widgets, and the parameters of the Segment Editor node they show."""

from __future__ import annotations

import ctk
import qt
import slicer
from slicer.i18n import tr as _

from CTSAM3DModuleLib.panel.models import models
from CTSAM3DModuleLib.slice_view_mouse import POINT
from CTSAM3DModuleLib.torch_devices import AUTO, TorchDevice, device_choices, imported_devices
from CTSAM3DModuleLib.typed_point import TypedPoint
from CTSAM3DModuleLib.volume_warning import VolumeWarning
from CTSAM3DModuleLib.widgets import (
    DEFAULT_MODEL,
    ERROR_STYLE,
    STATUS_STYLES,
    apart_texts,
    model_label,
    tool_texts,
    where_next_texts,
)

ROI = "ROI"


def set_defaults(scriptedEffect):
    """Give the parameters that have no value their first one; needs no options."""
    scriptedEffect.setParameterDefault("Model", DEFAULT_MODEL)
    scriptedEffect.setParameterDefault("Device", AUTO)
    scriptedEffect.setParameterDefault("Grow", "1")
    scriptedEffect.setParameterDefault("Overwrite", "0")
    scriptedEffect.setParameterDefault("Apart", "0")
    scriptedEffect.setParameterDefault("SmoothingMm", 2.0)


class EffectOptions:
    """Widgets in the options frame of one effect, which keeps the parameters.

    `onChanged` is called without arguments when the user changes one.
    """

    def __init__(self, scriptedEffect, onChanged):
        self.scriptedEffect = scriptedEffect
        self.onRefine = self.onOwnModel = self.onEditor = None
        self.ownModel = ""  # the one that the selected segment has for itself
        self._onChanged = onChanged
        self._connections = []
        self._clickRow()
        self._statusRow()
        self._apartRow()
        self._refineRow()
        self._advanced()

    # ---- what is chosen

    def isInside(self):
        """Tell what a plain click means."""
        return self.insideButton.checked

    def flip(self):
        """Change what a plain click means."""
        (self.outsideButton if self.isInside() else self.insideButton).checked = True

    def tool(self):
        """Return what the hand draws: ``"point"``, or a kind of prompt."""
        return next(name for name, button in self.toolButtons.items() if button.checked)

    def changeTool(self, name):
        """Draw something else; points if it is drawn already."""
        self.toolButtons[POINT if name == self.tool() else name].checked = True

    def roiNode(self):
        """Return the box, None for no limit."""
        return self.scriptedEffect.nodeReference(ROI)

    def model(self):
        """Id of the model; None for the default."""
        name = self.scriptedEffect.parameter("Model")
        return None if name == DEFAULT_MODEL else name

    def device(self):
        """Return the name of the device."""
        return self.scriptedEffect.parameter("Device")

    def grow(self):
        """Tell whether to follow the structure beyond the patch."""
        return self.scriptedEffect.parameter("Grow") == "1"

    def overwrites(self):
        """Tell whether other segments lose voxels as the Segment Editor is set to."""
        return self.scriptedEffect.parameter("Overwrite") == "1" and not self.apart()

    def apart(self):
        """Tell whether no voxel of another segment is taken."""
        return self.scriptedEffect.parameter("Apart") == "1"

    def smoothingMm(self):
        """Return how strongly to smooth."""
        return self.scriptedEffect.doubleParameter("SmoothingMm")

    def updateFromMRML(self):
        """Show the parameters."""
        self._addNewDevices()
        self.showModel(self.ownModel)
        blockers = [qt.QSignalBlocker(widget) for widget in self._parameterWidgets()]
        self.deviceBox.currentIndex = max(0, self.deviceBox.findData(self.device()))
        self.growBox.checked = self.grow()
        self.apartBox.checked = self.apart()
        self.overwriteBox.checked = self.scriptedEffect.parameter("Overwrite") == "1"
        self.smoothingBox.value = self.smoothingMm()
        self.roiBox.setMRMLScene(slicer.mrmlScene)
        self.roiBox.setCurrentNode(self.roiNode())
        del blockers

    def showModel(self, ownModel):
        """Show the model that the selected segment has for itself, else the one of all."""
        self.ownModel = ownModel
        self.modelLabel.text = model_label(ownModel)
        model = ownModel or self.model() or DEFAULT_MODEL
        blocker = qt.QSignalBlocker(self.modelBox)
        if self.modelBox.findData(model) < 0:  # of a scene from another computer
            self.modelBox.addItem(model, model)
        self.modelBox.currentIndex = self.modelBox.findData(model)
        del blocker

    def _addNewDevices(self):
        name = self.device()  # a scene may come from another computer
        for device in (*device_choices(imported_devices()), TorchDevice(name, name)):
            if self.deviceBox.findData(device.value) < 0:
                self.deviceBox.addItem(device.label, device.value)

    def listModels(self):
        """List the models that are installed now."""
        blocker = qt.QSignalBlocker(self.modelBox)
        self.modelBox.clear()
        for title, identifier in models():
            # Slicer takes an empty parameter of an effect for none.
            self.modelBox.addItem(title, identifier or DEFAULT_MODEL)
        del blocker

    def updateMRML(self):
        """Store what is shown."""
        self.scriptedEffect.setParameter("Device", self.deviceBox.currentData)
        self.scriptedEffect.setParameter("Grow", "1" if self.growBox.checked else "0")
        self.scriptedEffect.setParameter("Apart", "1" if self.apartBox.checked else "0")
        self.scriptedEffect.setParameter("Overwrite", "1" if self.overwriteBox.checked else "0")
        self.scriptedEffect.setParameter("SmoothingMm", self.smoothingBox.value)
        self.scriptedEffect.setNodeReference(ROI, self.roiBox.currentNode())

    def showStatus(self, status):
        """Show one line and, while waiting, the button to cancel."""
        self.statusLabel.text = status.text or _("Click inside the structure.")
        self.statusLabel.styleSheet = STATUS_STYLES.get(status.kind, "")
        self.cancelButton.enabled = status.kind == "busy"

    def _editor(self):
        return self.onEditor()

    def _showError(self, text):
        self.statusLabel.text = text
        self.statusLabel.styleSheet = ERROR_STYLE

    def cleanup(self):
        """Disconnect everything."""
        self.typedPoint.release()
        self.volumeWarning.follow(None)
        for widget, signal, slot in self._connections:
            widget.disconnect(signal, slot)
        self._connections = []

    # ---- rows

    def _connect(self, widget, signal, slot):
        widget.connect(signal, slot)
        self._connections.append((widget, signal, slot))

    def _changed(self, *_arguments):
        self._onChanged()

    def _modelChanged(self, index):
        chosen = self.modelBox.itemData(index)
        if not self.ownModel:
            self.scriptedEffect.setParameter("Model", chosen)
        elif chosen == (self.model() or DEFAULT_MODEL):
            self.onOwnModel("")
        else:
            self.onOwnModel(chosen)
        self._onChanged()

    def _parameterWidgets(self):
        boxes = (self.deviceBox, self.roiBox)
        return (*boxes, self.growBox, self.apartBox, self.overwriteBox, self.smoothingBox)

    def _clickRow(self):
        self.insideButton = self._button(_("Inside"), _("What is drawn lies inside."), True)
        self.outsideButton = self._button(
            _("Outside"),
            _("What is drawn lies outside. Ctrl-click adds a point outside; key O changes."),
            True,
        )
        self.insideButton.checked = True
        self._group = qt.QButtonGroup()
        self._group.addButton(self.insideButton)
        self._group.addButton(self.outsideButton)
        self.toolButtons = {}
        self._tools = qt.QButtonGroup()
        for tool, (text, toolTip) in tool_texts().items():
            self.toolButtons[tool] = self._button(text, toolTip, True)
            self._tools.addButton(self.toolButtons[tool])
        self.toolButtons[POINT].checked = True
        self.undoButton = self._button(_("Remove last"), _("Take back the newest prompt."))
        self.clearButton = self._button(_("Remove all"), _("Take back all prompts."))
        self._row(_("Click:"), self.insideButton, self.outsideButton)
        self._row("", *self.toolButtons.values())  # a label would make it wider than the column
        self.nextButton = self._button(*where_next_texts())
        self._row("", self.undoButton, self.clearButton, self.nextButton)

    def _statusRow(self):
        self.statusLabel = qt.QLabel(_("Click inside the structure."))
        self.statusLabel.wordWrap = True
        self.statusLabel.accessibleName = _("State")
        self.cancelButton = self._button(_("Cancel"), _("Take back what is being computed."))
        self.cancelButton.enabled = False
        self.warningLabel = qt.QLabel("")
        self.volumeWarning = VolumeWarning(self.warningLabel)
        self._row("", self.warningLabel)
        self._row("", self.statusLabel, self.cancelButton, stretch=0)

    def _apartRow(self):
        text, toolTip = apart_texts()
        self.apartBox = qt.QCheckBox(text)
        self.apartBox.toolTip = toolTip
        self._connect(self.apartBox, "toggled(bool)", self._changed)
        self._row("", self.apartBox)

    def _refineRow(self):
        self.keepButton = self._button(
            _("Keep clicked"), _("Keep the parts that hold a point, or the largest one.")
        )
        self.fillButton = self._button(_("Fill holes"), _("Fill cavities."))
        self.smoothButton = self._button(_("Smooth"), _("Smooth the surface by this many mm."))
        self.smoothingBox = qt.QDoubleSpinBox()
        self.smoothingBox.minimum, self.smoothingBox.maximum = 0.5, 10.0
        self.smoothingBox.singleStep = 0.5
        self.smoothingBox.suffix = " mm"
        self.smoothingBox.accessibleName = _("Smoothing in mm")
        for step, button in (
            ("keep", self.keepButton),
            ("fill", self.fillButton),
            ("smooth", self.smoothButton),
        ):
            self._connect(button, "clicked()", self._refineBy(step))
        self._connect(self.smoothingBox, "valueChanged(double)", self._changed)
        self._row(_("Tidy up:"), self.keepButton, self.fillButton)
        self._row(" ", self.smoothButton, self.smoothingBox)

    def _refineBy(self, step):
        return lambda: self.onRefine(step)

    def _advanced(self):
        self.roiBox = slicer.qMRMLNodeComboBox()
        self.roiBox.nodeTypes = ["vtkMRMLMarkupsROINode"]
        self.roiBox.noneEnabled = True
        self.roiBox.addEnabled = self.roiBox.removeEnabled = False
        self.roiBox.setMRMLScene(slicer.mrmlScene)
        self.roiBox.toolTip = _("Voxels outside this box stay as they are.")
        self._connect(self.roiBox, "currentNodeChanged(vtkMRMLNode*)", self._changed)
        self.modelBox, self.deviceBox = qt.QComboBox(), qt.QComboBox()
        self.listModels()
        for device in device_choices(imported_devices()):
            self.deviceBox.addItem(device.label, device.value)
        self.growBox = qt.QCheckBox(_("Find the rest of the structure by itself"))
        self.growBox.toolTip = _(
            "Looks further from the ends of each result, after its first part is shown. "
            "The next click does not wait for it."
        )
        self._connect(self.modelBox, "currentIndexChanged(int)", self._modelChanged)
        self._connect(self.deviceBox, "currentIndexChanged(int)", self._changed)
        self._connect(self.growBox, "toggled(bool)", self._changed)
        self.overwriteBox = qt.QCheckBox(_("Overwrite other segments"))
        self.overwriteBox.toolTip = _(
            'Those that "Modify other segments" of the Segment Editor names lose voxels. Otherwise '
            "all other segments stay as they are, and segments may overlap."
        )
        self._connect(self.overwriteBox, "toggled(bool)", self._changed)
        self.typedPoint = TypedPoint(self._editor, self._showError)
        section = ctk.ctkCollapsibleGroupBox()
        section.title = _("Position, limits and model")
        section.collapsed = True
        form = qt.QFormLayout(section)
        form.addRow(self.typedPoint.rows)
        form.addRow(_("Box:"), self.roiBox)
        form.addRow(self.growBox)
        form.addRow(self.overwriteBox)
        self.modelLabel = qt.QLabel(model_label(""))
        form.addRow(self.modelLabel, self.modelBox)
        form.addRow(_("Device:"), self.deviceBox)
        self.scriptedEffect.addOptionsWidget(section)

    @staticmethod
    def _button(text, toolTip, checkable=False):
        button = qt.QPushButton(text)
        button.toolTip = toolTip
        button.checkable = checkable
        return button

    def _row(self, label, *widgets, stretch=None):
        row = qt.QHBoxLayout()
        for index, widget in enumerate(widgets):
            row.addWidget(widget, 1 if index == stretch else 0)
        if label:
            self.scriptedEffect.addLabeledOptionsWidget(label, row)
        else:
            self.scriptedEffect.addOptionsWidget(row)
