"""The effects of a Segment Editor: their list, which one is active, undo and redo."""

from __future__ import annotations

from typing import Any

import slicer
from PySide6 import QtWidgets

from Testing.HeadlessSlicer.effect_host import qSlicerSegmentEditorEffectFactory
from Testing.HeadlessSlicer.native import cpp_property


class EditorEffects:
    """Part of the Segment Editor widget, which makes the attributes that are used here."""

    _logic: Any
    _node: Any
    _active: Any
    _effects: list[Any]
    _buttons: dict[str, Any]
    _order: tuple[str, ...]
    _view_events: Any
    _effect_row: Any
    _options: Any
    readOnly: bool
    undoEnabled: bool
    unorderedEffectsVisible: bool

    # ---- effects

    def updateEffectList(self) -> None:
        """Take a clone of every registered effect that is not there yet."""
        known = {effect.name for effect in self._effects}
        for registered in qSlicerSegmentEditorEffectFactory.instance().registeredEffects():
            if registered.name not in known:
                self._add_effect(registered.clone())

    def _add_effect(self, effect: Any) -> None:
        effect._host, effect._logic = self, self._logic
        self._effects.append(effect)
        if self._node is not None:
            effect.setParameterSetNode(self._node)
            effect.setMRMLDefaults()
        button = QtWidgets.QToolButton()
        button.setText(effect.title)
        button.setIcon(effect.icon())
        button.setObjectName(effect.name)
        button.setCheckable(True)
        button.clicked.connect(lambda: self.setActiveEffect(effect))
        self._buttons[effect.name] = button
        self._effect_row.layout().addWidget(button)
        effect.setupOptionsFrame()
        effect.optionsFrame().setVisible(False)
        self._options.layout().addWidget(effect.optionsFrame())

    def availableEffectNames(self) -> tuple[str, ...]:
        """Return the names of the effects."""
        return tuple(effect.name for effect in self._effects)

    def effectNameOrder(self) -> tuple[str, ...]:
        """Return the order of the buttons."""
        return self._order

    def setEffectNameOrder(self, names: list[str]) -> None:
        """Show the buttons of these effects; the others with `unorderedEffectsVisible`."""
        self._order = tuple(names)
        for name, button in self._buttons.items():
            button.setVisible(self.unorderedEffectsVisible or name in self._order)

    def effectCount(self) -> int:
        """Return the number of effects."""
        return len(self._effects)

    def effectByIndex(self, index: int) -> Any:
        """Return an effect."""
        return self._effects[index]

    def effectByName(self, name: str) -> Any:
        """Return an effect, or None."""
        return next((effect for effect in self._effects if effect.name == name), None)

    def activeEffect(self) -> Any:
        """Return the active effect, or None."""
        return self._active

    def setActiveEffectByName(self, name: str) -> None:
        """Activate an effect; an unknown or empty name ends the active one."""
        self.setActiveEffect(self.effectByName(name))

    def setActiveEffect(self, effect: Any) -> None:
        """Activate an effect, None for none; takes place through the editor node."""
        if self._node is not None:
            self._node.SetActiveEffectName(effect.name if effect is not None else "")

    def _switch_effect(self) -> None:
        wanted = self.effectByName(self._node.GetActiveEffectName() or "")
        ready = self.segmentationNode() is not None and self.sourceVolumeNode() is not None
        if wanted is not None and not (ready and not self.readOnly):
            wanted = None
        if wanted is self._active:
            return
        if self._active is not None:
            self._active.deactivate()
        if wanted is not None and not self._logic.SetSourceRepresentationToBinaryLabelMap():
            wanted = None
        if wanted is not None:
            self._view_events.observe_views()
            interaction = self.interactionNode()
            if interaction.GetCurrentInteractionMode() != interaction.ViewTransform:
                interaction.SetCurrentInteractionMode(interaction.ViewTransform)
            wanted.activate()
            self._make_cursors(wanted)
        else:
            self._view_events.stop()
        for name, button in self._buttons.items():
            button.setChecked(wanted is not None and name == wanted.name)
        self._active = wanted

    def _make_cursors(self, effect: Any) -> None:
        manager = slicer.app.layoutManager()
        if manager is not None and effect.showEffectCursorInSliceView:
            for name in manager.sliceViewNames():
                effect.createCursor(manager.sliceWidget(name))

    def setupViewObservations(self) -> None:
        """Listen to the views again, for example to new ones."""
        self._view_events.observe_views()

    def removeViewObservations(self) -> None:
        """Listen to no view."""
        self._view_events.stop()

    # ---- undo

    def saveStateForUndo(self) -> None:
        """Keep the present state of the segmentation."""
        if self.undoEnabled:
            self._logic.SaveStateForUndo()

    def undo(self) -> None:
        """Go one state back."""
        self._logic.Undo()

    def redo(self) -> None:
        """Go one state forth."""
        self._logic.Redo()

    def setMaximumNumberOfUndoStates(self, count: int) -> None:
        """Set how many states are kept."""
        self._logic.SetMaximumNumberOfUndoStates(count)

    maximumNumberOfUndoStates = cpp_property(
        int, lambda self: self._logic.GetMaximumNumberOfUndoStates(), setMaximumNumberOfUndoStates
    )
