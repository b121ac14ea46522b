"""The CTK widgets that our .ui files and code use: same properties and signals, plain looks."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtWidgets

from Testing.HeadlessSlicer.native import cpp_property, native_class, native_property


@native_class()
class ctkCheckBox(QtWidgets.QCheckBox):
    """A check box."""


@native_class()
class ctkPushButton(QtWidgets.QPushButton):
    """A button whose text may be elided."""


@native_class()
class ctkMenuButton(QtWidgets.QPushButton):
    """A button with a menu beside it."""


@native_class()
class ctkSearchBox(QtWidgets.QLineEdit):
    """A line edit to search in."""

    showSearchIcon = native_property("showSearchIcon", default=False)


@native_class()
class ctkComboBox(QtWidgets.QComboBox):
    """A combo box with a text for "nothing chosen"."""

    defaultText = native_property("defaultText", "")
    forceDefault = native_property("forceDefault", default=False)

    def _user_data(self) -> str:
        return str(self.currentData or "")

    def setCurrentUserDataAsString(self, data: str) -> None:
        """Choose the item with this user data."""
        self.setCurrentIndex(self.findData(data))

    currentUserDataAsString = cpp_property(str, _user_data, setCurrentUserDataAsString)


def _fold(self: Any) -> None:
    for child in self.findChildren(
        QtWidgets.QWidget, options=QtCore.Qt.FindChildOption.FindDirectChildrenOnly
    ):
        child.setVisible(not self.collapsed)


@native_class()
class ctkCollapsibleButton(QtWidgets.QAbstractButton):
    """A section with a title bar that folds its content."""

    contentsCollapsed = QtCore.Signal(bool)

    def __init__(self, *arguments: Any) -> None:
        parent = next((a for a in arguments if isinstance(a, QtWidgets.QWidget)), None)
        super().__init__(parent)
        self.setText(next((a for a in arguments if isinstance(a, str)), ""))
        self.setCheckable(True)
        self.setChecked(True)
        self.setContentsMargins(0, self.fontMetrics().height() + 10, 0, 0)
        self.toggled.connect(lambda checked: self._set_collapsed(not checked))

    def _set_collapsed(self, collapsed: bool) -> None:
        if collapsed != self.collapsed:
            self._collapsed = collapsed
            self.setChecked(not collapsed)
            _fold(self)
            self.updateGeometry()
            self.contentsCollapsed.emit(collapsed)

    collapsed = cpp_property(
        bool, lambda self: self.__dict__.get("_collapsed", False), _set_collapsed
    )
    flat = native_property("flat", default=False)

    def paintEvent(self, event: Any) -> None:
        """Draw the title bar."""
        painter = QtWidgets.QStylePainter(self)
        option = QtWidgets.QStyleOptionButton()
        option.initFrom(self)
        option.rect.setHeight(self.fontMetrics().height() + 8)
        option.text = f"{'+' if self.collapsed else '-'} {self.text}"
        painter.drawControl(QtWidgets.QStyle.ControlElement.CE_PushButton, option)

    def sizeHint(self) -> Any:
        """Return the size of the title bar and what is below it."""
        content = (
            self.layout().sizeHint() if self.layout() and not self.collapsed else QtCore.QSize(0, 0)
        )
        bar = self.fontMetrics().height() + 10
        return QtCore.QSize(
            max(content.width(), 200), content.height() if content.height() else bar
        )


@native_class()
class ctkCollapsibleGroupBox(QtWidgets.QGroupBox):
    """A group box that folds its content."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.setCheckable(True)
        self.setChecked(True)
        self.toggled.connect(lambda checked: self._set_collapsed(not checked))

    def _set_collapsed(self, collapsed: bool) -> None:
        if collapsed != self.collapsed:
            self._collapsed = collapsed
            self.setChecked(not collapsed)
            _fold(self)

    def showEvent(self, event: Any) -> None:
        """Keep folded what was added since it was folded."""
        if self.collapsed:
            _fold(self)
        super().showEvent(event)

    collapsed = cpp_property(
        bool, lambda self: self.__dict__.get("_collapsed", False), _set_collapsed
    )


