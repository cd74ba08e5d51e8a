"""The host for every test of a panel; what goes wrong in it without an exception fails the test.

The host starts when the first of these files is collected, not when pytest reads this one: a run of all tests reads
it as well, and leaves the panel's tests to a second process (../panel_process.py).
"""

from __future__ import annotations

import importlib.util
import os
import sys

import pytest

_EXIT_STATUS = pytest.StashKey[int]()
_HOST_IS_UP = pytest.StashKey[bool]()


def pytest_collect_file(parent):
    for module, package in (("slicer", "slicer-core"), ("PySide6", "PySide6-Essentials")):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"panel tests need the {package} package", allow_module_level=True)
    from .host import boot

    boot.start()
    parent.config.stash[_HOST_IS_UP] = True


@pytest.fixture(autouse=True)
def host():
    """The driver, on an empty scene, in the usual layout, with no module open and no settings."""
    from FetalEchoSegLib.scene.headless import collectedVtkErrors

    from .host import boot, desktop, driver, leaks, pythonqt

    driver.reset_layout()
    driver.close_scene()
    driver.set_theme("light")
    pythonqt.slot_errors.clear()
    desktop.dialogs.reset()
    desktop.opened_urls.clear()
    desktop.clear_settings()
    watch = leaks.Watch([boot.REPOSITORY / name for name in boot.EXTENSION_MODULES])
    with collectedVtkErrors() as vtk_errors:
        yield driver
        driver.process_events()
        driver.unload_panels()
        driver.close_editors()
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
    if _HOST_IS_UP in config.stash:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(config.stash.get(_EXIT_STATUS, 1))
