"""Where networks run: a choice for this machine, kept in its settings and not with the scene."""

from __future__ import annotations

import qt
import slicer

AUTOMATIC = "auto"
_KEY = "FetalEcho/Device"


def deviceSetting() -> str:
    """The chosen device, as ``devices.choose_device`` takes it."""
    return slicer.util.settingsValue(_KEY, AUTOMATIC, str) or AUTOMATIC


def setDeviceSetting(device: str) -> None:
    """Keep the choice."""
    qt.QSettings().setValue(_KEY, device)
