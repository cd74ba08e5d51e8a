"""Keys of the Result section, pressed where a sonographer's hands are."""

from __future__ import annotations

import numpy as np
import pytest
import slicer

from .host import driver
from .results import makeCine, makeResult

CONFIDENCE = np.array([0.97, 0.96, 0.97, 0.5, 0.96, 0.97, 0.96, 0.95, 0.7, 0.6, 0.97, 0.96])
KEYS = ["A", "C", "D", "N", "Shift+N"]


@pytest.fixture
def panel():
    return driver.open_module("FetalEchoSeg")


@pytest.fixture
def browser(panel):
    logic = panel.self().logic
    browser = logic.addCine(makeCine(12), "Clip")
    logic.getParameterNode().browser = browser
    logic.addPrediction(makeResult(logic.cine(browser), CONFIDENCE), browser)
    driver.process_events()
    return browser


def installed():
    window = slicer.util.mainWindow()
    return sorted(k.key.toString() for k in window.findChildren("QShortcut") if k.parent() is window and k.enabled)


def test_keys_step_and_stop_at_the_ends(panel, browser):
    visited = []
    for key in ("D", "D", "A", "A", "A"):
        driver.key(driver.main_window(), key)
        visited.append(browser.GetSelectedItemNumber())
    assert visited == [1, 2, 1, 0, 0]


def test_keys_go_through_the_frames_to_check(panel, browser):
    visited = []
    for key in ("N", "N", "N", "N", "Shift+N"):
        driver.key(driver.main_window(), key)
        visited.append(browser.GetSelectedItemNumber())
    assert visited == [3, 8, 9, 3, 9]


def test_one_key_accepts_and_goes_on_until_nothing_is_left(panel, browser):
    logic = panel.self().logic
    driver.key(driver.main_window(), "N")
    for expected in (8, 9, 9):
        driver.key(driver.main_window(), "C")
        assert browser.GetSelectedItemNumber() == expected
    assert logic.acceptedFrames(browser) == [3, 8, 9]
    assert panel.ui.reviewLabel.text == "No frame needs a look."
    assert panel.ui.statusLabel.text == "No other frame needs a look."


def test_keys_work_while_a_slice_view_has_the_focus(panel, browser):
    view = slicer.app.layoutManager().sliceWidget("Red").sliceView()
    view.setFocus()
    driver.key(view, "D")
    assert browser.GetSelectedItemNumber() == 1


def test_letters_typed_into_a_text_field_stay_there(panel, browser):
    import qt

    field = qt.QLineEdit()
    panel.self().sections["ResultSection"].widget.layout().addWidget(field)
    field.show()
    for key in ("D", "N", "C", "A"):
        driver.key(field, key)
    assert field.text.lower() == "dnca"
    assert browser.GetSelectedItemNumber() == 0
    assert panel.self().logic.acceptedFrames(browser) == []


def test_keys_are_there_only_while_the_module_is_open(panel):
    assert installed() == KEYS
    driver.leave_module()
    assert installed() == []
    driver.open_module("FetalEchoSeg")
    assert installed() == KEYS
    driver.reload_module("FetalEchoSeg")
    assert installed() == KEYS


def test_keys_do_nothing_without_a_clip(panel):
    for key in KEYS:
        driver.key(driver.main_window(), key)


def test_the_play_widget_leaves_its_keys_to_slicers_toolbar(panel, browser):
    shortcuts = panel.ui.resultPlayWidget.findChildren("QShortcut")
    assert len(shortcuts) == 3
    assert not any(shortcut.enabled for shortcut in shortcuts)


def test_no_key_is_one_of_slicers():
    editor = {*"1234567890ZYQWI", "Esc", "Space", "/", "*", ",", ".", "<", ">", *(f"Shift+{k}" for k in "1234567890")}
    sliceViews = {*"GTFBVR", "[", "]", "{", "}", "Left", "Right", "Up", "Down", "Shift+V"}
    threeD = {*"RFPSWEUL3"}
    assert not set(KEYS) & (editor | sliceViews | threeD)
