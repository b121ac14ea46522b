"""Loading and saving of files: what is behind `slicer.util.load...` and `save...`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer
import vtk
from PySide6 import QtCore

from Testing.HeadlessSlicer.native import native_class

FILE_TYPES = {
    "SegmentationFile": (".seg.nrrd", ".seg.nhdr", ".seg.vtm"),
    "MarkupsFile": (".mrk.json", ".fcsv"),
    "SceneFile": (".mrb", ".mrml"),
    "TransformFile": (".h5", ".tfm", ".mat"),
    "ModelFile": (".stl", ".obj", ".ply", ".vtp", ".vtk"),
    "TableFile": (".csv", ".tsv"),
    "TextFile": (".txt",),
    "VolumeFile": (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd"),
}
# Bits of vtkSlicerVolumesLogic::LoadingOptions, by the property that switches them on.
VOLUME_OPTIONS = {
    "labelmap": 1,
    "center": 2,
    "singleFile": 4,
    "autoWindowLevel": 8,
    "discardOrientation": 16,
}


def _logic(name: str) -> Any:
    return getattr(slicer.modules, name).logic()


def _load_volume(path: str, properties: dict[str, Any]) -> Any:
    options = {"autoWindowLevel": True, **properties}
    bits = sum(bit for name, bit in VOLUME_OPTIONS.items() if options.get(name))
    name = properties.get("name") or Path(path).name.partition(".")[0]
    return _logic("volumes").AddArchetypeVolume(path, name, bits)


def _load_markups(path: str, properties: dict[str, Any]) -> Any:
    return slicer.mrmlScene.GetNodeByID(
        _logic("markups").LoadMarkups(path, properties.get("name")) or ""
    )


def _load_scene(path: str, properties: dict[str, Any]) -> bool:
    scene = slicer.mrmlScene
    if properties.get("clear"):
        scene.Clear(False)
    if path.endswith(".mrb"):
        return bool(scene.ReadFromMRB(path, bool(properties.get("clear")), None))
    scene.SetURL(path)
    return bool(scene.Import(None))


def _load_stored(node_class: str, path: str, properties: dict[str, Any]) -> Any:
    node = slicer.mrmlScene.AddNewNodeByClass(node_class, properties.get("name") or Path(path).stem)
    storage = node.CreateDefaultStorageNode()
    storage.SetFileName(path)
    if not storage.ReadData(node):
        slicer.mrmlScene.RemoveNode(node)
        return None
    return node


LOADERS: dict[str, Callable[[str, dict[str, Any]], Any]] = {
    "VolumeFile": _load_volume,
    "MarkupsFile": _load_markups,
    "SegmentationFile": lambda path, properties: _logic("segmentations").LoadSegmentationFromFile(
        path, True, properties.get("name", "")
    ),
    "SceneFile": _load_scene,
    "ModelFile": lambda path, properties: _logic("models").AddModel(path),
    "TransformFile": lambda path, properties: _logic("transforms").AddTransform(
        path, slicer.mrmlScene
    ),
    "TableFile": lambda path, properties: _logic("tables").AddTable(path),
    "TextFile": lambda path, properties: _load_stored("vtkMRMLTextNode", path, properties),
}


@native_class()
class qSlicerCoreIOManager(QtCore.QObject):
    """Loads and saves nodes by the type of the file."""

    def fileType(self, fileName: str) -> str:
        """Return the type of a file, by its ending."""
        name = str(fileName).lower()
        for kind, endings in FILE_TYPES.items():
            if name.endswith(endings):
                return kind
        return "NoFile"

    def registeredFileReaderCount(self, fileType: str) -> int:
        """Return how many readers there are for a type."""
        return int(fileType in LOADERS)

    def fileWriterFileType(self, node: Any) -> str:
        """Return the type of the file that a node is written to."""
        classes = {
            "vtkMRMLSegmentationNode": "SegmentationFile",
            "vtkMRMLMarkupsNode": "MarkupsFile",
            "vtkMRMLVolumeNode": "VolumeFile",
            "vtkMRMLModelNode": "ModelFile",
            "vtkMRMLTransformNode": "TransformFile",
        }
        return next((kind for cls, kind in classes.items() if node.IsA(cls)), "NoFile")

    def loadNodes(
        self, fileType: str, properties: dict[str, Any], collection: Any, messages: Any = None
    ) -> bool:
        """Load a file, add what was loaded to the collection, and tell whether it worked."""
        path = str(properties["fileName"])
        if not Path(path).exists() or fileType not in LOADERS:
            reason = "does not exist" if fileType in LOADERS else f"has no reader ({fileType})"
            self._report(messages, f"{path} {reason}")
            return False
        loaded = LOADERS[fileType](path, properties)
        if not loaded:
            self._report(messages, f"{path} cannot be read as {fileType}")
            return False
        if collection is not None and loaded is not True:
            collection.AddItem(loaded)
        return True

    def saveNodes(
        self, fileType: str, properties: dict[str, Any], messages: Any = None, scene: Any = None
    ) -> bool:
        """Write a node, or the scene, to a file."""
        path = str(properties["fileName"])
        scene = scene or slicer.mrmlScene
        if fileType == "SceneFile":
            if path.endswith(".mrb"):
                return bool(scene.WriteToMRB(path, None))
            scene.SetURL(path)
            return bool(scene.Commit(path))
        node = scene.GetNodeByID(properties["nodeID"])
        if node is None:
            self._report(messages, f"{properties['nodeID']} is not in the scene")
            return False
        node.AddDefaultStorageNode(path)
        storage = node.GetStorageNode()
        storage.SetFileName(path)
        if not storage.WriteData(node):
            self._report(messages, f"{path} cannot be written")
            return False
        return True

    @staticmethod
    def _report(messages: Any, text: str) -> None:
        if messages is not None:
            messages.AddMessage(vtk.vtkCommand.ErrorEvent, text)
