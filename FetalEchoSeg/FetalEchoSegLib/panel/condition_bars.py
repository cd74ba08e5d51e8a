"""What is said about the conditions, as bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slicer.i18n import tr as _

from .bars import Bar

if TYPE_CHECKING:
    from ..tables import ConditionRow, ConditionTable

# Apart in lightness as well as in hue; the word beside the bar says the same.
_VERDICT_COLORS = {"suspected": (208, 69, 62), "uncertain": (217, 154, 43), "not suspected": (63, 143, 107)}


def verdictText(verdict: str) -> str:
    """A verdict of ``conditions.verdict`` in the language of the panel."""
    return {
        "suspected": _("suspected"),
        "uncertain": _("uncertain"),
        "not suspected": _("not suspected"),
        "not shown by this view": _("not shown by this view"),
    }[verdict]


def shownConditions(table: ConditionTable) -> list[ConditionRow]:
    """The conditions that the view can show, in order."""
    return [row for row in table.rows if row.verdict != "not shown by this view"]


def hiddenConditions(table: ConditionTable) -> list[ConditionRow]:
    """The others."""
    return [row for row in table.rows if row.verdict == "not shown by this view"]


def conditionBars(table: ConditionTable) -> list[Bar]:
    """One bar for each condition that the view can show: probability, abstain band, threshold and verdict."""
    return [
        Bar(
            label=row.condition.title,
            value=row.probability,
            text=f"{100 * row.probability:.0f} %  {verdictText(row.verdict)}",
            band=(row.threshold.low, row.threshold.high),
            threshold=row.threshold.threshold,
            color=_VERDICT_COLORS[row.verdict],
        )
        for row in shownConditions(table)
    ]


def conditionTip(table: ConditionTable) -> str:
    """The same in words."""
    return "\n".join(
        _(
            "{condition}: {percent:.0f} %, {verdict}; threshold {threshold:.0f} %, band {low:.0f} to {high:.0f} %"
        ).format(
            condition=row.condition.title,
            percent=100 * row.probability,
            verdict=verdictText(row.verdict),
            threshold=100 * row.threshold.threshold,
            low=100 * row.threshold.low,
            high=100 * row.threshold.high,
        )
        for row in shownConditions(table)
    )
