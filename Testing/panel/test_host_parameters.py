"""Widgets and parameters follow each other, by the connectors that Slicer has."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import ctk
import pytest
import qt
import slicer
from slicer import vtkMRMLTableNode
from slicer.parameterNodeWrapper import Choice, Decimals, SingleStep, WithinRange, parameterNodeWrapper, parameterPack

from .host import driver


class Color(enum.Enum):
    RED = "r"
    BLUE = "b"

    def label(self):
        return self.name.title()


@parameterPack
class Range:
    low: Annotated[int, WithinRange(0, 50)] = 10


@parameterNodeWrapper
class Parameters:
    whole: Annotated[int, WithinRange(0, 9)] = 2
    fraction: Annotated[float, WithinRange(0, 1), Decimals(3), SingleStep(0.1)] = 0.5
    weeks: float = 20.0
    flag: bool = False
    button: bool = True
    text: str = "some"
    path: Path = Path("a")
    color: Color = Color.BLUE
    unit: Annotated[str, Choice(["mm", "px"])] = "px"
    table: vtkMRMLTableNode
    range: Range


def make(kind, name):
    widget = kind()
    widget.setObjectName(f"{name}Widget")
    widget.setProperty("SlicerParameterName", name)
    return widget


@pytest.fixture
def form():
    form = qt.QWidget()
    layout = qt.QFormLayout(form)
    for name, kind in {
        "whole": qt.QSpinBox,
        "fraction": ctk.ctkSliderWidget,
        "weeks": qt.QDoubleSpinBox,
        "flag": qt.QCheckBox,
        "button": qt.QPushButton,
        "text": qt.QLineEdit,
        "path": ctk.ctkPathLineEdit,
        "color": qt.QComboBox,
        "unit": ctk.ctkComboBox,
        "table": slicer.qMRMLNodeComboBox,
        "range.low": qt.QSlider,
    }.items():
        layout.addRow(name, make(kind, name))
    driver.find(form, "tableWidget").setMRMLScene(slicer.mrmlScene)
    form.show()
    yield form
    form.deleteLater()


@pytest.fixture
def parameters():
    return Parameters(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode"))


def test_widgets_show_the_parameters_and_take_their_limits(form, parameters):
    tag = parameters.connectGui(form)
    ui = slicer.util.childWidgetVariables(form)
    assert (ui.wholeWidget.value, ui.wholeWidget.minimum, ui.wholeWidget.maximum) == (2, 0, 9)
    assert (ui.fractionWidget.value, ui.fractionWidget.maximum, ui.fractionWidget.decimals) == (0.5, 1.0, 3)
    assert ui.fractionWidget.singleStep == 0.1
    assert ui.weeksWidget.value == 20.0
    assert (ui.flagWidget.checked, ui.buttonWidget.checked) == (False, True)
    assert ui.textWidget.text == "some"
    assert ui.pathWidget.currentPath == "a"
    assert ui.colorWidget.currentText == "Blue"
    assert ui.unitWidget.currentText == "px"
    assert ui.tableWidget.currentNode() is None
    assert driver.find(form, "range.lowWidget").value == 10
    parameters.disconnectGui(tag)


def test_users_changes_reach_the_node(form, parameters):
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", "Table")
    tag = parameters.connectGui(slicer.util.childWidgetVariables(form))
    driver.type_text(driver.find(form, "wholeWidget"), "7")
    driver.type_text(driver.find(form, "weeksWidget"), "31.5")
    driver.type_text(driver.find(form, "textWidget"), "other")
    driver.click(driver.find(form, "flagWidget"))
    driver.click(driver.find(form, "buttonWidget"))
    driver.choose(driver.find(form, "colorWidget"), "Red")
    driver.choose(driver.find(form, "unitWidget"), "mm")
    driver.choose(driver.find(form, "tableWidget"), "Table")
    driver.find(form, "fractionWidget").setValue(0.25)
    driver.find(form, "range.lowWidget").setValue(33)
    driver.find(form, "pathWidget").currentPath = "/b/c"
    assert (parameters.whole, parameters.weeks, parameters.text) == (7, 31.5, "other")
    assert (parameters.flag, parameters.button) == (True, False)
    assert (parameters.color, parameters.unit) == (Color.RED, "mm")
    assert parameters.table.GetName() == "Table"
    assert (parameters.fraction, parameters.range.low) == (0.25, 33)
    assert parameters.path == Path("/b/c")
    parameters.disconnectGui(tag)


def test_the_nodes_changes_reach_the_widgets_until_disconnected(form, parameters):
    tag = parameters.connectGui(form)
    text, whole = driver.find(form, "textWidget"), driver.find(form, "wholeWidget")
    parameters.text = "new"
    parameters.whole = 4
    assert (text.text, whole.value) == ("new", 4)
    parameters.disconnectGui(tag)
    parameters.text = "newer"
    whole.setValue(9)
    assert text.text == "new"
    assert parameters.whole == 4


@pytest.mark.parametrize(
    ("kind", "name"),
    [(qt.QRadioButton, "flag"), (qt.QPlainTextEdit, "text"), (qt.QLineEdit, "whole"), (qt.QSlider, "fraction")],
)
def test_pairs_that_slicer_cannot_connect_are_refused(parameters, kind, name):
    with pytest.raises(RuntimeError, match="no GUI connector"):
        parameters.connectParametersToGui({name: kind()})


def test_subclasses_of_a_widget_have_no_connector(parameters):
    class Line(qt.QLineEdit):
        pass

    with pytest.raises(RuntimeError, match="no GUI connector"):
        parameters.connectParametersToGui({"text": Line()})


def test_sliders_need_a_range(parameters):
    with pytest.raises(RuntimeError, match="needs a range"):
        parameters.connectParametersToGui({"weeks": ctk.ctkSliderWidget()})
