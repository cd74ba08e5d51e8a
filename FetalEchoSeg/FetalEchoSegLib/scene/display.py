"""How structures look, the same on every frame.

Visibility and opacity belong to the display node of the proxy, which all frames share. Name, colour and terminology
belong to the segments, and each frame has its own.
"""

from __future__ import annotations

from typing import Any

import slicer
import vtk

from .segmentation_nodes import itemOfFrame

Appearance = tuple[str, tuple[float, float, float], str]


def appearance(segmentation: Any) -> dict[str, Appearance]:
    """Name, colour (0..1) and terminology entry of each segment, by segment id."""
    found = {}
    for segmentId in segmentation.GetSegmentIDs():
        segment = segmentation.GetSegment(segmentId)
        entry = vtk.mutable("")
        segment.GetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), entry)
        found[segmentId] = (segment.GetName(), tuple(segment.GetColor()), str(entry))
    return found


def spreadAppearance(masks: Any, index: int) -> None:
    """Give the segments of every frame the name, colour and terminology that they have on frame ``index``.

    Raises InvalidRequest outside the clip.
    """
    wanted = appearance(itemOfFrame(masks, index).GetSegmentation())
    for number in range(masks.GetNumberOfDataNodes()):
        if number == index:
            continue
        segmentation = masks.GetNthDataNode(number).GetSegmentation()
        present = appearance(segmentation)
        for segmentId, look in wanted.items():
            if segmentId in present and present[segmentId] != look:
                _apply(segmentation.GetSegment(segmentId), look)


def _apply(segment: Any, look: Appearance) -> None:
    name, color, entry = look
    segment.SetName(name)
    segment.SetColor(*color)
    segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), entry)
