"""Pixel size of a DICOM ultrasound image, trusted only as far as the file does not contradict itself.

The source is SequenceOfUltrasoundRegions (PS3.3 C.8.5.5): a two-dimensional region (spatial format 1) of tissue or
colour flow (data type 1 or 2) in cm (units 3). Strips with an M-mode, a spectrum or an ECG are passed over. Scanners
and archives that scale an image forget the regions, so every region must lie inside the image.

PixelSpacing is no part of the ultrasound image modules and often a placeholder; it is used only when there are no
regions and PixelSpacingCalibrationType states that it was calibrated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .common import checked_spacing
from .dicom_values import code, items, number, numbers, whole

_TWO_DIMENSIONAL = 1
_TISSUE, _COLOR_FLOW = 1, 2
_CENTIMETRES = 3
_AGREEMENT = 0.01
# Some scanners give the last pixel, others the first one outside.
_BORDER = 1


@dataclass(frozen=True)
class Calibration:
    """Spacing (row, column) in mm or None, ``Cine.calibration`` and sentences for the user."""

    spacing: tuple[float, float] | None
    reason: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Region:
    index: int
    spacing: tuple[float, float]


def calibrate(dataset: Any, rows: int, columns: int) -> Calibration:
    """Pixel size from the header of an image of ``rows`` × ``columns`` pixels; the reason when there is none."""
    regions = items(dataset, "SequenceOfUltrasoundRegions")
    if not regions:
        return _from_pixel_spacing(dataset)
    notes: list[str] = []
    usable: list[_Region] = []
    problems: list[str] = []
    images = 0
    for index, region in enumerate(regions):
        if whole(region, "RegionSpatialFormat") != _TWO_DIMENSIONAL:
            continue
        if whole(region, "RegionDataType") not in (_TISSUE, _COLOR_FLOW):
            continue
        images += 1
        outside = _outside(region, index, rows, columns)
        if outside:
            # The image was scaled or cut after the scanner described it: no region of it can be trusted.
            return Calibration(None, f"unknown: {outside}", (f"No pixel size: {outside}.",))
        spacing, problem, note = _spacing(region, index)
        if note:
            notes.append(note)
        if spacing is None:
            problems.append(problem)
        else:
            usable.append(_Region(index, spacing))
    if not usable:
        reason = problems[0] if problems else f"none of the {len(regions)} regions is a two-dimensional image"
        if images == 0 and len(regions) == 1:
            reason = "region 0 is not a two-dimensional image"
        return Calibration(None, f"unknown: {reason}", (*notes, f"No pixel size: {reason}."))
    notes += [f"{problem[0].upper()}{problem[1:]}; the other region was used." for problem in problems]
    first = usable[0]
    for other in usable[1:]:
        if any(abs(a - b) > _AGREEMENT * max(a, b) for a, b in zip(first.spacing, other.spacing, strict=True)):
            reason = (
                f"regions {first.index} and {other.index} contradict each other "
                f"({_millimetres(first.spacing)} and {_millimetres(other.spacing)} per pixel)"
            )
            return Calibration(None, f"unknown: {reason}", (*notes, f"No pixel size: {reason}."))
    if len(usable) == 1:
        return Calibration(first.spacing, f"dicom region {first.index}", tuple(notes))
    names = ", ".join(str(region.index) for region in usable)
    return Calibration(first.spacing, f"dicom regions {names} (they agree)", tuple(notes))


def _outside(region: Any, index: int, rows: int, columns: int) -> str:
    corners = [
        whole(region, f"RegionLocation{name}") for name in ("MinX0", "MaxX1", "MinY0", "MaxY1")
    ]  # inclusive pixel indices
    if any(corner is None for corner in corners):
        return f"region {index} does not say where it lies in the image"
    left, right, top, bottom = (int(corner) for corner in corners if corner is not None)
    place = f"region {index} ({left}..{right} × {top}..{bottom})"
    if left < 0 or top < 0 or left >= right or top >= bottom:
        return f"{place} is empty or turned around"
    if right >= columns + _BORDER or bottom >= rows + _BORDER:
        return f"{place} is larger than the image ({columns} × {rows})"
    return ""


def _spacing(region: Any, index: int) -> tuple[tuple[float, float] | None, str, str]:
    units = whole(region, "PhysicalUnitsXDirection"), whole(region, "PhysicalUnitsYDirection")
    if units != (_CENTIMETRES, _CENTIMETRES):
        return None, f"the units of region {index} are not cm", ""
    column, row = number(region, "PhysicalDeltaX"), number(region, "PhysicalDeltaY")
    if row is None or column is None:
        return None, f"region {index} does not give the size of a pixel", ""
    spacing = abs(row) * 10, abs(column) * 10
    problem = checked_spacing(*spacing)
    if problem:
        return None, f"in region {index} {problem}", ""
    note = ""
    if row < 0 or column < 0:
        note = f"Region {index} counts against the pixel order (negative delta); the size of a pixel was used."
    return spacing, "", note


def _from_pixel_spacing(dataset: Any) -> Calibration:
    stated = numbers(dataset, "PixelSpacing")
    if not stated:
        return Calibration(None, "unknown: no ultrasound region in the file")
    kind = code(dataset, "PixelSpacingCalibrationType").upper()
    if kind not in ("GEOMETRY", "FIDUCIAL"):
        reason = "PixelSpacing without ultrasound regions is not calibrated"
        return Calibration(None, f"unknown: {reason}", (f"No pixel size: {reason}.",))
    if len(stated) != 2:
        return Calibration(None, "unknown: PixelSpacing does not hold two values")
    problem = checked_spacing(*stated)
    if problem:
        return Calibration(None, f"unknown: in PixelSpacing {problem}")
    return Calibration((stated[0], stated[1]), f"dicom PixelSpacing ({kind.lower()})")


def _millimetres(spacing: tuple[float, float]) -> str:
    row, column = spacing
    return f"{column:.4g} × {row:.4g} mm"
