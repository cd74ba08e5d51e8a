"""The host offers no name that Slicer lacks."""

import json
from pathlib import Path

import pytest
from PySide6 import QtCore, QtWidgets

from .host import names, surface
from .host.pythonqt import PySignal

SHARED = Path(__file__).resolve().parents[3] / "shared" / "slicer_api" / "widgets.json"


def test_no_class_of_the_host_offers_what_slicer_lacks():
    classes = surface.host_classes()
    assert len(classes) > 40
    assert [violation for name in sorted(classes) for violation in surface.violations(classes[name])] == []


class ctkSliderWidget(QtWidgets.QWidget):
    valueChanged = PySignal("valueChanged(int)")
    rangeChanged = PySignal("rangeChanged(double,double)")
    value = QtCore.Property(float, lambda self: 0.0, lambda self, value: None)
    mood = QtCore.Property(str, lambda self: "")

    def setRange(self, low, high):
        pass

    def minimum(self):
        pass

    def reset(self):
        pass

    def sizeHint(self):
        pass


class ctkDoubleSpinBox(QtWidgets.QDoubleSpinBox):
    cleanText = QtCore.Property(str, lambda self: "", lambda self, value: None)


class ctkInvented(QtWidgets.QWidget):
    pass


def test_every_kind_of_dishonesty_is_found():
    assert list(surface.violations(ctkSliderWidget)) == [
        "ctkSliderWidget.minimum: a property in Slicer",
        "ctkSliderWidget.mood: not in Slicer",
        "ctkSliderWidget.rangeChanged: not in Slicer",
        "ctkSliderWidget.setRange: not in Slicer",
        "ctkSliderWidget: no signal valueChanged(int) in Slicer",
    ]
    assert list(surface.violations(ctkDoubleSpinBox)) == [
        "ctkDoubleSpinBox: is a QDoubleSpinBox here, and a QWidget in Slicer",
        "ctkDoubleSpinBox.cleanText: cannot be written in Slicer",
    ]
    assert len(list(surface.violations(ctkInvented))) == 1


def test_inherited_names_count():
    assert {"text", "setText", "clicked", "objectName", "connect"} <= names.attributes("ctkCollapsibleButton")
    assert {"clicked(bool)", "destroyed(QObject*)"} <= names.signals("ctkCollapsibleButton")


@pytest.mark.skipif(not SHARED.is_file(), reason="the full table of Slicer's names is not beside the repository")
def test_the_table_is_an_extract_of_slicers_names():
    widgets = json.loads(SHARED.read_text(encoding="utf-8"))
    python = json.loads(SHARED.with_name("python.json").read_text(encoding="utf-8"))
    committed = json.loads(names.SLICER_TABLE.read_text(encoding="utf-8"))
    assert committed == surface.extract(widgets, python, set(surface.host_classes()))
