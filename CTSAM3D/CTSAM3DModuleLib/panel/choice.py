"""Combo boxes for model and device, in step with the parameters of the panel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import qt
from slicer.i18n import tr as _

from CTSAM3DLib.errors import CTSAM3DError
from CTSAM3DLib.models.store import ModelStore
from CTSAM3DModuleLib.torch_setup import TorchDevice

AUTO = "auto"


def models(store: ModelStore | None = None) -> list[tuple[str, str]]:
    """Return title and id of each model; the default comes first and has an empty id."""
    try:
        store = store or ModelStore.standard()
        default = store.default().model_id
        others = [name for name in store.entries() if name != default]
    except CTSAM3DError:
        return [(_("none found"), "")]
    return [(default, ""), *((name, name) for name in others)]


class ChoiceSection:
    """Model and device.

    Parameters
    ----------
    ui : namespace
        With `modelBox` and `deviceBox`.
    """

    def __init__(self, ui: Any) -> None:
        self.parameters: Any = None
        self._model, self._device = ui.modelBox, ui.deviceBox
        self.list_models()
        self.offer([TorchDevice(AUTO, _("Automatic"))])
        self._model.connect("currentIndexChanged(int)", self._on_model)
        self._device.connect("currentIndexChanged(int)", self._on_device)

    def list_models(self) -> None:
        """List the models that are installed now; what is chosen stays chosen."""
        blocker = qt.QSignalBlocker(self._model)
        self._model.clear()
        for title, identifier in models():
            self._model.addItem(title, identifier)
        del blocker
        self.show()

    def offer(self, devices: Sequence[TorchDevice]) -> None:
        """List the devices of this computer."""
        blocker = qt.QSignalBlocker(self._device)
        self._device.clear()
        for device in devices:
            self._device.addItem(device.label, device.value)
        del blocker
        self.show()

    def show(self) -> None:
        """Show the parameters; one that is not here is listed, too, and never replaced."""
        if self.parameters is not None:
            _choose(self._model, self.parameters.model)
            _choose(self._device, self.parameters.device)

    def release(self) -> None:
        """Disconnect."""
        self._model.disconnect("currentIndexChanged(int)", self._on_model)
        self._device.disconnect("currentIndexChanged(int)", self._on_device)

    def _on_model(self, index: int) -> None:
        if self.parameters is not None:
            self.parameters.model = self._model.itemData(index)

    def _on_device(self, index: int) -> None:
        if self.parameters is not None:
            self.parameters.device = self._device.itemData(index)


def _choose(box: Any, value: str) -> None:
    blocker = qt.QSignalBlocker(box)
    if box.findData(value) < 0:
        box.addItem(value, value)
    box.currentIndex = box.findData(value)
    del blocker
