"""The test window: a module's panel at the left, three slice views and the 3D view at the right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer
from PySide6 import QtWidgets

from Testing.HeadlessSlicer.views import qSlicerLayoutManager

PANEL_WIDTH = 400


def create_views() -> Any:
    """Give the application its views, once, and return the layout manager."""
    if slicer.app.layoutManager() is None:
        slicer.app._layout_manager = qSlicerLayoutManager()
    return slicer.app.layoutManager()


class TestWindow(QtWidgets.QWidget):
    """The window; off screen unless QT_QPA_PLATFORM says otherwise."""

    __test__ = False

    def __init__(
        self, panel: QtWidgets.QWidget | None = None, width: int = 1280, height: int = 800
    ) -> None:
        super().__init__()
        self.setWindowTitle("Test window (not 3D Slicer)")
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(2, 2, 2, 2)
        if panel is not None:
            area = QtWidgets.QScrollArea()
            area.setWidget(panel)
            area.setWidgetResizable(True)
            area.setFixedWidth(PANEL_WIDTH)
            layout.addWidget(area)
            self.panel_area = area
        grid = QtWidgets.QGridLayout()
        grid.setSpacing(2)
        manager = create_views()
        places = {"Red": (0, 0), "Yellow": (1, 1), "Green": (1, 0)}
        for name, place in places.items():
            grid.addWidget(manager.sliceWidget(name), *place)
        grid.addWidget(manager.threeDWidget(0), 0, 1)
        layout.addLayout(grid, 1)
        self.resize(width, height)
        self.show()
        slicer.app.processEvents()

    def picture(self, path: str | Path | None = None) -> Any:
        """Render every view, return the window as QImage, and write it where a path is given."""
        slicer.app.processEvents()
        slicer.util.forceRenderAllViews()
        image = self.grab().toImage()
        if path is not None:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            image.save(str(path))
        return image

    def release(self) -> None:
        """Close the window, but keep panel and views for the next one."""
        manager = create_views()
        for name in manager.sliceViewNames():
            manager.sliceWidget(name).setParent(None)
        manager.threeDWidget(0).setParent(None)
        if hasattr(self, "panel_area"):
            panel = self.panel_area.takeWidget()
            panel.setParent(None)
        self.close()
