"""Shared fixtures."""

from __future__ import annotations

import sys
from pathlib import Path

# Helpers shared by the folders of tests.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from panel_process import pytest_configure, pytest_ignore_collect, pytest_runtestloop  # noqa: F401 - pytest's hooks
