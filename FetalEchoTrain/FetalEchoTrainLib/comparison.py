"""Runs side by side: mean and spread over seeds for each arm, and whether a difference is more than that spread.

    comparison = compare(find_runs([Path("runs")]))
    print(comparison)

An arm's spread is the standard deviation over its seeds. Two arms that ran with the same seeds are held against each
other seed by seed: such a pair starts from the same weights and meets the same frames, so that what a lucky start gives
to both cancels, and the spread of the difference is the standard deviation over the pairs. Where the seeds differ, it
is the root of the sum of both variances. A difference counts as a gain or a loss if it is larger than its spread; else
it is reported as none, and with a single seed nobody can tell.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from FetalEchoSegLib.anatomy import Condition, Structure
from FetalEchoSegLib.errors import FetalEchoError, InvalidRequest
from FetalEchoSegLib.output_files import write_text

from .configuration import ARMS
from .run_folder import Metric, RunFolder

REFERENCE = "labelled-only"
# What a single part of the method brings: the arm with it and the arm without.
PARTS_OF_THE_METHOD = (
    ("EMA teacher, unlabelled frames", "ema", "labelled-only"),
    ("DINOv3 filter on EMA", "ema-dino", "ema"),
    ("SAM refinement on EMA", "ema-sam", "ema"),
    ("EMA teacher in the whole", "full", "no-ema"),
    ("DINOv3 filter in the whole", "full", "no-dino"),
    ("SAM refinement in the whole", "full", "no-sam"),
    ("classification fine-tuning", "full", "full-no-cft"),
    ("classification fine-tuning", "full", "no-cft"),
    ("the whole against UniMatch", "full", "unimatch"),
)
_MEASURES = (("dice", "DSC %"), ("nsd", "NSD %"), ("macro_f1", "macro-F1"))


@dataclass(frozen=True)
class Spread:
    """A value over seeds."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over all seeds."""
        return float(np.mean(self.values))

    @property
    def deviation(self) -> float:
        """Sample standard deviation, NaN for a single seed."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else math.nan

    def text(self, digits: int) -> str:
        """Mean ± deviation; the mean alone for a single seed."""
        spread = "" if math.isnan(self.deviation) else f" ± {self.deviation:.{digits}f}"
        return f"{self.mean:.{digits}f}{spread}"


@dataclass(frozen=True)
class Difference:
    """A value of one arm minus that of another.

    spread   standard deviation of the difference over seeds, NaN for a single one
    verdict  "gain", "loss", "none (within the spread)" or "unknown (one seed)"
    """

    value: float
    spread: float

    @property
    def verdict(self) -> str:
        """In words."""
        if math.isnan(self.spread):
            return "unknown (one seed)"
        if abs(self.value) <= self.spread:
            return "none (within the spread)"
        return "gain" if self.value > 0 else "loss"

    def text(self, digits: int) -> str:
        """Value ± spread and the verdict."""
        spread = "" if math.isnan(self.spread) else f" ± {self.spread:.{digits}f}"
        return f"{self.value:+.{digits}f}{spread}: {self.verdict}"


@dataclass(frozen=True)
class ComparedRun:
    """One finished run: its label, seed, figures by part, values on the way, and seconds."""

    path: Path
    label: str
    seed: int
    parts: Mapping[str, Mapping[str, Any]]
    metrics: tuple[Metric, ...]
    fingerprint: str
    seconds: float | None


@dataclass(frozen=True)
class Comparison:
    """Finished runs by arm; ``str`` is a table in Markdown, which a terminal shows as well.

    arms   in the order of ``configuration.ARMS``
    notes  what the reader should know: runs left out, different data
    """

    arms: Mapping[str, tuple[ComparedRun, ...]]
    notes: tuple[str, ...]

    @property
    def parts(self) -> list[str]:
        """Parts that runs were measured on, in the order of the first run."""
        return list(dict.fromkeys(part for runs in self.arms.values() for run in runs for part in run.parts))

    @property
    def reference(self) -> str:
        """The arm that others are held against."""
        return REFERENCE if REFERENCE in self.arms else next(iter(self.arms))

    def value(self, arm: str, part: str, key: str, index: int | None = None, view: str | None = None) -> Spread | None:
        """A figure of an arm over its seeds, None where no run has it.

        key    of ``Evaluation.to_dict``: "dice", "nsd", "macro_f1", or a list such as "dice_class" with ``index``
        view   within one view
        """
        found = [value for run in self.arms[arm] if (value := _value(run, part, key, index, view)) is not None]
        return Spread(tuple(found)) if found else None

    def difference(self, arm: str, other: str, part: str, key: str) -> Difference | None:
        """What ``arm`` has more than ``other``, seed by seed where both ran with the same ones."""
        ours, theirs = self.value(arm, part, key), self.value(other, part, key)
        if ours is None or theirs is None:
            return None
        seeds = [run.seed for run in self.arms[arm]]
        if seeds == [run.seed for run in self.arms[other]] and len(ours.values) == len(theirs.values) == len(seeds):
            pairs = Spread(tuple(a - b for a, b in zip(ours.values, theirs.values, strict=True)))
            return Difference(pairs.mean, pairs.deviation)
        return Difference(ours.mean - theirs.mean, math.hypot(ours.deviation, theirs.deviation))

    def __str__(self) -> str:
        return _markdown(self)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Everything as a long table: arm, part, scope, kind, name, measure, mean, deviation, seeds, values."""
        for arm in self.arms:
            for part in self.parts:
                for scope, kind, name, measure, spread in self._figures(arm, part):
                    yield {
                        "arm": arm, "part": part, "scope": scope, "kind": kind, "name": name, "measure": measure,
                        "mean": spread.mean, "deviation": spread.deviation, "seeds": len(spread.values),
                        "values": " ".join(f"{value:.6g}" for value in spread.values),
                    }  # fmt: skip

    def _figures(self, arm: str, part: str) -> Iterator[tuple[str, str, str, str, Spread]]:
        views = dict.fromkeys(v for run in self.arms[arm] for v in run.parts.get(part, {}).get("views", {}))
        for scope in (None, *views):
            for key, _ in _MEASURES:
                if (spread := self.value(arm, part, key, view=scope)) is not None:
                    yield scope or "all", "overall", "mean", key, spread
            for structure in Structure:
                for key in ("dice", "nsd"):
                    spread = self.value(arm, part, f"{key}_class", int(structure) - 1, scope)
                    if spread is not None:
                        yield scope or "all", "structure", structure.info.short, key, spread
            for condition in Condition:
                spread = self.value(arm, part, "f1_class", int(condition), scope)
                if spread is not None:
                    yield scope or "all", "condition", condition.short, "f1", spread

    def write(self, folder: Path) -> list[Path]:
        """Write ``comparison.md``, ``comparison.csv`` and the charts into a folder; returns the files.

        Raises UnwritableOutput.
        """
        from .comparison_charts import charts

        text = io.StringIO()
        rows = list(self.rows())
        writer = csv.DictWriter(text, list(rows[0]) if rows else ["arm"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(folder / "comparison.csv", text.getvalue())
        names = charts(self, folder)
        pictures = "\n\n".join(f"![{title}]({path.name})" for title, path in names.items())
        write_text(folder / "comparison.md", f"# Comparison of training runs\n\n{self}\n\n{pictures}\n")
        return [folder / "comparison.md", folder / "comparison.csv", *names.values()]


def _value(run: ComparedRun, part: str, key: str, index: int | None, view: str | None) -> float | None:
    """One run's figure, see ``Comparison.value``."""
    table: Any = run.parts.get(part, {})
    table = table.get("views", {}).get(view, {}) if view else table
    value = table.get(key)
    if value is not None and index is not None:
        value = value[index] if _counted(table, key, index) else None
    return None if value is None else float(value)


def _counted(table: Mapping[str, Any], key: str, index: int) -> bool:
    """Whether a class occurred: the evaluator reports 0 for those that did not."""
    counts = table.get("support_class" if key == "f1_class" else "count_class")
    return counts is None or counts[index] > 0


def find_runs(paths: Iterable[Path]) -> list[RunFolder]:
    """The runs at ``paths``, each the folder of a run or a folder of runs; raises InvalidRequest where is none."""
    found: dict[Path, RunFolder] = {}
    for path in paths:
        inside = [path] if (path / "config.yaml").is_file() else sorted(p.parent for p in path.glob("*/config.yaml"))
        if not inside:
            raise InvalidRequest(f"{path} holds no training run: name the folder of a run, or a folder of runs.")
        found.update({run.resolve(): RunFolder(run) for run in inside})
    return list(found.values())


def compare(runs: Sequence[RunFolder]) -> Comparison:
    """Compare finished runs; others are left out with a note. Raises InvalidRequest where none is finished."""
    read, notes = [], []
    names = set()
    for run in runs:
        try:
            config, results = run.config(), run.results()
            names.add(config.name)
            read.append((config, run, results, tuple(run.metrics()), run.dataset_record().get("fingerprint", "")))
        except FetalEchoError as error:
            notes.append(f"Left out: {error}")
    if not read:
        raise InvalidRequest(f"None of the {len(runs)} runs is finished: {notes[0].removeprefix('Left out: ')}")
    compared = [
        ComparedRun(
            path=run.path,
            label=config.arm if len(names) == 1 else f"{config.name} {config.arm}",
            seed=config.seed,
            parts=results.get("parts", {}),
            metrics=metrics,
            fingerprint=fingerprint,
            seconds=results.get("seconds"),
        )
        for config, run, results, metrics, fingerprint in read
    ]
    if len({run.fingerprint for run in compared}) > 1:
        notes.append("These runs had different data, so that their figures cannot be held against each other.")
    order = list(ARMS)
    labels = sorted({run.label for run in compared}, key=lambda label: (order.index(label.split()[-1]), label))
    arms = {label: tuple(sorted((r for r in compared if r.label == label), key=lambda r: r.seed)) for label in labels}
    notes += [
        f"{label} ran twice with seed {a.seed}: {a.path.name}, {b.path.name}."
        for label, members in arms.items()
        for a, b in pairwise(members)
        if a.seed == b.seed
    ]
    return Comparison(arms, tuple(notes))


def _markdown(comparison: Comparison) -> str:
    reference = comparison.reference
    blocks = []
    for part in comparison.parts:
        head = ["arm", "seeds", *(title for _, title in _MEASURES)]
        others = len(comparison.arms) > 1
        rows = [[*head, *(f"DSC against {reference}", "F1") * others]]
        for arm, runs in comparison.arms.items():
            cells = []
            for key, _ in _MEASURES:
                spread = comparison.value(arm, part, key)
                cells.append("" if spread is None else spread.text(3 if key == "macro_f1" else 1))
            if others:
                cells += [_against(comparison, arm, reference, part, key) for key in ("dice", "macro_f1")]
            rows.append([arm, str(len(runs)), *cells])
        blocks.append(f"## {part}\n\n{_table(rows)}")
    bring = list(_part_rows(comparison))
    if len(bring) > 1:
        blocks.append(f"## What each part brings\n\n{_table(bring)}")
    views = list(_view_rows(comparison))
    if len(views) > 1:
        blocks.append(f"## Views\n\n{_table(views)}")
    blocks.append(f"## Structures and conditions\n\n{_table(list(_class_rows(comparison)))}")
    costs = [["arm", "hours a run"]]
    for arm, runs in comparison.arms.items():
        hours = Spread(tuple(run.seconds / 3600 for run in runs if run.seconds is not None) or (math.nan,))
        costs.append([arm, hours.text(2)])
    precision = list(_precision_rows(comparison))
    if len(precision) > 1:
        blocks.append(
            "## Pseudo-labels\n\nPixels of pseudo-labels that are right, in percent, by the phantom's truth: those that"
            f" each filter kept, and those that it dropped, at the end of stage 1.\n\n{_table(precision)}"
        )
    blocks.append(f"## Cost\n\n{_table(costs)}")
    if comparison.notes:
        blocks.append("\n".join(f"- {note}" for note in comparison.notes))
    return "\n\n".join(blocks)


def _against(comparison: Comparison, arm: str, reference: str, part: str, key: str) -> str:
    difference = comparison.difference(arm, reference, part, key)
    if arm == reference or difference is None:
        return ""
    return difference.text(3 if key == "macro_f1" else 1)


def _part_rows(comparison: Comparison) -> Iterator[list[str]]:
    """Each part of the method, where both arms ran, on every part of the data."""
    yield ["part", "arms", "on", "DSC", "macro-F1"]
    for title, arm, other in PARTS_OF_THE_METHOD:
        if arm in comparison.arms and other in comparison.arms:
            for part in comparison.parts:
                cells = [_against(comparison, arm, other, part, key) for key in ("dice", "macro_f1")]
                yield [title, f"{arm} - {other}", part, *cells]


def _view_rows(comparison: Comparison) -> Iterator[list[str]]:
    """Figures of each view, on the last part."""
    part = comparison.parts[-1]
    yield [f"on {part}", *comparison.arms]
    runs = [run for members in comparison.arms.values() for run in members]
    for view in dict.fromkeys(view for run in runs for view in run.parts.get(part, {}).get("views", {})):
        for key, title in _MEASURES:
            spreads = [comparison.value(arm, part, key, view=view) for arm in comparison.arms]
            digits = 3 if key == "macro_f1" else 1
            yield [f"{view} {title}", *("" if s is None else s.text(digits) for s in spreads)]


def _class_rows(comparison: Comparison) -> Iterator[list[str]]:
    """DSC by structure and F1 by condition, on the last part (new devices, where there are such)."""
    part = comparison.parts[-1]
    yield [f"on {part}", *comparison.arms]
    for structure in Structure:
        spreads = [comparison.value(arm, part, "dice_class", int(structure) - 1) for arm in comparison.arms]
        if any(spreads):
            yield [f"{structure.info.short} DSC %", *("" if s is None else s.text(1) for s in spreads)]
    for condition in Condition:
        spreads = [comparison.value(arm, part, "f1_class", int(condition)) for arm in comparison.arms]
        if any(spreads):
            yield [f"{condition.short} F1", *("" if s is None else s.text(2) for s in spreads)]


def last_values(run: ComparedRun) -> dict[str, float]:
    """The last finite value of each metric of a run."""
    return {metric.name: metric.value for metric in run.metrics if math.isfinite(metric.value)}


def _precision_rows(comparison: Comparison) -> Iterator[list[str]]:
    arms = list(comparison.arms)
    yield ["", *arms]
    last = {arm: [last_values(run) for run in runs] for arm, runs in comparison.arms.items()}
    names = dict.fromkeys(name for values in last.values() for table in values for name in table if "precision" in name)
    for name in names:
        cells = []
        for arm in arms:
            found = tuple(table[name] for table in last[arm] if name in table)
            cells.append(Spread(found).text(1) if found else "")
        yield [name.replace("_", " ").removesuffix(" percent"), *cells]


def _table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with padded cells: readable as it is, too."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)
