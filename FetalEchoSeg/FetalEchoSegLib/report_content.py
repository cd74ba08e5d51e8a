"""What a report says, once for all its forms: `report` writes it as a web page, `report_pdf` on paper."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import numpy as np

from . import __version__
from .anatomy import Structure, View
from .cine import Cine
from .conditions import ConditionThreshold
from .prediction import BundleIdentity, Prediction
from .tables import ConditionTable, FrameTable, MeasurementTable, condition_table, frame_table, measurement_table

NO_DIAGNOSIS = (
    "From the masks above. Not for diagnosis; a value is only as good as its masks. ± is what the size of a pixel"
    " leaves open, not the error of the model or of the reader."
)
CONFIDENCE_MEANS = (
    "Mean probability of the chosen label over the structures' pixels. It tells where the model hesitates, not"
    " whether it is right."
)
_PACKAGES = ("numpy", "torch", "monai", "pydicom")
_VIEW_SOURCES = {"user": "chosen by the user", "file": "named by the file", "predicted": "found by the model"}
_AUTHORS = {"model": "drawn by the model", "clicks": "corrected by clicks", "hand": "corrected by hand"}


@dataclass(frozen=True)
class MaskHistory:
    """What people did to a model's masks.

    drawn_by  (T,) who drew each frame: "model", "clicks", "hand", or "" for nobody
    accepted  numbers of the frames that somebody accepted
    """

    drawn_by: Sequence[str] = ()
    accepted: Sequence[int] = ()

    @property
    def text(self) -> str:
        """Such as "58 frames drawn by the model, 2 frames corrected by hand; none accepted", or ""."""
        counts = [(who, sum(author == key for author in self.drawn_by)) for key, who in _AUTHORS.items()]
        parts = [f"{_frames(count)} {who}" for who, count in counts if count]
        if not parts:
            return ""
        return f"{', '.join(parts)}; {_frames(len(self.accepted)) if self.accepted else 'none'} accepted"


@dataclass(frozen=True)
class StructureRow:
    """Areas of one structure over the frames it was seen in."""

    structure: Structure
    seen: int
    smallest: float
    mean: float
    largest: float

    @property
    def color(self) -> str:
        """Its colour as "#rrggbb"."""
        return "#" + bytes(self.structure.info.color).hex()


@dataclass(frozen=True)
class ReportContent:
    """Everything a report shows.

    title           name of the file, never its folder
    when            UTC
    facts           (name, value) of the clip
    notes           sentences for the reader
    views           (title, probability or None, whether it was used)
    montage         (H, W, 3) uint8
    animation       WebP bytes, b"" for a still
    """

    title: str
    when: str
    facts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    bundle: BundleIdentity
    view: View
    view_source: str
    views: tuple[tuple[str, float | None, bool], ...]
    montage: np.ndarray
    animation: bytes
    animation_text: str
    is_clip: bool
    frames: FrameTable
    conditions: ConditionTable
    measures: MeasurementTable
    structures: tuple[StructureRow, ...]
    versions: tuple[tuple[str, str], ...]

    @property
    def has_rings(self) -> bool:
        """Whether structures are listed that count with their content."""
        return any(s in self.frames.areas for s in (Structure.WHOLE_HEART, Structure.THORAX))

    def frame_rows(self, most: int) -> list[tuple[int, str, str, list[str]]]:
        """(frame, seconds, confidence, areas) of the first ``most`` frames as texts, "" where unknown."""
        frames = self.frames
        digits = 0 if frames.unit == "px" else 1
        return [
            (
                int(frames.frames[k]),
                _text(frames.seconds[k], 3),
                _text(frames.confidence[k], 2),
                [_text(area[k], digits) for area in frames.areas.values()],
            )
            for k in range(min(most, len(frames.frames)))
        ]


def report_content(
    cine: Cine,
    prediction: Prediction,
    thresholds: Sequence[ConditionThreshold] | None = None,
    *,
    input_name: str = "",
    gestational_age: float | None = None,
    spine: tuple[float, float] | None = None,
    spine_frame: int | None = None,
    history: MaskHistory | None = None,
    animated: bool = True,
    cancelled: Callable[[], bool] | None = None,
    when: datetime | None = None,
) -> ReportContent:
    """Measure a clip and collect what its report says.

    thresholds       in the order of ``Condition``, from the bundle; without them a wide abstain band
    input_name       name of the file; default: the clip's own
    gestational_age  weeks, for z-scores
    spine            (row, column) of a click on the spine in ``spine_frame``, see ``measurements.measure``
    animated         with an animation, which only the web page shows
    cancelled        asked while measuring
    when             the time printed, default now
    Raises InvalidRequest when no frame was segmented, and Cancelled.
    """
    from . import overlay_pictures

    frames = frame_table(cine, prediction)
    moved = overlay_pictures.animation_frames(cine, prediction)
    return ReportContent(
        title=Path(input_name).name or (cine.origin.path.name if cine.origin.path else "generated clip"),
        when=(when or datetime.now(UTC)).strftime("%Y-%m-%d %H:%M UTC"),
        facts=_facts(cine, prediction, gestational_age, history or MaskHistory()),
        notes=tuple(dict.fromkeys((*cine.notes, *prediction.notes))),
        bundle=prediction.bundle,
        view=prediction.view,
        view_source=_VIEW_SOURCES.get(prediction.view_source, prediction.view_source),
        views=tuple(
            (view.title, None if np.isnan(p) else float(p), view == prediction.view)
            for view, p in zip(View, prediction.view_probabilities, strict=True)
        ),
        montage=overlay_pictures.montage(cine, prediction),
        animation=overlay_pictures.animation(cine, prediction) if animated and len(moved) > 1 else b"",
        animation_text=_animation_text(cine, moved),
        is_clip=len(cine) > 1,
        frames=frames,
        conditions=condition_table(prediction, thresholds),
        measures=measurement_table(cine, prediction, gestational_age, spine, spine_frame, cancelled),
        structures=_structure_rows(frames),
        versions=_versions(),
    )


def gestation_text(weeks: float) -> str:
    """Such as "22 weeks + 3 days"."""
    days = round(weeks * 7)
    return f"{days // 7} weeks + {days % 7} day{'s' * (days % 7 != 1)}"


def _facts(
    cine: Cine, prediction: Prediction, gestational_age: float | None, history: MaskHistory
) -> tuple[tuple[str, str], ...]:
    height, width = cine.image_shape
    done = int(prediction.done.sum())
    rate = cine.frame_rate
    seconds = f", {cine.times[-1] - cine.times[0]:.2f} s" if rate else ""
    spacing = (
        "none" if cine.spacing is None else f"{cine.spacing[0]:.4f} × {cine.spacing[1]:.4f} mm per pixel (row × column)"
    )
    facts = [
        ("Frames", f"{len(cine)}{seconds}" if len(cine) > 1 else "1 (still image)"),
        ("Segmented", "all frames" if done == len(cine) else f"{done} of {len(cine)} frames"),
        ("Masks", history.text),
        ("Frame rate", f"{rate:.1f} Hz ({cine.timing})" if rate else ("—" if len(cine) == 1 else cine.timing)),
        ("Image", f"{width} × {height} pixels, {'colour' if cine.is_color else 'grey'}"),
        ("Calibration", f"{spacing} ({cine.calibration})"),
        ("Gestational age", gestation_text(gestational_age) if gestational_age else "not entered"),
    ]
    return tuple((name, value) for name, value in facts if value)


def _animation_text(cine: Cine, frames: list[int]) -> str:
    if len(frames) < 2:
        return ""
    step = frames[1] - frames[0]
    every = "" if step == 1 else f", one in {step}"
    speed = "at the clip's own speed" if cine.has_known_times else "at 10 frames per second (times unknown)"
    return f"Frames {frames[0]} to {frames[-1]}{every}, {speed}."


def _structure_rows(frames: FrameTable) -> tuple[StructureRow, ...]:
    rows = []
    for structure, area in frames.areas.items():
        seen = area[np.nan_to_num(area) > 0]
        if seen.size:
            rows.append(StructureRow(structure, seen.size, float(seen.min()), float(seen.mean()), float(seen.max())))
    return tuple(rows)


def _versions() -> tuple[tuple[str, str], ...]:
    found = [("FetalEcho", __version__), ("Python", platform.python_version())]
    for package in _PACKAGES:
        try:
            found.append((package, metadata.version(package)))
        except metadata.PackageNotFoundError:
            continue  # Slicer may run the report where a package was never needed
    return tuple(found)


def _frames(count: int) -> str:
    return f"{count} frame{'s' * (count != 1)}"


def _text(value: float, places: int) -> str:
    return "" if np.isnan(value) else f"{value:.{places}f}"
