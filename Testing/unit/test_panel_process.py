"""Two processes, one summary: what Testing/panel_process.py promises."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTING = Path(__file__).resolve().parents[1]
TESTS = {
    "unit/test_plain.py": "import os\ndef test_pid(): open('pids', 'a').write(f'{os.getpid()} ')\n",
    "panel/test_panel.py": (
        "import os, pytest\n"
        "def test_pid(): open('pids', 'a').write(f'{os.getpid()} ')\n"
        "def test_fails(): assert 'expected' == 'found'\n"
        "@pytest.mark.skip\n"
        "def test_skipped(): pass\n"
    ),
}


@pytest.fixture
def project(tmp_path):
    for name in ("conftest.py", "panel_process.py"):
        shutil.copy(TESTING / name, tmp_path)
    for name, text in TESTS.items():
        path = tmp_path / name
        path.parent.mkdir()
        path.write_text(text)
    return tmp_path


def run(folder, *arguments):
    """(exit status, last line, all output) of pytest in ``folder``."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(folder), "-q", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout.splitlines()[-1], done.stdout + done.stderr


@pytest.mark.parametrize("arguments", [["unit", "panel"], []])
def test_both_kinds_run_in_two_processes_under_one_summary(project, arguments):
    status, summary, output = run(project, *arguments)
    assert summary.startswith("1 failed, 2 passed, 1 skipped in "), output
    assert status == 1
    assert "assert 'expected' == 'found'" in output
    assert len(set((project / "pids").read_text().split())) == 2


def test_selection_holds_in_both(project):
    status, summary, output = run(project, "unit", "panel", "-k", "pid")
    assert (status, summary.split(" in ")[0]) == (0, "2 passed"), output


def test_one_kind_alone_runs_in_one_process(project):
    _, summary, _ = run(project, "panel/test_panel.py::test_pid")
    assert summary.startswith("1 passed")


def test_a_crash_of_the_second_process_fails_the_run(project):
    (project / "panel" / "test_crash.py").write_text("import os\nprint('last words', flush=True)\nos._exit(9)\n")
    status, _, output = run(project, "unit", "panel")
    assert status != 0
    assert "the panel's tests ended with status 9" in output
