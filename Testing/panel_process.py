"""Runs the panel's tests in a process of their own, within one pytest run and one summary.

The scene's tests need a process without Qt, the panel's one with Qt, and both know only one scene for its life. A
second pytest therefore runs the panel's tests and sends its reports here, as pytest-xdist does.

Testing/conftest.py takes these hooks over. Nothing of this happens where a run has only one of the two kinds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

PANEL = Path(__file__).resolve().parent / "panel"
_REPORTS_VARIABLE = "FETALECHO_PANEL_REPORTS"
_ARGUMENTS = pytest.StashKey[list[str]]()


def pytest_configure(config):
    reports = os.environ.pop(_REPORTS_VARIABLE, None)
    if reports is not None:
        config.pluginmanager.register(_Sender(config, Path(reports)))
        return
    inside, outside, above = [], [], False
    for argument in config.args:
        path = Path(config.invocation_params.dir, argument.split("::")[0]).resolve()
        (inside if path.is_relative_to(PANEL) else outside).append(argument)
        above = above or PANEL.is_relative_to(path)
    if outside and (inside or above):
        options = list(config.invocation_params.args)
        if config.args_source == pytest.Config.ArgsSource.ARGS:
            for argument in config.args:  # from the right: an option may have the same text as its value
                del options[len(options) - 1 - options[::-1].index(argument)]
        config.stash[_ARGUMENTS] = options + ([str(PANEL)] if above else inside)
        config.args[:] = outside


def pytest_ignore_collect(collection_path, config):
    return True if _ARGUMENTS in config.stash and collection_path == PANEL else None


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session):
    result = yield
    arguments = session.config.stash.get(_ARGUMENTS, None)
    if arguments is not None and not session.config.option.collectonly and not session.shouldstop:
        _run(session, arguments)
    return result


def _run(session, arguments):
    config = session.config
    with tempfile.TemporaryDirectory(prefix="fetalecho-panel-") as folder:
        reports, output = Path(folder, "reports"), Path(folder, "output")
        command = [sys.executable, "-m", "pytest", *arguments]
        with output.open("w") as stream:
            environment = os.environ | {_REPORTS_VARIABLE: str(reports)}
            done = subprocess.run(
                command, cwd=config.invocation_params.dir, env=environment, stdout=stream, stderr=subprocess.STDOUT
            )
        lines = reports.read_text().splitlines() if reports.exists() else []
        for line in lines:
            _replay(session, json.loads(line))
        no_tests = pytest.ExitCode.NO_TESTS_COLLECTED
        if done.returncode not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, no_tests):
            raise pytest.UsageError(
                f"the panel's tests ended with status {done.returncode}:\n{output.read_text()[-10000:]}"
            )


def _replay(session, data):
    hook = session.config.hook
    if "nodeids" in data:
        session.testscollected += len(data["nodeids"])
        return
    report = hook.pytest_report_from_serializable(config=session.config, data=data)
    if isinstance(report, pytest.CollectReport):
        hook.pytest_collectreport(report=report)
        return
    if report.when == "setup":
        hook.pytest_runtest_logstart(nodeid=report.nodeid, location=report.location)
    hook.pytest_runtest_logreport(report=report)
    if report.when == "teardown":
        hook.pytest_runtest_logfinish(nodeid=report.nodeid, location=report.location)


class _Sender:
    """In the second process: writes each report as a line of JSON."""

    def __init__(self, config, path):
        self._config = config
        self._stream = path.open("w", buffering=1)

    def _send(self, data):
        self._stream.write(json.dumps(data) + "\n")

    def pytest_collection_finish(self, session):
        self._send({"nodeids": [item.nodeid for item in session.items]})

    def pytest_collectreport(self, report):
        if report.outcome != "passed":
            self._send(self._config.hook.pytest_report_to_serializable(config=self._config, report=report))

    def pytest_runtest_logreport(self, report):
        self._send(self._config.hook.pytest_report_to_serializable(config=self._config, report=report))
