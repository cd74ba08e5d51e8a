"""The host for every test of a panel; what goes wrong in it without an exception fails the test."""

from __future__ import annotations

import os
import sys

import pytest

pytest.importorskip("slicer", reason="panel tests need the slicer-core package")
pytest.importorskip("PySide6", reason="panel tests need the PySide6-Essentials package")

from .host import boot, desktop, driver, leaks, pythonqt

boot.start()  # before test modules import qt or slicer's nodes

WATCHED = [boot.REPOSITORY / name for name in boot.EXTENSION_MODULES]
_EXIT_STATUS = pytest.StashKey[int]()


@pytest.fixture(autouse=True)
def host():
    """The driver, on an empty scene, with no module open and no settings."""
    from FetalEchoSegLib.scene.headless import collectedVtkErrors

    driver.close_scene()
    driver.set_theme("light")
    pythonqt.slot_errors.clear()
    desktop.dialogs.reset()
    desktop.opened_urls.clear()
    desktop.clear_settings()
    watch = leaks.Watch(WATCHED)
    with collectedVtkErrors() as vtk_errors:
        yield driver
        driver.process_events()
        driver.unload_panels()
        driver.close_scene()
    left = watch.leaks()
    assert not pythonqt.slot_errors, "errors in slots:\n" + "\n".join(pythonqt.slot_errors)
    assert not desktop.dialogs.pending, f"dialogs that never came: {list(desktop.dialogs.pending)}"
    assert not vtk_errors, vtk_errors
    assert not left, "left behind after cleanup:\n" + "\n".join(left)


def pytest_sessionfinish(session, exitstatus):
    session.config.stash[_EXIT_STATUS] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config):
    """Leave without the destructors of Qt and VTK, which crash in the order in which Python calls them."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(config.stash.get(_EXIT_STATUS, 1))
