"""One session of clicks for all editors of the application: one model in memory, embeddings computed once."""

from __future__ import annotations

from typing import Any

import qt
import slicer

from ..scene.click_session import ClickSession

_MODEL = "FetalEcho/ClickModel"

_users: list[Any] = []
_session: ClickSession | None = None


def retainSession(user: Any) -> ClickSession:
    """The session that all editors share; it lives until every user has called ``releaseSession``."""
    global _session
    if user not in _users:
        _users.append(user)
    if _session is None:
        _session = ClickSession()
    return _session


def releaseSession(user: Any) -> None:
    """Say that ``user`` does not need the session any more; after the last one its model is forgotten."""
    global _session
    if user in _users:
        _users.remove(user)
    if not _users and _session is not None:
        _session.close()
        _session = None


def clickModelSetting() -> str:
    """Name of the model that answers clicks on this machine, "" for the default one."""
    return slicer.util.settingsValue(_MODEL, "", str) or ""


def setClickModelSetting(name: str) -> None:
    """Keep the choice."""
    qt.QSettings().setValue(_MODEL, name)
