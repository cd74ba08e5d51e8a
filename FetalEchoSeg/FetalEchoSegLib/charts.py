"""Charts of a result: condition probabilities, areas over time, confidence. Drawn without a display.

Figures are made without pyplot, so that nothing global is touched inside Slicer. ``to_svg`` gives a picture for a web
page that takes the page's text colour and font; ``write_chart`` a file.
"""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .anatomy import Structure
from .output_files import replacing
from .tables import ConditionTable, FrameTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .measurements.cycle import Beats

# Stands for "the page's text colour" while drawing.
_INK = "#123456"
_VERDICT_COLORS = {"suspected": "#d0453e", "uncertain": "#d99a2b", "not suspected": "#3f8f6b"}
_BAND = "#8a93a3"


def condition_chart(table: ConditionTable) -> Figure:
    """Bars of the clip's probabilities with threshold (line) and abstain band (grey); hidden conditions say so."""
    from matplotlib.figure import Figure

    rows = table.rows
    figure = Figure(figsize=(8.2, 0.42 * len(rows) + 0.75), layout="constrained")
    axes = figure.subplots()
    for y, row in enumerate(rows):
        if np.isnan(row.probability):
            axes.text(0.01, y, row.verdict, va="center", color=_INK, alpha=0.55, style="italic", fontsize=9)
            continue
        band, cut = row.threshold, row.threshold.threshold
        axes.barh(y, band.high - band.low, left=band.low, height=0.8, color=_BAND, alpha=0.3, lw=0)
        axes.barh(y, row.probability, height=0.42, color=_VERDICT_COLORS[row.verdict], lw=0)
        axes.plot([cut, cut], [y - 0.4, y + 0.4], color=_INK, lw=1.4)
        axes.text(1.02, y, f"{row.probability:.2f}  {row.verdict}", va="center", color=_INK, fontsize=9)
    axes.set_yticks(range(len(rows)), [row.condition.title for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.set_xlabel("probability (grey: abstain band, line: threshold)")
    _plain_axes(axes, grid="x")
    axes.tick_params(axis="y", length=0)
    return figure


def area_chart(table: FrameTable, beats: Beats | None = None) -> Figure:
    """Area of each structure over time, one small chart each (their sizes differ by a factor of a hundred).

    beats  marks end-diastole (filled triangle) and end-systole (hollow one) on every curve
    """
    from matplotlib.figure import Figure

    shown = [s for s, area in table.areas.items() if np.nan_to_num(area).any()]
    columns = min(4, max(1, len(shown)))
    rows = max(1, -(-len(shown) // columns))
    figure = Figure(figsize=(8.6, 1.75 * rows + 0.35), layout="constrained")
    grid = np.atleast_1d(figure.subplots(rows, columns, sharex=True, squeeze=False)).ravel()
    x, label = table.time_axis
    for axes, structure in zip(grid, shown, strict=False):
        area = table.areas[structure]
        color = readable_color(structure)
        axes.plot(x, area, color=color, lw=1.6, marker="." if len(x) < 3 else None)
        axes.fill_between(x, area, color=color, alpha=0.15, lw=0)
        if beats is not None:
            for frames, marker, face in ((beats.end_diastole, "^", _INK), (beats.end_systole, "v", "none")):
                at = list(frames)
                axes.plot(x[at], area[at], marker, ms=5, mec=_INK, mfc=face, mew=0.9, ls="none")
        axes.set_title(_chart_title(structure), fontsize=9, color=_INK, loc="left")
        axes.set_ylim(0, float(np.nanmax(area)) * 1.15)
        axes.locator_params(axis="y", nbins=4)
        axes.locator_params(axis="x", nbins=4)
        _plain_axes(axes, grid="y")
    for axes in grid[len(shown) :]:
        axes.set_visible(False)
    for axes in grid[max(0, len(shown) - columns) : len(shown)]:
        axes.tick_params(labelbottom=True)  # also above an empty place in the last row
    figure.supxlabel(label, fontsize=9, color=_INK)
    figure.supylabel(f"area ({table.unit})", fontsize=9, color=_INK)
    return figure


def confidence_chart(table: FrameTable) -> Figure:
    """Confidence of each frame over time; gaps are frames that were not segmented."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.6, 1.15), layout="constrained")
    axes = figure.subplots()
    x, label = table.time_axis
    axes.fill_between(x, table.confidence, color="#4477aa", alpha=0.35, lw=0, step="mid")
    axes.step(x, table.confidence, color="#4477aa", lw=1.2, where="mid")
    if len(x) > 1:
        axes.set_xlim(x[0], x[-1])
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 0.5, 1])
    axes.set_xlabel(label)
    axes.set_ylabel("confidence")
    _plain_axes(axes, grid="y")
    return figure


def to_svg(figure: Figure) -> str:
    """The figure as an <svg> element whose text takes colour and font of the page around it."""
    import matplotlib as mpl

    text = io.StringIO()
    # A salt gives the same ids, and so the same bytes, every time; sizes keep the charts of one page apart.
    salt = f"{len(figure.axes)} {figure.get_size_inches().tolist()}"
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt}):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # the same in every chart, and one page must not repeat them
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font: ([^;\"]*?)(\d+(?:\.\d+)?px) [^;\"]*", r"font: \1\2 inherit", svg)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    return svg.replace(_INK, "currentColor")


def write_chart(path: Path | str, figure: Figure, note: str = "", dpi: int = 150) -> None:
    """Write the figure for a white page, in the format of the suffix (PNG, SVG, PDF); raises UnwritableOutput.

    note  printed below the chart, because the file will travel without its report
    """
    if note:
        # The layout is settled first: a text below the figure must not squeeze the chart.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        figure.text(0.01, -0.02, note, va="top", fontsize=8, color=_INK, alpha=0.8)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=dpi, facecolor="white", bbox_inches="tight", pad_inches=0.12)


def _plain_axes(axes: Axes, grid: str) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set(color=_INK, alpha=0.5)
    axes.tick_params(colors=_INK, labelsize=8)
    axes.xaxis.label.set(color=_INK, fontsize=9)
    axes.yaxis.label.set(color=_INK, fontsize=9)
    axes.grid(axis=grid, color=_INK, alpha=0.12, lw=0.8)  # type: ignore[arg-type]
    axes.set_axisbelow(True)


def _chart_title(structure: Structure) -> str:
    whole = structure in (Structure.WHOLE_HEART, Structure.THORAX)
    return f"{structure.info.title}, with content" if whole else structure.info.title


def readable_color(structure: Structure) -> tuple[float, float, float]:
    """The structure's colour, darkened where it would vanish on a white page."""
    rgb = np.array(structure.info.color) / 255
    luminance = float(rgb @ (0.2126, 0.7152, 0.0722))
    r, g, b = rgb * min(1.0, 0.62 / luminance)
    return float(r), float(g), float(b)
