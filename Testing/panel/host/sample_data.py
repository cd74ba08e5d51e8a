"""Double of Slicer's module ``SampleData``: registration of data sets. Nothing is fetched.

A source's ``customDownloader`` is called by its button in the module, and by nothing else (``driver.click_sample``).
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

import slicer


class SampleDataSource:
    """One data set. Fields may be given as one value or as lists of equal length."""

    def __init__(
        self,
        sampleName: str | None = None,
        sampleDescription: str | None = None,
        uris: Any = None,
        fileNames: Any = None,
        nodeNames: Any = None,
        checksums: Any = None,
        loadFiles: Any = None,
        customDownloader: Callable[[SampleDataSource], Any] | None = None,
        thumbnailFileName: str | None = None,
        loadFileTypes: Any = None,
        loadFileProperties: Any = None,
        loadFileType: Any = None,
    ) -> None:
        self.sampleName = sampleName
        self.sampleDescription = sampleDescription or sampleName
        if not isinstance(uris, str | list | tuple):  # as in Slicer, which goes through these lists
            raise TypeError(f"sample data '{sampleName}': '{type(uris).__name__}' object is not iterable")
        self.uris, self.fileNames, self.nodeNames = (_list(value) for value in (uris, fileNames, nodeNames))
        self.checksums, self.loadFiles = _list(checksums), _list(loadFiles)
        self.loadFileTypes = _list(loadFileTypes if loadFileTypes is not None else loadFileType)
        self.loadFileProperties = loadFileProperties or {}
        self.customDownloader = customDownloader
        self.thumbnailFileName = thumbnailFileName
        if not len(self.uris) == len(self.fileNames) == len(self.nodeNames):
            raise ValueError(f"sample data '{sampleName}': uris, fileNames and nodeNames differ in length")


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


class SampleDataLogic:
    """Knows the sources of every category, in ``slicer.modules.sampleDataSources``."""

    def __init__(self, logMessage: Callable[..., None] | None = None) -> None:
        if logMessage is not None:
            self.logMessage = logMessage

    @staticmethod
    def registerCustomSampleDataSource(
        category: str = "Custom",
        sampleName: str | None = None,
        uris: Any = None,
        fileNames: Any = None,
        nodeNames: Any = None,
        customDownloader: Callable[[SampleDataSource], Any] | None = None,
        thumbnailFileName: str | None = None,
        loadFileTypes: Any = None,
        loadFiles: Any = None,
        loadFileProperties: Any = None,
        checksums: Any = None,
        loadFileType: Any = None,
    ) -> None:
        source = SampleDataSource(
            sampleName=sampleName,
            uris=uris,
            fileNames=fileNames,
            nodeNames=nodeNames,
            checksums=checksums,
            loadFiles=loadFiles,
            customDownloader=customDownloader,
            thumbnailFileName=thumbnailFileName,
            loadFileTypes=loadFileTypes,
            loadFileProperties=loadFileProperties,
            loadFileType=loadFileType,
        )
        SampleDataLogic.sampleDataSourcesByCategory().setdefault(category, []).append(source)

    @staticmethod
    def sampleDataSourcesByCategory(category: str | None = None) -> Any:
        sources = slicer.modules.sampleDataSources
        return sources if category is None else sources.get(category, [])

    def sourceForSampleName(self, sampleName: str) -> SampleDataSource | None:
        sources = (source for sources in slicer.modules.sampleDataSources.values() for source in sources)
        return next((source for source in sources if source.sampleName == sampleName), None)

    def downloadFromSource(self, source: SampleDataSource) -> Any:
        if source.uris:
            raise NotImplementedError(f"the host downloads nothing: sample data '{source.sampleName}'")
        return []

    def downloadSamples(self, sampleName: str) -> Any:
        source = self.sourceForSampleName(sampleName)
        return [] if source is None else self.downloadFromSource(source)

    def downloadSample(self, sampleName: str) -> Any:
        return self.downloadSamples(sampleName)[0]

    def logMessage(self, message: str, logLevel: int | None = None) -> None:
        """Slicer shows it in the module's log."""


def install() -> None:
    """As ``import SampleData``."""
    module = types.ModuleType("SampleData", __doc__)
    for name in ("SampleDataSource", "SampleDataLogic"):
        setattr(module, name, globals()[name])
    module.downloadSamples = lambda sampleName: SampleDataLogic().downloadSamples(sampleName)
    module.downloadSample = lambda sampleName: SampleDataLogic().downloadSample(sampleName)
    sys.modules["SampleData"] = module
    slicer.modules.sampleDataSources = {}
