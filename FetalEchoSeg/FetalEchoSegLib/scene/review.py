"""What the user has said about frames of a segmentation: accepted, corrected by hand.

Kept on the item of each frame, so that it travels with the scene and with the frame.
"""

from __future__ import annotations

from typing import Any

import vtk

from .segmentation_nodes import BY_CLICKS, BY_HAND, drawnBy, itemOfFrame, setFrameAttributes, shareProxiesOf

ACCEPTED = "FetalEcho.Accepted"
# A mask sequence invokes it when a frame was accepted, or no longer is. Its masks are the same, so not ModifiedEvent.
ACCEPTED_EVENT = vtk.vtkCommand.UserEvent + 120


def acceptedFrames(masks: Any) -> list[int]:
    """Numbers of the frames that the user accepted, counted from 0, in order."""
    return [i for i in range(masks.GetNumberOfDataNodes()) if masks.GetNthDataNode(i).GetAttribute(ACCEPTED) == "yes"]


def isAccepted(masks: Any, index: int) -> bool:
    """Whether the user accepted frame ``index``; raises InvalidRequest outside the clip."""
    return itemOfFrame(masks, index).GetAttribute(ACCEPTED) == "yes"


def setAccepted(masks: Any, index: int, accepted: bool = True) -> None:
    """Record that the user accepted frame ``index``, or took that back; raises InvalidRequest outside the clip.

    An accepted frame that is edited afterwards stays accepted: whoever corrects a frame means it to count. It loses
    the mark only when a model writes over it.
    """
    itemOfFrame(masks, index)
    shareProxiesOf(masks)
    setFrameAttributes(masks, index, {ACCEPTED: "yes" if accepted else None})
    masks.InvokeEvent(ACCEPTED_EVENT)


def protectedFrames(masks: Any) -> list[int]:
    """Numbers of the frames that hold the user's work: drawn by hand or by clicks, or accepted; in order.

    A model never writes over them unasked. A frame from which the user erased every mask counts as well.
    """
    accepted = set(acceptedFrames(masks))
    return [
        index
        for index in range(masks.GetNumberOfDataNodes())
        if index in accepted or drawnBy(masks, index) in (BY_HAND, BY_CLICKS)
    ]
