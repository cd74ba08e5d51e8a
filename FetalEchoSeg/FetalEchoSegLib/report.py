"""The report of one clip: a single HTML page with its pictures inside, and the folder of files around it.

The page loads nothing from anywhere, prints on A4 or Letter and follows the reader's light or dark setting. It names
the file, never the patient.
"""

from __future__ import annotations

import base64
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from . import __version__
from .anatomy import RESEARCH_ONLY, Structure, View
from .cine import Cine
from .conditions import ConditionThreshold
from .output_files import write_bytes, write_text
from .prediction import Prediction
from .tables import (
    ConditionTable,
    FrameTable,
    MeasurementTable,
    condition_table,
    frame_table,
    measurement_table,
)

if TYPE_CHECKING:
    from markupsafe import Markup

_TEMPLATES = Path(__file__).parent / "templates"
_MOST_ROWS = 300  # of the per-frame table; the CSV holds all
_PACKAGES = ("numpy", "torch", "monai", "pydicom")


@dataclass(frozen=True)
class ResultFiles:
    """The files that ``write_result_files`` made."""

    montage: Path
    animation: Path
    conditions_chart: Path
    areas_chart: Path
    conditions_csv: Path
    frames_csv: Path
    measurements_csv: Path
    report: Path

    @property
    def all(self) -> tuple[Path, ...]:
        """All of them, the report first."""
        return (
            self.report,
            self.montage,
            self.animation,
            self.conditions_chart,
            self.areas_chart,
            self.conditions_csv,
            self.frames_csv,
            self.measurements_csv,
        )


def write_result_files(
    folder: Path | str,
    cine: Cine,
    prediction: Prediction,
    thresholds: Sequence[ConditionThreshold] | None = None,
    input_name: str = "",
    gestational_age: float | None = None,
) -> ResultFiles:
    """Write tables, pictures, charts and report of one result into ``folder``.

    thresholds  in the order of ``Condition``, from the bundle; without them a wide abstain band
    input_name  name of the file, without its folder; default: the clip's own
    gestational_age  weeks, for z-scores
    Raises UnwritableOutput, and InvalidRequest when no frame was segmented.
    """
    from . import charts, overlay_pictures

    folder = Path(folder)
    files = ResultFiles(
        montage=folder / "montage.png",
        animation=folder / "overlay.webp",
        conditions_chart=folder / "conditions.png",
        areas_chart=folder / "areas.png",
        conditions_csv=folder / "conditions.csv",
        frames_csv=folder / "frames.csv",
        measurements_csv=folder / "measurements.csv",
        report=folder / "report.html",
    )
    frames, conditions = frame_table(cine, prediction), condition_table(prediction, thresholds)
    measures = measurement_table(cine, prediction, gestational_age)
    picture = overlay_pictures.montage(cine, prediction)
    moving = overlay_pictures.animation(cine, prediction)
    overlay_pictures.write_picture(files.montage, picture)
    write_bytes(files.animation, moving)
    charts.write_chart(
        files.conditions_chart, charts.condition_chart(conditions), note=f"{RESEARCH_ONLY}\n{conditions.model}"
    )
    charts.write_chart(files.areas_chart, charts.area_chart(frames), note=frames.model)
    frames.to_csv(files.frames_csv)
    conditions.to_csv(files.conditions_csv)
    measures.to_csv(files.measurements_csv)
    page = render_report(cine, prediction, frames, conditions, measures, picture, moving, input_name)
    write_text(files.report, page)
    return files


