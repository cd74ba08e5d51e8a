"""Jobs: work in a thread, callbacks on the main thread."""

from __future__ import annotations

import threading
import time

import pytest
from FetalEchoSegLib.errors import Cancelled
from FetalEchoSegLib.panel.jobs import Job

from .host import driver


class Recorder:
    """The callbacks of a job; each must come on the main thread."""

    def __init__(self):
        self.calls = []

    def _called(self, name):
        def call(*arguments):
            assert threading.current_thread() is threading.main_thread()
            self.calls.append((name, *arguments))

        return call

    def start(self, work):
        job = Job(work, *(self._called(name) for name in ("finished", "failed", "progress", "stopped")))
        job.start()
        return job

    def ends(self):
        return [call for call in self.calls if call[0] != "progress"]

    def wait(self, seconds=5):
        driver.wait_until(self.ends, seconds)
        driver.process_events()
        return self.ends()


@pytest.fixture
def recorder():
    return Recorder()


def test_work_runs_in_a_thread_and_its_result_comes_back(recorder):
    job = recorder.start(lambda report, cancelled: threading.current_thread())
    assert job.isRunning
    ((name, thread),) = recorder.wait()
    assert name == "finished"
    assert thread is not threading.main_thread()
    assert not job.isRunning


def test_an_error_comes_back_as_it_was(recorder):
    def work(report, cancelled):
        raise ValueError("no")

    recorder.start(work)
    ((name, error),) = recorder.wait()
    assert (name, str(error)) == ("failed", "no")


def test_cancel_lets_the_work_hand_over_what_it_has(recorder):
    def work(report, cancelled):
        while not cancelled():
            time.sleep(0.005)
        return "half"

    job = recorder.start(work)
    driver.process_events()
    job.cancel()
    assert recorder.wait() == [("finished", "half")]


def test_work_without_a_result_is_stopped(recorder):
    def work(report, cancelled):
        while not cancelled():
            time.sleep(0.005)
        raise Cancelled("Cancelled.")

    job = recorder.start(work)
    job.cancel()
    assert recorder.wait() == [("stopped",)]


def test_work_that_does_not_listen_is_left_to_itself_within_a_second(recorder):
    release = threading.Event()
    job = recorder.start(lambda report, cancelled: release.wait(20))
    began = time.monotonic()
    job.cancel()
    assert recorder.wait() == [("stopped",)]
    assert time.monotonic() - began < 1.5
    release.set()
    time.sleep(0.05)
    driver.process_events()
    assert recorder.ends() == [("stopped",)]


def test_an_abandoned_job_calls_nothing(recorder):
    job = recorder.start(lambda report, cancelled: report(1, 2, "half"))
    job.abandon()
    time.sleep(0.05)
    driver.process_events()
    assert recorder.calls == []


def test_a_progress_callback_may_abandon_the_job():
    calls = []
    job = Job(
        lambda report, cancelled: report(1, 2, "half"),
        lambda result: calls.append("finished"),
        lambda error: calls.append("failed"),
        lambda *progress: (calls.append("progress"), job.abandon()),
    )
    job.start()
    driver.wait_until(lambda: calls)
    time.sleep(0.05)
    driver.process_events()
    assert calls == ["progress"]


def test_the_time_left_leaves_out_what_came_before_the_first_report(recorder, monkeypatch):
    now = [100.0]
    job = Job(None, recorder._called("finished"), recorder._called("failed"), recorder._called("progress"))
    monkeypatch.setattr("FetalEchoSegLib.panel.jobs.time.monotonic", lambda: now[0])
    job._report(0, 0, "Loading")
    now[0] += 30
    job._report(0, 10, "0 of 10")
    now[0] += 0.2
    job._report(1, 10, "1 of 10")
    job._drain()
    now[0] += 1.8
    job._report(4, 10, "4 of 10")
    job._drain()
    assert recorder.calls == [
        ("progress", 1, 10, "1 of 10", None),
        ("progress", 4, 10, "4 of 10", pytest.approx(3.0)),
    ]


def test_the_application_answers_while_a_job_works(recorder):
    """A worker that computes in Python and never waits must not take the user interface away."""
    stop = threading.Event()

    def work(report, cancelled):
        count = 0
        while not stop.is_set():
            count += 1
        return count

    recorder.start(work)
    turns = 0
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        driver.process_events()
        turns += 1
    stop.set()
    ((name, count),) = recorder.wait()
    assert name == "finished"
    assert turns >= 3
    assert count > 100
