"""Stand-in for Slicer's package of scripted effects: the base classes that an effect derives from."""

from __future__ import annotations

from typing import Any


class AbstractScriptedSegmentEditorEffect:
    """Base of scripted effects; does nothing by itself."""

    def __init__(self, scriptedEffect: Any) -> None:
        self.scriptedEffect = scriptedEffect

    def register(self) -> None:
        """Register the effect with the factory."""
        import qSlicerSegmentationsEditorEffectsPythonQt as effects

        effects.qSlicerSegmentEditorEffectFactory.instance().registerEffect(self.scriptedEffect)

    def createCursor(self, widget: Any) -> Any:
        """Return the cursor of the effect; the real default is an arrow with the icon."""
        import qt

        return qt.QCursor()
