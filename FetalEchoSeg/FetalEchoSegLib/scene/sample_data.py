"""Two synthetic clips in Slicer's Sample Data module, made on demand: nothing is downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..anatomy import View

CATEGORY = "FetalEcho"
# Name of the sample -> view, seed of the phantom, picture. Seeds whose clips the demo model segments well.
SAMPLES = {
    "FetalEcho phantom 4CH": (View.FOUR_CHAMBER, 38, "SampleFourChamber.png"),
    "FetalEcho phantom 3VT": (View.THREE_VESSEL_TRACHEA, 33, "SampleThreeVessel.png"),
}
_FRAMES, _FRAME_RATE = 60, 40.0


def registerSampleData(iconFolder: Path) -> None:
    """Offer the samples in Slicer's Sample Data module; nothing happens where that module is not there."""
    try:
        import SampleData
    except ImportError:
        return
    if hasattr(SampleData.SampleDataLogic, "registerCustomSampleDataCategory"):
        SampleData.SampleDataLogic.registerCustomSampleDataCategory(CATEGORY, CATEGORY)
    for name, (_, _, picture) in SAMPLES.items():
        SampleData.SampleDataLogic.registerCustomSampleDataSource(
            category=CATEGORY,
            sampleName=name,
            # Nothing to download. Slicer goes through these lists: without them it raises TypeError.
            uris=[],
            fileNames=[],
            nodeNames=[],
            thumbnailFileName=str(iconFolder / picture),
            customDownloader=makeSample,
        )


def makeSample(source: Any) -> list[Any]:
    """Generate the clip that the Sample Data module asks for, and show it; its browser in a list."""
    from ..phantom.clip import make_named_clip
    from .cine_nodes import addCineToScene
    from .views import showClip

    view, seed, _ = SAMPLES[source.sampleName]
    made = make_named_clip(view, seed=seed, frames=_FRAMES, frame_rate=_FRAME_RATE)
    browser = addCineToScene(made.cine, source.sampleName)[1]
    showClip(browser)
    return [browser]
