"""The errors a user meets: one sentence each, written for the person at the scanner.

Every message says what is wrong, with which file or value, and what to do about it. They are raised where
the fact is known and caught only at an edge that can act: the command line, a panel, a worker.
"""

from __future__ import annotations


class FetalEchoError(Exception):
    """Base of everything FetalEcho raises on purpose; ``str(error)`` is the sentence to show."""


class UnreadableInput(FetalEchoError):
    """An input file is damaged, empty, of another kind, or breaks its own format."""


class MissingDependency(FetalEchoError):
    """An optional package (decoder, video library, torch) is needed for this input and is not installed."""


class UnusableBundle(FetalEchoError):
    """A model bundle or a foreign checkpoint is damaged, of another architecture, or not safe to load."""


class UnwritableOutput(FetalEchoError):
    """Output could not be written (read-only folder, full disk); nothing half-written was left behind."""


class InvalidDataset(FetalEchoError):
    """A FETUS-layout dataset or a prediction folder breaks the layout's rules."""


class InvalidConfig(FetalEchoError):
    """A training configuration has an unknown key, or a value of the wrong kind or range."""


class InvalidRequest(FetalEchoError):
    """The caller asked for something impossible: an unknown view, a frame range outside the clip."""


class NotMeasurable(FetalEchoError):
    """A measure cannot be given for this image; the message is the reason shown in its row."""


class Cancelled(FetalEchoError):
    """The user stopped a run; whatever was finished before is kept by the caller."""
