"""The host opens the extension's modules, and its driver does what a user's hands do."""

from __future__ import annotations

import pytest
import slicer

from .host import driver


def test_the_extension_is_loaded_and_its_panel_opens():
    panel = driver.open_module("FetalEchoSeg")
    assert type(panel.self()).__name__ == "FetalEchoSegWidget"
    assert panel.widget.isEntered
    assert slicer.util.selectedModule() == "FetalEchoSeg"
    driver.leave_module()
    assert not panel.widget.isEntered


def test_a_widget_that_is_not_there_is_named():
    panel = driver.open_module("FetalEchoSeg")
    with pytest.raises(AttributeError, match="0 widgets are called 'noSuchButton'"):
        panel.ui.noSuchButton  # noqa: B018
