"""What the sections of the training panel share: folders of this machine, and the run that is looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qt
import slicer
from FetalEchoSegLib.panel.signals import Signal

_DATASET_SETTING, _RUNS_SETTING = "FetalEcho/TrainingDataset", "FetalEcho/TrainingRuns"


class TrainState:
    """Folders are choices of this machine, not of the scene.

    busyChanged     a job began or ended                datasetChanged  another folder, or another content
    runChanged      another run is selected             runsChanged     another folder, or a run came or went
    statusChanged   of the selected run
    """

    def __init__(self) -> None:
        self.busyChanged = Signal()
        self.datasetChanged = Signal()
        self.runsChanged = Signal()
        self.runChanged = Signal()
        self.statusChanged = Signal()
        self.isBusy = False
        self.run: Any = None

    @property
    def dataset(self) -> Path:
        """Folder that frames are exported to."""
        return _folder(_DATASET_SETTING, "dataset")

    def setDataset(self, folder: Path) -> None:
        """Choose the folder of the data set, or say that its content has changed."""
        qt.QSettings().setValue(_DATASET_SETTING, str(folder))
        self.datasetChanged.emit()

    @property
    def runs(self) -> Path:
        """Folder that holds a folder for every run."""
        return _folder(_RUNS_SETTING, "runs")

    def setRuns(self, folder: Path) -> None:
        """Choose the folder of the runs, or say that a run came or went."""
        qt.QSettings().setValue(_RUNS_SETTING, str(folder))
        self.runsChanged.emit()

    def setRun(self, run: Any) -> None:
        """Look at a ``run_folder.RunFolder``, or at none."""
        if str(run) != str(self.run):
            self.run = run
            self.runChanged.emit()

    def setBusy(self, busy: bool) -> None:
        """Say whether a job runs."""
        self.isBusy = busy
        self.busyChanged.emit()


def _folder(setting: str, name: str) -> Path:
    documents = qt.QStandardPaths.writableLocation(qt.QStandardPaths.DocumentsLocation)
    return Path(slicer.util.settingsValue(setting, str(Path(documents) / "FetalEcho" / name)))
