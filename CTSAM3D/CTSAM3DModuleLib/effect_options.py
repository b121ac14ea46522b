"""The options of the effect: widgets, and the parameters of the Segment Editor node they show."""

from __future__ import annotations

import ctk
import qt
import slicer
from slicer.i18n import tr as _

from CTSAM3DModuleLib.panel.models import models
from CTSAM3DModuleLib.slice_view_mouse import POINT
from CTSAM3DModuleLib.torch_devices import AUTO, device_choices, imported_devices
from CTSAM3DModuleLib.typed_point import TypedPoint
from CTSAM3DModuleLib.volume_warning import VolumeWarning
from CTSAM3DModuleLib.widgets import (
    DEFAULT_MODEL,
    ERROR_STYLE,
    STATUS_STYLES,
    Connections,
    apart_texts,
    choose,
    fill,
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
    """Widgets in the options frame of one effect, which keeps the parameters."""

    def __init__(self, effect):
        self.effect, self.scriptedEffect = effect, effect.scriptedEffect
        self.ownModel = ""  # the one that the selected segment has for itself
        self._connections = Connections()
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
        for device in device_choices(imported_devices()):
            if self.deviceBox.findData(device.value) < 0:
                self.deviceBox.addItem(device.label, device.value)
        choose(self.deviceBox, self.device())
        self.showModel(self.ownModel)
        blockers = [qt.QSignalBlocker(widget) for widget in self._parameterWidgets()]
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
        choose(self.modelBox, ownModel or self.model() or DEFAULT_MODEL)

    def listModels(self):
        """List the models that are installed now; Slicer takes an empty parameter for none."""
        fill(self.modelBox, [(title, name or DEFAULT_MODEL) for title, name in models()])

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
        self._isHint = not status.text
        self.statusLabel.text = status.text or self._hint()
        self.statusLabel.styleSheet = STATUS_STYLES.get(status.kind, "")
        self.cancelButton.enabled = self._isBusy = status.kind == "busy"

    def _hint(self):
        """Return what can be done next, by the buttons that are down."""
        if self.tool() == POINT:
            inside = _("Click inside the structure.")
            return inside if self.isInside() else _("Click outside the structure.")
        if not self.isInside():
            return _("Draw outside the structure.")
        around = _("Draw a box around the structure.")
        return around if self.tool() == "box" else _("Draw inside the structure.")

    def _showHint(self, isDown):
        """Show what can be done with the buttons now, in place of what has happened before."""
        if self._isHint or (isDown and not self._isBusy):
            self._isHint = True
            self._showLine(self._hint())

    def _showError(self, text):
        self._isHint = False
        self._showLine(text, ERROR_STYLE)

    def _showLine(self, text, style=""):
        self.statusLabel.text, self.statusLabel.styleSheet = text, style
        if self.effect.editor is not None:
            self.effect.editor.keep_line()

    def cleanup(self):
        """Disconnect everything."""
        self.volumeWarning.follow(None)
        self._connections.release()

    # ---- rows

    def _changed(self, *_arguments):
        self.effect.onOptions()

    def _modelChanged(self, index):
        chosen = self.modelBox.itemData(index)
        if not self.ownModel:
            self.scriptedEffect.setParameter("Model", chosen)
        elif chosen == (self.model() or DEFAULT_MODEL):
            self.effect.onOwnModel("")
        else:
            self.effect.onOwnModel(chosen)
        self.effect.onOptions()

    def _parameterWidgets(self):
        boxes = (self.deviceBox, self.roiBox)
        return (*boxes, self.growBox, self.apartBox, self.overwriteBox, self.smoothingBox)

    def _clickRow(self):
        outside = _("What is drawn lies outside. Ctrl-click adds a point outside; key O changes.")
        self._signs, self._tools = qt.QButtonGroup(), qt.QButtonGroup()
        self.insideButton = self._button(_("Inside"), _("What is drawn lies inside."), self._signs)
        self.outsideButton = self._button(_("Outside"), outside, self._signs)
        self.insideButton.checked = True
        self.toolButtons = {
            tool: self._button(*texts, self._tools) for tool, texts in tool_texts().items()
        }
        self.toolButtons[POINT].checked = True
        effect = self.effect
        self.undoButton = self._button(
            _("Remove last"), _("Take back the newest prompt."), onClicked=effect.onRemoveLast
        )
        self.clearButton = self._button(
            _("Remove all"), _("Take back all prompts."), onClicked=effect.onClear
        )
        self._row(_("Click:"), self.insideButton, self.outsideButton)
        self._row("", *self.toolButtons.values())  # a label would make it wider than the column
        self.nextButton = self._button(*where_next_texts(), onClicked=effect.onWhereNext)
        self._row("", self.undoButton, self.clearButton, self.nextButton)

    def _statusRow(self):
        self._isHint, self._isBusy = True, False  # no status is shown
        self.statusLabel = qt.QLabel(self._hint())
        self.statusLabel.wordWrap = True
        self.statusLabel.minimumHeight = 34  # two lines, as in the panel
        self.statusLabel.accessibleName = _("State")
        self.cancelButton = self._button(
            _("Cancel"), _("Take back what is being computed."), onClicked=self.effect.onCancel
        )
        self.cancelButton.enabled = False
        for button in (self.insideButton, self.outsideButton, *self.toolButtons.values()):
            self._connections.connect(button, "toggled(bool)", self._showHint)
        self.warningLabel = qt.QLabel("")
        self.volumeWarning = VolumeWarning(self.warningLabel)
        self._row("", self.warningLabel)
        self._row("", self.statusLabel, self.cancelButton, stretch=0)

    def _apartRow(self):
        text, toolTip = apart_texts()
        self.apartBox = qt.QCheckBox(text)
        self.apartBox.toolTip = toolTip
        self._connections.connect(self.apartBox, "toggled(bool)", self._changed)
        self._row("", self.apartBox)

    def _refineRow(self):
        keep = _("Keep the parts that hold a point, or the largest one.")
        smooth = _("Smooth the surface by this many mm.")
        refine = self.effect.onRefine
        self.keepButton = self._button(_("Keep clicked"), keep, onClicked=lambda: refine("keep"))
        self.fillButton = self._button(
            _("Fill holes"), _("Fill cavities."), onClicked=lambda: refine("fill")
        )
        self.smoothButton = self._button(_("Smooth"), smooth, onClicked=lambda: refine("smooth"))
        self.smoothingBox = qt.QDoubleSpinBox()
        self.smoothingBox.minimum, self.smoothingBox.maximum = 0.5, 10.0
        self.smoothingBox.singleStep = 0.5
        self.smoothingBox.suffix = " mm"
        self.smoothingBox.accessibleName = _("Smoothing in mm")
        self._connections.connect(self.smoothingBox, "valueChanged(double)", self._changed)
        self._row(_("Tidy up:"), self.keepButton, self.fillButton)
        self._row(" ", self.smoothButton, self.smoothingBox)

    def _advanced(self):
        self.roiBox = slicer.qMRMLNodeComboBox()
        self.roiBox.nodeTypes = ["vtkMRMLMarkupsROINode"]
        self.roiBox.noneEnabled = True
        self.roiBox.addEnabled = self.roiBox.removeEnabled = False
        self.roiBox.setMRMLScene(slicer.mrmlScene)
        self.roiBox.toolTip = _("Voxels outside this box stay as they are.")
        self.modelBox, self.deviceBox = qt.QComboBox(), qt.QComboBox()
        self.listModels()
        fill(self.deviceBox, [(one.label, one.value) for one in device_choices(imported_devices())])
        self.growBox = qt.QCheckBox(_("Find the rest of the structure by itself"))
        self.growBox.toolTip = _(
            "Looks further after the first click, once its own part is shown. "
            "The next click does not wait for it. Femurs are left out: click along them."
        )
        self.overwriteBox = qt.QCheckBox(_("Overwrite other segments"))
        self.overwriteBox.toolTip = _(
            'Those that "Modify other segments" of the Segment Editor names lose voxels. Otherwise '
            "all other segments stay as they are, and segments may overlap."
        )
        connect = self._connections.connect
        connect(self.roiBox, "currentNodeChanged(vtkMRMLNode*)", self._changed)
        connect(self.modelBox, "currentIndexChanged(int)", self._modelChanged)
        connect(self.deviceBox, "currentIndexChanged(int)", self._changed)
        connect(self.growBox, "toggled(bool)", self._changed)
        connect(self.overwriteBox, "toggled(bool)", self._changed)
        self.typedPoint = TypedPoint(self._connections, self.effect.onTyping, self._showError)
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

    def _button(self, text, toolTip, group=None, onClicked=None):
        """Return a button; one of a group can be checked."""
        button = qt.QPushButton(text)
        button.toolTip = toolTip
        button.checkable = group is not None
        if group is not None:
            group.addButton(button)
        if onClicked is not None:
            self._connections.connect(button, "clicked()", onClicked)
        return button

    def _row(self, label, *widgets, stretch=None):
        row = qt.QHBoxLayout()
        for index, widget in enumerate(widgets):
            row.addWidget(widget, 1 if index == stretch else 0)
        if label:
            self.scriptedEffect.addLabeledOptionsWidget(label, row)
        else:
            self.scriptedEffect.addOptionsWidget(row)
