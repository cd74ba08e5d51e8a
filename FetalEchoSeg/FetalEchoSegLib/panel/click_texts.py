"""What is said about clicks."""

from __future__ import annotations

from slicer.i18n import tr as _

from ..promptable.prompts import Prompts
from ..scene.click_session import Clicked


def clickedText(clicked: Clicked) -> str:
    """Such as "LV, frame 12: 2 points, predicted IoU 0.93, 41 ms"."""
    parts = [promptsText(clicked.prompts)]
    if clicked.iou is not None:
        parts.append(_("predicted IoU {iou:.2f}").format(iou=clicked.iou))
        parts.append(_("{milliseconds:.0f} ms").format(milliseconds=clicked.milliseconds))
    return " ".join([f"{_place(clicked)}: {', '.join(parts)}", *clicked.notes])


def promptsText(prompts: Prompts) -> str:
    """How many points, and whether there is a box."""
    count = len(prompts.points)
    points = _("1 point") if count == 1 else _("{count} points").format(count=count)
    if prompts.box is None:
        return points if count else _("no prompts")
    return _("{points} and a box").format(points=points) if count else _("a box")


def _place(clicked: Clicked) -> str:
    if clicked.isStill:
        return clicked.title
    if clicked.isSlice:
        return _("{segment}, slice {number}").format(segment=clicked.title, number=clicked.frame)
    return _("{segment}, frame {number}").format(segment=clicked.title, number=clicked.frame)
