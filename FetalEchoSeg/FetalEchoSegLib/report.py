"""The files of a result: the report as a web page and as PDF, its tables, pictures and charts.

The page loads nothing from anywhere, prints on A4 or Letter and follows the reader's light or dark setting. It names
the file, never the patient.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .anatomy import RESEARCH_ONLY
from .cine import Cine
from .conditions import ConditionThreshold
from .errors import InvalidRequest
from .output_files import write_bytes, write_text
from .prediction import Prediction
from .report_content import CONFIDENCE_MEANS, NO_DIAGNOSIS, ReportContent, report_content

if TYPE_CHECKING:
    from markupsafe import Markup

FORMATS = ("html", "pdf", "csv")
_NAMES = {
    "html": ("report.html",),
    "pdf": ("report.pdf",),
    "csv": ("conditions.csv", "frames.csv", "measurements.csv"),
}
_TEMPLATES = Path(__file__).parent / "templates"
_MOST_ROWS = 300  # of the per-frame table; the CSV holds all


@dataclass(frozen=True)
class ResultFiles:
    """The files that ``write_result_files`` made; ``pdf`` is None where it was not asked for."""

    montage: Path
    animation: Path
    conditions_chart: Path
    areas_chart: Path
    conditions_csv: Path
    frames_csv: Path
    measurements_csv: Path
    report: Path
    pdf: Path | None = None

    @property
    def all(self) -> tuple[Path, ...]:
        """All of them, the report first."""
        reports = (self.report,) if self.pdf is None else (self.report, self.pdf)
        return (
            *reports,
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
    pdf: bool = False,
) -> ResultFiles:
    """Write tables, pictures, charts and report of one result into ``folder``; see ``report_content``.

    pdf  also as report.pdf
    Raises UnwritableOutput, and InvalidRequest when no frame was segmented.
    """
    from . import charts, overlay_pictures

    content = report_content(cine, prediction, thresholds, input_name=input_name, gestational_age=gestational_age)
    folder = Path(folder)
    formats = FORMATS if pdf else ("html", "csv")
    reports = {path.name: path for path in write_report(folder, content, formats)}
    files = ResultFiles(
        montage=folder / "montage.png",
        animation=folder / "overlay.webp",
        conditions_chart=folder / "conditions.png",
        areas_chart=folder / "areas.png",
        conditions_csv=reports["conditions.csv"],
        frames_csv=reports["frames.csv"],
        measurements_csv=reports["measurements.csv"],
        report=reports["report.html"],
        pdf=reports.get("report.pdf"),
    )
    overlay_pictures.write_picture(files.montage, content.montage)
    write_bytes(files.animation, content.animation or overlay_pictures.animation(cine, prediction))
    charts.write_chart(
        files.conditions_chart,
        charts.condition_chart(content.conditions),
        note=f"{RESEARCH_ONLY}\n{content.conditions.model}",
    )
    charts.write_chart(
        files.areas_chart, charts.area_chart(content.frames, content.measures.beats), note=content.frames.model
    )
    return files


def write_report(
    folder: Path | str, content: ReportContent, formats: Collection[str] = FORMATS, stem: str = ""
) -> tuple[Path, ...]:
    """Write a report into ``folder`` and return its files.

    formats  of "html" (report.html), "pdf" (report.pdf), "csv" (conditions.csv, frames.csv, measurements.csv)
    stem     put before every name, so that the reports of several clips fit in one folder
    Raises InvalidRequest for an unknown format or none, MissingDependency without the library for PDF, and
    UnwritableOutput. Each file is written as a whole or not at all.
    """
    paths = {name: Path(folder) / name for name in report_names(formats, stem)}
    for name, path in paths.items():
        if name.endswith(".html"):
            write_text(path, render_html(content))
        elif name.endswith(".pdf"):
            from .report_pdf import render_pdf

            write_bytes(path, render_pdf(content))
        elif name.endswith("conditions.csv"):
            content.conditions.to_csv(path)
        elif name.endswith("frames.csv"):
            content.frames.to_csv(path)
        else:
            content.measures.to_csv(path)
    return tuple(paths.values())


def report_names(formats: Collection[str], stem: str = "") -> tuple[str, ...]:
    """Names of the files that ``write_report`` makes; raises InvalidRequest as it does."""
    check_formats(formats)
    prefix = f"{stem} " if stem else ""
    return tuple(f"{prefix}{name}" for wanted in FORMATS if wanted in formats for name in _NAMES[wanted])


def check_formats(formats: Collection[str]) -> None:
    """InvalidRequest when ``formats`` is empty or holds an unknown one."""
    unknown = sorted(set(formats) - set(FORMATS))
    if unknown or not formats:
        wrong = f"There is no report as '{unknown[0]}'" if unknown else "No format was chosen for the report"
        raise InvalidRequest(f"{wrong}: choose among {', '.join(FORMATS)}.")


def render_html(content: ReportContent) -> str:
    """The report as one HTML page."""
    import jinja2

    from . import charts, overlay_pictures

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    frames, measures = content.frames, content.measures
    return environment.get_template("report.html.j2").render(
        content=content,
        research_only=RESEARCH_ONLY,
        no_diagnosis=NO_DIAGNOSIS,
        confidence_means=CONFIDENCE_MEANS,
        bundle=content.bundle,
        montage=_embed(overlay_pictures.encode_picture(content.montage), "image/webp"),
        animation=_embed(content.animation, "image/webp") if content.animation else "",
        condition_chart=_chart(charts.to_svg(charts.condition_chart(content.conditions))),
        confidence_chart=_chart(charts.to_svg(charts.confidence_chart(frames))) if content.is_clip else "",
        area_chart=_chart(charts.to_svg(charts.area_chart(frames, measures.beats))) if content.is_clip else "",
        area_unit=frames.unit,
        frame_header=[s.info.short for s in frames.areas],
        frame_rows=content.frame_rows(_MOST_ROWS),
        frame_total=len(frames.frames),
    )


def _chart(svg: str) -> Markup:
    from markupsafe import Markup

    return Markup(svg)  # drawn by us, from numbers and our own names


def _embed(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
