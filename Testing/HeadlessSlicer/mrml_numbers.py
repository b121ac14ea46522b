"""Number widgets of MRML that know units; the units themselves are left out."""

from __future__ import annotations

import enum
from typing import Any

from PySide6 import QtWidgets

from Testing.HeadlessSlicer.ctk_widgets import ctkDoubleSpinBox, ctkSliderWidget
from Testing.HeadlessSlicer.native import native_class, native_property


class UnitAwareProperty(enum.IntFlag):
    """What the unit decides of a widget."""

    Suffix = 1
    Prefix = 2
    Precision = 4
    Scaling = 8
    MinimumValue = 16
    MaximumValue = 32


class _UnitAware(QtWidgets.QWidget):
    def setMRMLScene(self, scene: Any) -> None:
        """Take the scene that has the units."""
        self.__dict__["_scene"] = scene

    def mrmlScene(self) -> Any:
        """Return the scene."""
        return self.__dict__.get("_scene")


@native_class()
class qMRMLSpinBox(ctkDoubleSpinBox, _UnitAware):
    """A spin box."""

    MinimumValue = UnitAwareProperty.MinimumValue
    MaximumValue = UnitAwareProperty.MaximumValue
    Precision = UnitAwareProperty.Precision
    quantity = native_property("quantity", "")
    unitAwareProperties = native_property("unitAwareProperties", 63)


@native_class()
class qMRMLSliderWidget(ctkSliderWidget, _UnitAware):
    """A slider with a spin box."""

    quantity = native_property("quantity", "")
    unitAwareProperties = native_property("unitAwareProperties", 63)
