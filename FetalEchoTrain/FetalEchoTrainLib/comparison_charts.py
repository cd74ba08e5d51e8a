"""Charts of a comparison: figures by arm, learning curves, precision of pseudo-labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from FetalEchoSegLib.charts import write_chart

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .comparison import ComparedRun, Comparison

# Okabe and Ito's palette, told apart by colour-blind readers as well.
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#666666", "#000000", "#f0e442")
_LEARNING = ("validation_dsc", "validation_nsd", "validation_macro_f1")
_STAGES = {"ema": "stage 1", "fine_tuning": "stage 2"}
_NOTE = "Bars and lines: mean over seeds. Dots: single seeds. Bands: one standard deviation."


def charts(comparison: Comparison, folder: Path) -> dict[str, Path]:
    """Write the charts that there are data for into a folder; returns the files by title."""
    made: dict[str, Figure] = {"Figures by arm": _figures_by_arm(comparison), "Views": _views(comparison)}
    curves = _curves(comparison, lambda name: name in _LEARNING)
    if curves is not None:
        made["Learning curves"] = curves
    precision = _curves(comparison, lambda name: "precision" in name)
    if precision is not None:
        made["Precision of pseudo-labels"] = precision
    files = {title: folder / f"{title.lower().replace(' ', '-')}.png" for title in made}
    for title, figure in made.items():
        write_chart(files[title], figure, _NOTE, dpi=110)
    return files


def _figures_by_arm(comparison: Comparison) -> Figure:
    from matplotlib.figure import Figure

    arms, parts = list(comparison.arms), comparison.parts
    figure = Figure(figsize=(3.4 * 3, 0.5 + 0.34 * len(arms) * max(len(parts), 1) + 0.8), layout="constrained")
    grid = figure.subplots(1, 3, sharey=True)
    for axes, (key, title) in zip(grid, (("dice", "DSC, %"), ("nsd", "NSD, %"), ("macro_f1", "macro-F1")), strict=True):
        for number, part in enumerate(parts):
            height = 0.8 / len(parts)
            for place, arm in enumerate(arms):
                spread = comparison.value(arm, part, key)
                if spread is None:
                    continue
                y = place + (number - (len(parts) - 1) / 2) * height
                label = part if place == 0 else None
                axes.barh(y, spread.mean, height * 0.9, color=_COLORS[number % len(_COLORS)], alpha=0.6, label=label)
                axes.plot(spread.values, [y] * len(spread.values), "o", color="black", ms=2.5)
        axes.set_title(title, fontsize=10, loc="left")
        axes.set_yticks(range(len(arms)), arms)
        _plain(axes, "x")
    grid[0].invert_yaxis()
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside upper right", fontsize=8, frameon=False, ncols=3)
    return figure


def _views(comparison: Comparison) -> Figure:
    from matplotlib.figure import Figure

    part = comparison.parts[-1]
    runs = [run for members in comparison.arms.values() for run in members]
    views = list(dict.fromkeys(view for run in runs for view in run.parts.get(part, {}).get("views", {})))
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    grid = figure.subplots(1, 2)
    for axes, (key, title) in zip(grid, (("dice", f"DSC on {part}, %"), ("macro_f1", "macro-F1")), strict=True):
        width = 0.8 / len(comparison.arms)
        for number, arm in enumerate(comparison.arms):
            for place, view in enumerate(views):
                spread = comparison.value(arm, part, key, view=view)
                if spread is not None:
                    x = place + (number - (len(comparison.arms) - 1) / 2) * width
                    color = _COLORS[number % len(_COLORS)]
                    axes.bar(x, spread.mean, width * 0.9, color=color, alpha=0.6, label=arm if place == 0 else None)
                    axes.plot([x] * len(spread.values), spread.values, "o", color="black", ms=2.5)
        axes.set_xticks(range(len(views)), views)
        axes.set_title(title, fontsize=10, loc="left")
        _plain(axes, "y")
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside right upper", fontsize=8, frameon=False)
    return figure


def _curves(comparison: Comparison, wanted: Callable[[str], bool]) -> Figure | None:
    """One small chart for each metric whose name is wanted, a line for each arm; None without such metrics."""
    from matplotlib.figure import Figure

    runs = [run for members in comparison.arms.values() for run in members]
    found: dict[tuple[str, str], set[float]] = {}
    for metric in (m for run in runs for m in run.metrics if wanted(m.name)):
        found.setdefault((metric.stage, metric.name), set()).add(metric.value)
    # A metric that never moved, such as F1 of conditions that no network dares to predict yet, is no curve.
    names = [name for name, values in found.items() if len(values) > 1] or list(found)
    if not names:
        return None
    columns = min(3, len(names))
    lines = math.ceil(len(names) / columns)
    figure = Figure(figsize=(3.2 * columns + 1.4, 2.4 * lines), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes, (stage, name) in zip(grid, names, strict=False):
        for number, (arm, members) in enumerate(comparison.arms.items()):
            steps, values = _over_seeds(members, stage, name)
            if not len(steps):
                continue
            color, mean = _COLORS[number % len(_COLORS)], np.nanmean(values, axis=0)
            axes.plot(steps, mean, color=color, lw=1.5, label=arm, marker="." if len(steps) < 3 else None)
            if len(values) > 1:
                deviation = np.nanstd(values, axis=0, ddof=1)
                axes.fill_between(steps, mean - deviation, mean + deviation, color=color, alpha=0.15, lw=0)
        axes.set_title(_title(name), fontsize=9, loc="left")
        axes.set_xlabel(f"step of {_STAGES.get(stage, stage)}", fontsize=8)
        axes.locator_params(axis="x", nbins=4, integer=True)
        _plain(axes, "y")
    for axes in grid[len(names) :]:
        axes.set_visible(False)
    labels: dict[str, Artist] = {}
    for axes in grid[: len(names)]:
        handles, texts = axes.get_legend_handles_labels()
        labels.update(zip(texts, handles, strict=True))
    figure.legend(list(labels.values()), list(labels), loc="outside right upper", fontsize=8, frameon=False)
    return figure


def _title(name: str) -> str:
    words = name.removesuffix("_percent").replace("_", " ") + (", %" if name.endswith("_percent") else "")
    return words.replace("dsc", "DSC, %").replace("nsd", "NSD, %").replace("f1", "F1")


def _over_seeds(runs: Sequence[ComparedRun], stage: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps, and (seeds, steps) values; steps that one of the runs did not reach are left out."""
    tables = []
    for run in runs:
        found = {m.step: m.value for m in run.metrics if (m.stage, m.name) == (stage, name)}
        if found:
            tables.append(found)
    if not tables:
        return np.empty(0), np.empty((0, 0))
    steps = sorted(set.intersection(*(set(table) for table in tables)))
    return np.array(steps), np.array([[table[step] for step in steps] for table in tables])


def _plain(axes: Axes, grid: str) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.grid(axis=grid, alpha=0.15, lw=0.8)  # type: ignore[arg-type]
    axes.set_axisbelow(True)