def _box_property(kind: type, name: str) -> Any:
    def getter(self: Any) -> Any:
        return getattr(self._box, name)

    def setter(self: Any, value: Any) -> None:
        setattr(self._box, name, value)
        self._show()

    return cpp_property(kind, getter, setter)


class _NumberWidget(QtWidgets.QWidget):
    """A double spin box, with or without a slider."""

    value = _box_property(float, "value")
    minimum = _box_property(float, "minimum")
    maximum = _box_property(float, "maximum")
    singleStep = _box_property(float, "singleStep")
    decimals = _box_property(int, "decimals")
    prefix = _box_property(str, "prefix")
    suffix = _box_property(str, "suffix")

    def _build(self, slider: Any) -> None:
        box = QtWidgets.QDoubleSpinBox()
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        if slider is not None:
            layout.addWidget(slider)
        layout.addWidget(box)
        self.__dict__["_box"], self.__dict__["_slider"] = box, slider

    def setValue(self, value: float) -> None:
        """Set the value."""
        self._box.setValue(value)


@native_class()
class ctkSliderWidget(_NumberWidget):
    """A slider with a spin box."""

    valueChanged = QtCore.Signal(float)
    valueIsChanging = QtCore.Signal(float)
    decimalsChanged = QtCore.Signal(int)
    STEPS = 1000

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        slider = QtWidgets.QSlider(QtCore.Qt.Orientation.Horizontal)
        slider.setMaximum(self.STEPS)
        self._build(slider)
        self._box.setMaximum(100.0)
        self._box.valueChanged.connect(self._changed)
        slider.sliderMoved.connect(self._moved)

    def _show(self) -> None:
        span = self._box.maximum - self._box.minimum
        self._slider.setValue(
            round(self.STEPS * (self._box.value - self._box.minimum) / span) if span else 0
        )

    def _changed(self, value: float) -> None:
        self._show()
        self.valueChanged.emit(value)

    def _moved(self, step: int) -> None:
        self._box.setValue(
            self._box.minimum + step * (self._box.maximum - self._box.minimum) / self.STEPS
        )

    pageStep = native_property("pageStep", 1.0)
    tracking = native_property("tracking", default=True)
    spinBoxVisible = native_property(
        "spinBoxVisible",
        default=True,
        on_change=lambda self: self._box.setVisible(self.spinBoxVisible),
    )

    def setDecimals(self, decimals: int) -> None:
        """Set the digits behind the point."""
        self._box.setDecimals(decimals)


@native_class()
class ctkDoubleSpinBox(_NumberWidget):
    """A spin box."""

    valueChanged = QtCore.Signal((float,), (str,))
    editingFinished = QtCore.Signal()

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._build(None)
        self._box.valueChanged.connect(lambda value: self.valueChanged[float].emit(value))
        self._box.editingFinished.connect(self.editingFinished.emit)

    def _show(self) -> None:
        """There is no slider to follow."""


@native_class()
class ctkPathLineEdit(QtWidgets.QWidget):
    """A line edit for a path."""

    currentPathChanged = QtCore.Signal(str)
    validInputChanged = QtCore.Signal(bool)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._edit = QtWidgets.QLineEdit()
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._edit)
        self._edit.textChanged.connect(self.currentPathChanged.emit)

    def setCurrentPath(self, path: str) -> None:
        """Set the path."""
        self._edit.setText(path)

    def addCurrentPathToHistory(self) -> None:
        """Do nothing: there is no history."""

    currentPath = cpp_property(str, lambda self: self._edit.text, setCurrentPath)
    nameFilters = native_property("nameFilters", (), list)
    settingKey = native_property("settingKey", "")
    showBrowseButton = native_property("showBrowseButton", default=True)
    showHistoryButton = native_property("showHistoryButton", default=True)
    filters = native_property("filters", None, object)


@native_class()
class ctkDirectoryButton(QtWidgets.QWidget):
    """A button that shows and chooses a folder."""

    directoryChanged = QtCore.Signal(str)
    directorySelected = QtCore.Signal(str)
    directory = native_property(
        "directory", "", on_change=lambda self: self.directoryChanged.emit(self.directory)
    )
    caption = native_property("caption", "")
    text = native_property("text", "")
