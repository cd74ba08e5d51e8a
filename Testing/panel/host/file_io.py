"""``slicer.app.coreIOManager()``: reading and writing nodes and scenes with slicer-core's own storage nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer
from PySide6 import QtCore

from .pythonqt import PySignal, cpp_class

# File type -> node class and storage class; volumes go through their logic.
_STORED = {
    "SegmentationFile": ("vtkMRMLSegmentationNode", "vtkMRMLSegmentationStorageNode"),
    "TableFile": ("vtkMRMLTableNode", "vtkMRMLTableStorageNode"),
    "TransformFile": ("vtkMRMLTransformNode", "vtkMRMLTransformStorageNode"),
    "MarkupsFile": ("vtkMRMLMarkupsFiducialNode", "vtkMRMLMarkupsJsonStorageNode"),
}
_SUFFIXES = {
    ".mrb": "SceneFile",
    ".mrml": "SceneFile",
    ".seg.nrrd": "SegmentationFile",
    ".seq.nrrd": "SequenceFile",
    ".seq.mrb": "SequenceFile",
    ".mrk.json": "MarkupsFile",
    ".nrrd": "VolumeFile",
    ".nii": "VolumeFile",
    ".nii.gz": "VolumeFile",
    ".mha": "VolumeFile",
    ".csv": "TableFile",
    ".tsv": "TableFile",
    ".h5": "TransformFile",
}


@cpp_class
class qSlicerIOManager(QtCore.QObject):
    newFileLoaded = PySignal("newFileLoaded(qSlicerIO::IOProperties)")

    def __init__(self, scene: Any) -> None:
        super().__init__()
        self._scene = scene

    def extractKnownExtension(self, fileName: Any, node: Any = None) -> str:
        name = Path(fileName).name.lower()
        known = [suffix for suffix in _SUFFIXES if name.endswith(suffix)]
        return max(known, key=len) if known else Path(name).suffix

    def fileType(self, fileName: Any) -> str:
        return _SUFFIXES.get(self.extractKnownExtension(fileName), "NoFile")

    def fileWriterFileType(self, node: Any, ext: str = "") -> str:
        return "NodeFile"

    def loadScene(self, fileName: Any, clear: bool = True) -> bool:
        return self.loadNodes("SceneFile", {"fileName": fileName, "clear": clear})

    def saveScene(self, fileName: Any, screenShot: Any = None) -> bool:
        return self.saveNodes("SceneFile", {"fileName": fileName})

    def loadNodes(self, fileType: str, parameters: dict, loadedNodes: Any = None, userMessages: Any = None) -> bool:
        node = self._load(fileType, str(parameters["fileName"]), parameters)
        if node is None:
            return False
        if loadedNodes is not None and node is not True:
            loadedNodes.AddItem(node)
        return True

    def saveNodes(self, fileType: str, parameters: dict, userMessages: Any = None) -> bool:
        path = str(parameters["fileName"])
        if fileType == "SceneFile":
            if path.endswith(".mrb"):
                return bool(self._scene.WriteToMRB(path))
            return bool(self._scene.Commit(path))
        node = self._scene.GetNodeByID(parameters["nodeID"])
        if node.GetStorageNode() is None:
            node.AddDefaultStorageNode(path)
        storage = node.GetStorageNode()
        storage.SetFileName(path)
        return bool(storage.WriteData(node))

    def _load(self, fileType: str, path: str, parameters: dict) -> Any:
        """The node, True for a scene, None when it could not be read."""
        name = parameters.get("name") or Path(path).name.split(".")[0]
        if fileType == "SceneFile":
            clear = bool(parameters.get("clear", False))
            if path.endswith(".mrb"):
                return self._scene.ReadFromMRB(path, clear) or None
            self._scene.SetURL(path)
            return bool(self._scene.Connect() if clear else self._scene.Import()) or None
        if fileType == "VolumeFile":
            return slicer.modules.volumes.logic().AddArchetypeVolume(path, name, int(parameters.get("labelmap", False)))
        if fileType == "SequenceFile":
            return slicer.modules.sequences.logic().AddSequence(path)
        nodeClass, storageClass = _STORED[fileType]
        node = self._scene.AddNewNodeByClass(nodeClass, name)
        storage = self._scene.AddNewNodeByClass(storageClass)
        storage.SetFileName(path)
        if not storage.ReadData(node):
            self._scene.RemoveNode(node)
            self._scene.RemoveNode(storage)
            return None
        node.SetAndObserveStorageNodeID(storage.GetID())
        if node.IsA("vtkMRMLDisplayableNode"):
            node.CreateDefaultDisplayNodes()
        return node
