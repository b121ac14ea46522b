"""The end of the application, in order: nothing of Qt or VTK is left to the end of Python.

At the end of a process PySide deletes widgets in no particular order, while other libraries in
the process end as well: that can crash after the last test has passed.
"""

from __future__ import annotations

import gc
import shutil

import shiboken6
import slicer
from PySide6 import QtCore


def end_application() -> None:
    """Unload the modules, then end views, widgets, scene and `slicer.app`, in this order."""
    application = slicer.app
    manager = application.moduleManager()
    for name in reversed(manager.modulesNames()):
        manager._remove(name)
    if application.layoutManager() is not None:
        application.layoutManager()._end()
        application._layout_manager = None
    slicer.mrmlScene.Clear(1)
    for widget in application.topLevelWidgets():
        if shiboken6.isValid(widget):
            widget.close()
            widget.deleteLater()
    application.sendPostedEvents(None, QtCore.QEvent.Type.DeferredDelete)
    application.processEvents()
    gc.collect()
    temporary = application.temporaryPath
    application.applicationLogic().SetMRMLScene(None)
    application.shutdown()
    slicer.app = None
    shutil.rmtree(temporary, ignore_errors=True)
