"""The stand-in of slicer.parameterNodeWrapper keeps typed values in the scene, and refuses others."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import pytest
import slicer
import vtk
from slicer import vtkMRMLNode, vtkMRMLTableNode, vtkMRMLTextNode
from slicer.parameterNodeWrapper import (
    Choice,
    Default,
    Maximum,
    Minimum,
    WithinRange,
    parameterNodeWrapper,
    parameterPack,
)


class Color(enum.Enum):
    RED = "r"
    BLUE = "b"


@parameterPack
class Window:
    low: float = 1.0
    high: Annotated[float, Maximum(100)] = 9.0


@parameterNodeWrapper
class Parameters:
    whole: int
    fraction: float = 0.5
    flag: bool = True
    text: str = "some"
    path: Path = Path("a/b")
    color: Color = Color.BLUE
    table: vtkMRMLTableNode
    either: vtkMRMLTableNode | vtkMRMLTextNode
    perhaps: int | None
    weeks: Annotated[float, WithinRange(10, 42)]
    count: Annotated[int, Minimum(3)]
    scale: Annotated[str, Choice(["mm", "px"])] = "px"
    frames: list[int]
    tables: list[vtkMRMLTableNode]
    names: Annotated[list[str], Default(generator=lambda: ["first"])]
    window: Window


@pytest.fixture
def node():
    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")


@pytest.fixture
def parameters(node):
    return Parameters(node)


def test_defaults(parameters):
    values = {name: getattr(parameters, name) for name in Parameters.allParameters}
    assert values == {
        "whole": 0,
        "fraction": 0.5,
        "flag": True,
        "text": "some",
        "path": Path("a/b"),
        "color": Color.BLUE,
        "table": None,
        "either": None,
        "perhaps": None,
        "weeks": 10.0,
        "count": 3,
        "scale": "px",
        "frames": [],
        "tables": [],
        "names": ["first"],
        "window": Window(1.0, 9.0),
    }


def test_values_come_back_from_the_node(node, parameters):
    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode")
    text = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode")
    values = {
        "whole": -7,
        "fraction": 0.1,
        "flag": False,
        "text": "Größe; ü",
        "path": Path("/c d/e"),
        "color": Color.RED,
        "table": table,
        "either": text,
        "perhaps": 4,
        "weeks": 22.5,
        "frames": [3, 1],
        "tables": [table, table],
        "window": Window(2.0, 3.0),
    }
    for name, value in values.items():
        setattr(parameters, name, value)
    again = Parameters(node)
    assert {name: getattr(again, name) for name in values} == values
    assert node.GetParameter("color") == "RED"
    again.perhaps = None
    assert parameters.perhaps is None


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("weeks", 9.0, ValueError),
        ("weeks", 43, ValueError),
        ("count", 2, ValueError),
        ("scale", "cm", ValueError),
        ("whole", 1.5, TypeError),
        ("whole", None, TypeError),
        ("text", 3, TypeError),
        ("color", "RED", TypeError),
        ("frames", [1, "2"], TypeError),
        ("unknown", 1, AttributeError),
    ],
)
def test_other_values_are_refused_and_change_nothing(parameters, name, value, error):
    before = getattr(parameters, name, None)
    with pytest.raises(error):
        setattr(parameters, name, value)
    assert getattr(parameters, name, None) == before


def test_other_nodes_are_refused(parameters):
    with pytest.raises(TypeError):
        parameters.table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode")


def test_changes_inside_lists_and_packs_are_kept(node, parameters):
    parameters.frames.append(5)
    parameters.frames.extend([6, 7])
    parameters.frames[0] = 4
    parameters.window.low = 2.5
    with pytest.raises(ValueError, match="101"):
        parameters.window.high = 101.0
    again = Parameters(node)
    assert again.frames == [4, 6, 7]
    assert again.window == Window(2.5, 9.0)
    assert again.getValue("window.low") == 2.5
    again.setValue("window.low", 3.5)
    assert parameters.window.low == 3.5


def test_observers_are_those_of_the_node(node, parameters):
    events = []
    tag = parameters.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda caller, event: events.append(caller))
    assert parameters.HasObserver(vtk.vtkCommand.ModifiedEvent)
    parameters.whole = 3
    parameters.whole = 3
    assert events == [node]
    with slicer.util.NodeModify(parameters):
        parameters.whole = 4
        parameters.text = "two changes, one event"
    assert len(events) == 2
    parameters.RemoveObserver(tag)
    parameters.whole = 5
    assert len(events) == 2


def test_two_prefixes_share_a_node(node):
    first, second = Parameters(node, "first"), Parameters(node, "second")
    first.whole = 8
    assert (first.whole, second.whole) == (8, 0)


def test_types_that_cannot_be_kept_are_refused_at_once():
    with pytest.raises(TypeError, match="'shape'"):

        @parameterNodeWrapper
        class _Unsupported:
            shape: vtk.vtkMatrix4x4

    with pytest.raises(ValueError, match="0"):

        @parameterNodeWrapper
        class _OutOfRange:
            count: Annotated[int, WithinRange(1, 2)] = 0


def test_wrapper_takes_parameter_nodes_only():
    with pytest.raises(TypeError, match="vtkMRMLScriptedModuleNode"):
        Parameters(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode"))
    assert issubclass(vtkMRMLTableNode, vtkMRMLNode)
