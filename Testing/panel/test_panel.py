"""The panel as a whole: its width, its words, a Slicer without a main window."""

from __future__ import annotations

import numpy as np
import pytest
from FetalEchoSegLib.anatomy import View

from .host import driver
from .results import makeCine, makeResult

# What a user works with; parts of composite widgets are explained by the whole.
_CONTROLS = ("QAbstractButton", "QComboBox", "QAbstractSpinBox", "QAbstractSlider", "QLineEdit", "QAbstractItemView")
_SLICERS_OWN = ("qMRMLSequenceBrowserPlayWidget", "qMRMLSegmentEditorWidget")
_HEADLINES = ("ctkCollapsibleButton", "ctkCollapsibleGroupBox")


def show(view=View.FOUR_CHAMBER):
    """(panel, logic, masks) with a result."""
    panel = driver.open_module("FetalEchoSeg")
    logic, cine = panel.self().logic, makeCine(10)
    browser = logic.addCine(cine, "Clip")
    # Qt would like labels that wrap to be wider, the more they have to say.
    notes = tuple(f"Note {number} of what is to be known of this result, in a sentence of its own." for number in "123")
    masks = logic.addPrediction(makeResult(cine, np.linspace(0.4, 0.99, 10), view, notes=notes), browser)
    parameters = logic.getParameterNode()
    parameters.browser, parameters.masks, parameters.gestationalAge = browser, masks, 22.0
    driver.wait_until(lambda: panel.ui.measureTable.rowCount and not panel.self().state.isBusy, 30)
    return panel, logic, masks


def controls(widget):
    """Every control in ``widget``, with the widgets it lies in."""
    stack = [(child, ()) for child in widget.children()]
    while stack:
        child, around = stack.pop()
        if not child.inherits("QWidget"):
            continue
        if any(child.inherits(kind) for kind in _CONTROLS) and not child.inherits("QHeaderView"):
            yield child, around
        stack += [(inner, (child, *around)) for inner in child.children()]


def test_every_control_explains_itself():
    panel, _, _ = show()
    silent = [
        control.objectName or control.className()
        for control, around in controls(panel.widget)
        if control.className() not in _HEADLINES
        and not any(widget.toolTip for widget in (control, *around) if widget.className() not in _HEADLINES)
        and not any(widget.className() in _SLICERS_OWN for widget in around)
    ]
    assert silent == []


@pytest.mark.parametrize("view", list(View), ids=lambda view: view.short)
def test_the_panel_fits_a_narrow_window(view):
    panel, _, _ = show(view)
    sections = panel.self().sections
    widths = {name: section.widget.minimumSizeHint.width() for name, section in sections.items()}
    assert {name: width for name, width in widths.items() if width > 350} == {}


def test_without_a_main_window_it_works_all_the_same():
    with driver.no_main_window():
        panel, logic, masks = show()
        state = panel.self().state
        driver.key(panel, "D")
        assert state.frame == 1
        driver.click(panel.ui.acceptButton)
        assert logic.acceptedFrames(masks) == [1]
        panel.ui.pathLineEdit.setCurrentPath("/nowhere/clip.dcm")
        driver.click(panel.ui.loadButton)
        driver.wait_until(lambda: not state.isBusy, 10)
        assert "/nowhere/clip.dcm" in panel.ui.statusLabel.text
        driver.unload_panels()
