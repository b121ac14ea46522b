"""`qMRMLNodeComboBox`: chooses a node of the scene."""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from PySide6 import QtCore, QtWidgets

from Testing.HeadlessSlicer.native import cpp_property, native_class, native_property
from Testing.HeadlessSlicer.qmrml_widget import observe

NONE_TEXT = "None"


# Of each class the places of its nodes in the scene, as long as the list of nodes is this old:
# a scene fills many lists again for each node that comes or goes.
_places: tuple[Any, dict[str, list[int]]] = (None, {})


def _places_by_class(scene: Any) -> dict[str, list[int]]:
    """Return the places of the nodes of each class."""
    global _places  # noqa: PLW0603
    nodes = scene.GetNodes()
    age = (scene.GetAddressAsString(""), nodes.GetMTime())
    if _places[0] != age:
        places: dict[str, list[int]] = {}
        for place, node in enumerate(nodes):
            places.setdefault(node.GetClassName(), []).append(place)
        _places = (age, places)
    return _places[1]


def _refill(self: Any) -> None:
    self._fitting.clear()
    self._refill()


@native_class(
    {
        "currentNodeChanged(vtkMRMLNode*)": "currentNodeChanged(PyObject)",
        "nodeAdded(vtkMRMLNode*)": "nodeAdded(PyObject)",
        "nodeAddedByUser(vtkMRMLNode*)": "nodeAddedByUser(PyObject)",
        "nodeAboutToBeRemoved(vtkMRMLNode*)": "nodeAboutToBeRemoved(PyObject)",
    }
)
class qMRMLNodeComboBox(QtWidgets.QWidget):
    """A list of the scene's nodes of some classes, with entries to create, rename and delete."""

    currentNodeChanged = QtCore.Signal((object,), (bool,))
    currentNodeIDChanged = QtCore.Signal(str)
    nodeAdded = QtCore.Signal(object)
    nodeAddedByUser = QtCore.Signal(object)
    nodeAboutToBeRemoved = QtCore.Signal(object)

    nodeTypes = native_property("nodeTypes", (), list, _refill)
    hideChildNodeTypes = native_property("hideChildNodeTypes", (), list, _refill)
    showChildNodeTypes = native_property("showChildNodeTypes", default=True, on_change=_refill)
    showHidden = native_property("showHidden", default=False, on_change=_refill)
    noneEnabled = native_property("noneEnabled", default=False, on_change=_refill)
    noneDisplay = native_property("noneDisplay", NONE_TEXT, on_change=_refill)
    addEnabled = native_property("addEnabled", default=True, on_change=_refill)
    removeEnabled = native_property("removeEnabled", default=True, on_change=_refill)
    renameEnabled = native_property("renameEnabled", default=False, on_change=_refill)
    editEnabled = native_property("editEnabled", default=False)
    baseName = native_property("baseName", "")
    selectNodeUponCreation = native_property("selectNodeUponCreation", default=True)
    interactionNodeSingletonTag = native_property("interactionNodeSingletonTag", "")

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: Any = None
        self._id = ""
        self._attributes: dict[tuple[str, str], Any] = {}
        self._entries: list[str] = []
        self._fitting: dict[str, bool] = {}  # by the name of the class
        self._list = QtWidgets.QComboBox()
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._list)
        self._list.activated.connect(self._on_activated)

    # ---- scene

    def mrmlScene(self) -> Any:
        """Return the scene."""
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        """Fill the list from a scene."""
        self._scene = scene
        names = ("EndImportEvent", "EndCloseEvent", "EndBatchProcessEvent")
        followers = {
            getattr(slicer.vtkMRMLScene, name): lambda caller, event: self._refill()
            for name in names
        }

        @vtk.calldata_type(vtk.VTK_OBJECT)
        def on_node(caller: Any, event: str, node: Any) -> None:
            if self._is_of_a_listed_class(node):
                self._refill()

        followers[slicer.vtkMRMLScene.NodeAddedEvent] = on_node
        followers[slicer.vtkMRMLScene.NodeRemovedEvent] = on_node
        observe(self, "scene", scene, followers)
        self._refill(choose_first=True)

    def _fits(self, node: Any) -> bool:
        """Tell whether nodes of this class are listed."""
        kinds = self.nodeTypes
        fits = node.GetClassName() in kinds or (
            self.showChildNodeTypes and any(map(node.IsA, kinds))
        )
        return fits and not any(map(node.IsA, self.hideChildNodeTypes))

    def _is_of_a_listed_class(self, node: Any) -> bool:
        """`_fits`, asked once for each class of nodes."""
        name = node.GetClassName()
        fits = self._fitting.get(name)
        if fits is None:
            fits = self._fitting[name] = self._fits(node)
        return fits

    def _has_attributes(self, node: Any) -> bool:
        for (kind, attribute), value in self._attributes.items():
            if node.IsA(kind):
                found = node.GetAttribute(attribute)
                if found is None or (value is not None and found != value):
                    return False
        return True

    def _nodes(self) -> list[Any]:
        if self._scene is None or self._scene.IsClosing():
            return []
        hidden, found = self.showHidden, []
        for name, places in _places_by_class(self._scene).items():
            fits = self._fitting.get(name)
            if fits is None:
                fits = self._is_of_a_listed_class(self._scene.GetNthNode(places[0]))
            if fits:
                found += places
        nodes = [self._scene.GetNthNode(place) for place in sorted(found)]
        return [
            node
            for node in nodes
            if (hidden or not node.GetHideFromEditors()) and self._has_attributes(node)
        ]

    def _refill(self, choose_first: bool = False) -> None:
        """Make the entries again.

        A node that is added is not chosen by itself, also without the entry "None"; the first one
        is when a scene is set, or when the chosen node goes.
        """
        if self._scene is not None and self._scene.IsBatchProcessing():
            return
        nodes = self._nodes()
        self._entries = ([""] if self.noneEnabled else []) + [node.GetID() for node in nodes]
        self._list.clear()
        for node_id in self._entries:
            self._list.addItem(
                self._scene.GetNodeByID(node_id).GetName() if node_id else self.noneDisplay
            )
        if self.addEnabled:
            for kind in self.nodeTypes:
                self._list.addItem(f"Create new {self._label(kind)}", ("add", kind))
        wanted = self._id if self._id in self._entries else ""
        choose_first = choose_first or bool(self._id)
        if choose_first and not wanted and not self.noneEnabled and self._entries:
            wanted = self._entries[0]
        self._choose(wanted)

    def _choose(self, node_id: str) -> None:
        changed = node_id != self._id
        self._id = node_id
        self._list.setCurrentIndex(self._entries.index(node_id) if node_id in self._entries else -1)
        if changed:
            node = self.currentNode()
            self.currentNodeChanged[object].emit(node)
            self.currentNodeChanged[bool].emit(node is not None)
            self.currentNodeIDChanged.emit(node_id)

    def _on_activated(self, index: int) -> None:
        if index < len(self._entries):
            self._choose(self._entries[index])
            return
        node = self.addNode(self._list.itemData(index)[1])
        if node is not None:
            self.nodeAddedByUser.emit(node)

    # ---- what the real class offers

    def _label(self, kind: str) -> str:
        return self.__dict__.get("_labels", {}).get(kind) or kind.removeprefix(
            "vtkMRML"
        ).removesuffix("Node")

    def setNodeTypeLabel(self, label: str, kind: str) -> None:
        """Set the word for a class of nodes in the entries."""
        self.__dict__.setdefault("_labels", {})[kind] = label
        self._refill()

    def nodeTypeLabel(self, kind: str) -> str:
        """Return the word for a class of nodes."""
        return self._label(kind)

    def addAttribute(self, kind: str, attribute: str, value: Any = None) -> None:
        """List a node of this class only if it has the attribute, with this value if given."""
        self._attributes[kind, attribute] = value
        self._refill()

    def removeAttribute(self, kind: str, attribute: str) -> None:
        """Undo `addAttribute`."""
        self._attributes.pop((kind, attribute), None)
        self._refill()

    def addNode(self, kind: str | None = None) -> Any:
        """Add a node to the scene, as the entry "Create new" does."""
        kind = kind or self.nodeTypes[0]
        name = self._scene.GenerateUniqueName(self.baseName or self._label(kind))
        node = self._scene.AddNewNodeByClass(kind, name)
        for (owner, attribute), value in self._attributes.items():
            if node.IsA(owner) and value is not None:
                node.SetAttribute(attribute, value)
        self.nodeAdded.emit(node)
        self._refill()
        if self.selectNodeUponCreation:
            self.setCurrentNode(node)
        return node

    def removeCurrentNode(self) -> None:
        """Remove the chosen node from the scene."""
        node = self.currentNode()
        if node is not None:
            self.nodeAboutToBeRemoved.emit(node)
            self._scene.RemoveNode(node)

    def nodeCount(self) -> int:
        """Return the number of nodes listed."""
        return len([entry for entry in self._entries if entry])

    def nodeFromIndex(self, index: int) -> Any:
        """Return the node at a position of the list."""
        return self._scene.GetNodeByID([entry for entry in self._entries if entry][index])

    def setCurrentNodeIndex(self, index: int) -> None:
        """Choose the node at a position."""
        self.setCurrentNode(self.nodeFromIndex(index))

    def currentNode(self) -> Any:
        """Return the chosen node, or None."""
        return self._scene.GetNodeByID(self._id) if self._scene is not None and self._id else None

    def setCurrentNode(self, node: Any) -> None:
        """Choose a node, given by itself or by its id; one that is not listed means none."""
        node_id = node if isinstance(node, str) else node.GetID() if node is not None else ""
        self._choose(node_id if node_id in self._entries else "")

    def setCurrentNodeID(self, node_id: str) -> None:
        """Choose a node by its id."""
        self.setCurrentNode(node_id)

    currentNodeID = cpp_property(str, lambda self: self._id, setCurrentNodeID)
