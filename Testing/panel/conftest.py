"""The host for every test of a panel: an empty scene, light theme, no module open; what went wrong unseen fails the test."""

from __future__ import annotations

import gc
import os
import sys

import pytest

pytest.importorskip("slicer", reason="panel tests need the slicer-core package")
pytest.importorskip("PySide6", reason="panel tests need the PySide6-Essentials package")

from .host import boot, desktop, driver, pythonqt

boot.start()  # before test modules import slicer's nodes or qt


@pytest.fixture(autouse=True)
def host():
    """The driver, on an empty scene."""
    import slicer
    from FetalEchoSegLib.scene.headless import collectedVtkErrors

    driver.leave_module()
    driver.close_scene()
    pythonqt.slot_errors.clear()
    desktop.dialogs.reset()
    desktop.clear_settings()
    with collectedVtkErrors() as vtk_errors:
        yield driver
        driver.process_events()
        driver.leave_module()
        slicer.mrmlScene.Clear(0)
        driver.process_events()
    assert not pythonqt.slot_errors, "errors in slots:\n" + "\n".join(pythonqt.slot_errors)
    assert not desktop.dialogs.pending, f"dialogs that never came: {list(desktop.dialogs.pending)}"
    assert not vtk_errors, vtk_errors


def pytest_sessionfinish(session, exitstatus):
    session.config.stash[_EXIT] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config):
    """Leave without the destructors of Qt and VTK, whose order Python does not know: they crash after an error."""
    gc.collect()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(config.stash.get(_EXIT, 1))


_EXIT = pytest.StashKey[int]()