def render_report(
    cine: Cine,
    prediction: Prediction,
    frames: FrameTable,
    conditions: ConditionTable,
    measures: MeasurementTable,
    montage: np.ndarray,
    animation: bytes,
    input_name: str = "",
    when: datetime | None = None,
) -> str:
    """The report as HTML.

    montage    (H, W, 3) uint8 from ``overlay_pictures.montage``
    animation  WebP bytes from ``overlay_pictures.animation``
    when       the time printed, default now
    """
    import jinja2

    from . import charts, overlay_pictures

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    moved = overlay_pictures.animation_frames(cine, prediction)
    name = Path(input_name).name or (cine.origin.path.name if cine.origin.path else "generated clip")
    return environment.get_template("report.html.j2").render(
        title=name,
        when=(when or datetime.now(UTC)).strftime("%Y-%m-%d %H:%M UTC"),
        research_only=RESEARCH_ONLY,
        facts=_clip_facts(cine, prediction),
        notes=list(dict.fromkeys((*cine.notes, *prediction.notes))),
        bundle=prediction.bundle,
        view=prediction.view,
        view_source=_VIEW_SOURCES.get(prediction.view_source, prediction.view_source),
        views=_view_rows(prediction),
        montage=_embed(overlay_pictures.encode_picture(montage), "image/webp"),
        animation=_embed(animation, "image/webp") if len(moved) > 1 else "",
        animation_text=_animation_text(cine, moved),
        conditions=conditions.rows,
        condition_chart=_chart(charts.to_svg(charts.condition_chart(conditions))),
        confidence_chart=_chart(charts.to_svg(charts.confidence_chart(frames))) if len(cine) > 1 else "",
        area_chart=_chart(charts.to_svg(charts.area_chart(frames))) if len(cine) > 1 else "",
        area_unit=frames.unit,
        measures=measures.rows,
        structures=_structure_rows(frames),
        has_rings=any(s in frames.areas for s in (Structure.WHOLE_HEART, Structure.THORAX)),
        frame_header=[s.info.short for s in frames.areas],
        frame_rows=_frame_rows(frames)[:_MOST_ROWS],
        frame_total=len(cine),
        versions=_versions(),
    )


_VIEW_SOURCES = {
    "user": "chosen by the user",
    "file": "named by the file",
    "predicted": "found by the model",
}


def _clip_facts(cine: Cine, prediction: Prediction) -> list[tuple[str, str]]:
    height, width = cine.image_shape
    done = int(prediction.done.sum())
    rate = cine.frame_rate
    seconds = f", {cine.times[-1] - cine.times[0]:.2f} s" if rate else ""
    spacing = (
        "none" if cine.spacing is None else f"{cine.spacing[0]:.4f} × {cine.spacing[1]:.4f} mm per pixel (row × column)"
    )
    return [
        ("Frames", f"{len(cine)}{seconds}" if len(cine) > 1 else "1 (still image)"),
        ("Segmented", "all frames" if done == len(cine) else f"{done} of {len(cine)} frames"),
        ("Frame rate", f"{rate:.1f} Hz ({cine.timing})" if rate else ("—" if len(cine) == 1 else cine.timing)),
        ("Image", f"{width} × {height} pixels, {'colour' if cine.is_color else 'grey'}"),
        ("Calibration", f"{spacing} ({cine.calibration})"),
    ]


def _view_rows(prediction: Prediction) -> list[tuple[str, float | None, bool]]:
    return [
        (view.title, None if np.isnan(p) else float(p), view == prediction.view)
        for view, p in zip(View, prediction.view_probabilities, strict=True)
    ]


def _animation_text(cine: Cine, frames: list[int]) -> str:
    if len(frames) < 2:
        return ""
    step = frames[1] - frames[0]
    every = "" if step == 1 else f", one in {step}"
    speed = "at the clip's own speed" if cine.has_known_times else "at 10 frames per second (times unknown)"
    return f"Frames {frames[0]} to {frames[-1]}{every}, {speed}."


def _structure_rows(frames: FrameTable) -> list[tuple[str, str, int, float, float, float]]:
    """(name, colour, frames it was seen in, smallest, mean and largest area over those frames)."""
    rows = []
    for structure, area in frames.areas.items():
        seen = area[np.nan_to_num(area) > 0]
        if seen.size:
            color = "#" + bytes(structure.info.color).hex()
            rows.append(
                (structure.info.title, color, seen.size, float(seen.min()), float(seen.mean()), float(seen.max()))
            )
    return rows


def _frame_rows(frames: FrameTable) -> list[tuple[int, str, str, list[str]]]:
    digits = 0 if frames.unit == "px" else 1

    def text(value: float, places: int) -> str:
        return "" if np.isnan(value) else f"{value:.{places}f}"

    return [
        (
            int(frames.frames[k]),
            text(frames.seconds[k], 3),
            text(frames.confidence[k], 2),
            [text(area[k], digits) for area in frames.areas.values()],
        )
        for k in range(len(frames.frames))
    ]


def _versions() -> list[tuple[str, str]]:
    found = [("FetalEcho", __version__), ("Python", platform.python_version())]
    for package in _PACKAGES:
        try:
            found.append((package, metadata.version(package)))
        except metadata.PackageNotFoundError:
            continue  # Slicer may run the report where a package was never needed
    return found


def _chart(svg: str) -> Markup:
    from markupsafe import Markup

    return Markup(svg)  # drawn by us, from numbers and our own names


def _embed(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
