"""DICOM ultrasound: one file, multi-frame or single, or a folder with the single frames of one series.

Ultrasound (modality US) is read; secondary captures, to which ultrasound is often exported, are read with a note.
Everything else is refused. No name and no date leaves this module: the patient id is hashed.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..cine import Cine, Origin, hash_patient
from ..errors import UnreadableInput
from ..ordering import natural_order
from .common import MemoryLimit, Opened, assumed_times, guarded, size_notes
from .dicom_calibration import Calibration, calibrate
from .dicom_fragments import PixelData, locate_frames
from .dicom_pixels import (
    DicomFrames,
    PixelFormat,
    encoding_of,
    pixel_format,
    require_decoder,
    syntax_name,
)
from .dicom_timing import FrameTimes, frame_times
from .dicom_values import DICOM_DAMAGE, code, text, value, whole

_ULTRASOUND = {
    "1.2.840.10008.5.1.4.1.1.6.1": "ultrasound image",
    "1.2.840.10008.5.1.4.1.1.3.1": "ultrasound multi-frame image",
    "1.2.840.10008.5.1.4.1.1.6": "ultrasound image (retired class)",
    "1.2.840.10008.5.1.4.1.1.3": "ultrasound multi-frame image (retired class)",
}
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"  # and its multi-frame kinds .7.1 to .7.4
_CAPTURE_MODALITIES = ("", "US", "OT", "SC")
# The element Transfer Syntax UID with the value Deflated Explicit VR Little Endian.
_DEFLATED = re.compile(rb"\x02\x00\x10\x00UI..1\.2\.840\.10008\.1\.2\.1\.99\x00?", re.DOTALL)
# Elements above this size are not read: only pixel data and private waveforms are so large.
_LARGEST_ELEMENT = 4 << 20


@dataclass(frozen=True)
class _Image:
    """Header of one file and where its frames lie; no pixel is decoded."""

    path: Path
    kind: str
    frames: int
    format: PixelFormat
    data: PixelData
    dataset: Any
    notes: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.frames, *self.format.frame_shape)

    @property
    def series(self) -> str:
        return code(self.dataset, "SeriesInstanceUID")


def open_dicom(path: Path, limit: MemoryLimit) -> Opened:
    """Open one DICOM file; raises UnreadableInput or MissingDependency."""
    image = _open_image(path, limit)
    calibration = calibrate(image.dataset, image.format.rows, image.format.columns)
    times = frame_times(image.dataset, image.frames)
    source = DicomFrames(path, image.format, image.data, image.dataset)
    return _opened(image, source, calibration, times, f"DICOM {image.kind}", path)


def open_series(folder: Path, paths: list[Path], limit: MemoryLimit) -> Opened:
    """Open a folder of single-frame DICOM files of one series as one clip, in the order of their instance numbers.

    Raises UnreadableInput when the folder mixes series, sizes or multi-frame files.
    """
    images = [_open_image(path, limit) for path in paths]
    first = images[0]
    if len(images) == 1:
        return open_dicom(paths[0], limit)
    for image in images:
        if image.frames > 1:
            raise UnreadableInput(
                f"{folder}: it holds several files and {image.path.name} is a clip of its own; choose one file."
            )
        if image.series != first.series:
            raise UnreadableInput(
                f"{folder}: {first.path.name} and {image.path.name} are of different series; "
                "choose one file or a folder with one series."
            )
        if image.format.frame_shape != first.format.frame_shape:
            raise UnreadableInput(
                f"{folder}: {first.path.name} is {first.format.columns} × {first.format.rows} pixels and "
                f"{image.path.name} {image.format.columns} × {image.format.rows} (or one is grey and one is colour); "
                "a clip needs frames of one size and kind."
            )
    limit.check(folder, (len(images), *first.format.frame_shape))
    images.sort(key=lambda image: (_instance(image), natural_order(image.path.name)))
    first = images[0]
    source = _Series([DicomFrames(i.path, i.format, i.data, i.dataset) for i in images])
    calibrations = [calibrate(i.dataset, i.format.rows, i.format.columns) for i in images]
    calibration = calibrations[0]
    if any(not _agree(calibration.spacing, other.spacing) for other in calibrations):
        reason = "the files of the series state different pixel sizes"
        calibration = Calibration(None, f"unknown: {reason}", (f"No pixel size: {reason}.",))
    times, timing = assumed_times(len(images), "single images state no frame time")
    step = frame_times(first.dataset, 2)
    if not step.timing.startswith("unknown"):
        times, timing = np.arange(len(images)) * step.times[1], step.timing
    return _opened(first, source, calibration, FrameTimes(times, timing), "DICOM series of single images", folder)


@dataclass(frozen=True)
class _Series:
    """Frames of several single-frame files."""

    files: list[DicomFrames]

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.files), *self.files[0].shape[1:])

    def read(self, index: int) -> np.ndarray:
        return self.files[index].read(0)


def _instance(image: _Image) -> int:
    return whole(image.dataset, "InstanceNumber") or 0


def _agree(one: tuple[float, float] | None, other: tuple[float, float] | None) -> bool:
    if one is None or other is None:
        return one is other
    return bool(np.allclose(one, other, rtol=0.01))


def _opened(image: _Image, source: Any, calibration: Calibration, times: FrameTimes, kind: str, origin: Path) -> Opened:
    cine = Cine(
        source=source,
        times=times.times,
        timing=times.timing,
        spacing=calibration.spacing,
        calibration=calibration.reason,
        origin=Origin(
            path=origin,
            uid=image.series if isinstance(source, _Series) else code(image.dataset, "SOPInstanceUID"),
            patient_hash=hash_patient(text(image.dataset, "PatientID")),
        ),
        notes=(*image.notes, *calibration.notes, *times.notes, *size_notes(source.shape)),
    )
    bits = image.format.bits_stored
    details = (
        ("transfer syntax", syntax_name(image.format.transfer_syntax)),
        ("photometric interpretation", image.format.photometric),
        ("bits", f"{bits} of {image.format.bits_allocated}" if bits != image.format.bits_allocated else str(bits)),
        ("device", " ".join(filter(None, (code(image.dataset, k) for k in ("Manufacturer", "ManufacturerModelName"))))),
    )
    return Opened(cine, kind, tuple((name, found) for name, found in details if found))


class _Clamped(io.BufferedReader):
    """A file that never reads beyond its end: a damaged length would otherwise reserve gigabytes first."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self.size = path.stat().st_size

    def read(self, size: int | None = -1, /) -> bytes:
        rest = max(0, self.size - self.tell())
        return super().read(rest if size is None or size < 0 else min(size, rest))


def _open_image(path: Path, limit: MemoryLimit) -> _Image:
    import pydicom

    with guarded(path, "the DICOM header", DICOM_DAMAGE), _Clamped(path) as file:
        # pydicom would inflate the whole file at once, however large it becomes.
        if _DEFLATED.search(file.read(4096)):
            raise UnreadableInput(
                f"{path}: a deflated DICOM file is not supported; export it uncompressed, as JPEG or RLE."
            )
        file.seek(0)
        # Without the magic of PS3.10 the user's word (the extension) decides that it is DICOM.
        dataset = pydicom.dcmread(file, stop_before_pixels=True, force=True, defer_size=_LARGEST_ELEMENT)
        if len(dataset) == 0:
            raise UnreadableInput(f"{path}: it is empty or no DICOM file; export or copy it again.")
        kind, notes = _kind(dataset, path)
        frames = _frame_count(dataset, path)
        stored = pixel_format(dataset, path)
        limit.check(path, (frames, *stored.frame_shape))
        require_decoder(stored.transfer_syntax, path)
        encoding = encoding_of(stored.transfer_syntax, dataset)
        native = stored.native_bytes
        position = file.tell()
        data = locate_frames(file, path, file.size, dataset, encoding, frames, native)
        if stored.photometric == "YBR_FULL_422" and not data.encapsulated and data.surplus >= frames * native // 2:
            # Written without the subsampling that the header states: three full samples per pixel.
            stored = PixelFormat(**{**vars(stored), "photometric": "YBR_FULL"})
            file.seek(position)
            data = locate_frames(file, path, file.size, dataset, encoding, frames, stored.native_bytes)
    if not data.encapsulated and data.surplus >= stored.native_bytes:
        notes += (f"The file holds more pixel data than its {frames} declared frames; the rest was not read.",)
    return _Image(path, kind, frames, stored, data, dataset, notes)


def _kind(dataset: Any, path: Path) -> tuple[str, tuple[str, ...]]:
    """What the object is, and a note; raises UnreadableInput for everything that is not ultrasound."""
    modality = code(dataset, "Modality").upper()
    sop_class = code(dataset, "SOPClassUID")
    if modality in ("US", "") and sop_class in _ULTRASOUND:
        return _ULTRASOUND[sop_class], ()
    if modality in _CAPTURE_MODALITIES and (
        sop_class == _SECONDARY_CAPTURE or sop_class.startswith(f"{_SECONDARY_CAPTURE}.")
    ):
        note = "This is a secondary capture: make sure that it shows ultrasound; its pixel size is often lost."
        return "secondary capture", (note,)
    if modality == "US" and not sop_class:
        return "ultrasound image", (
            "The file does not say which kind of DICOM object it is; it was read as ultrasound.",
        )
    if value(dataset, "Rows") is None and not modality and not sop_class:
        raise UnreadableInput(f"{path}: it is no DICOM image or its header is damaged; export or copy it again.")
    from pydicom.uid import UID

    name = UID(sop_class).name if sop_class else "no object class"
    raise UnreadableInput(
        f"{path}: it is not ultrasound (modality {modality or 'not stated'}, {name}); "
        "choose a DICOM file of modality US."
    )


def _frame_count(dataset: Any, path: Path) -> int:
    # Absent or empty means a single image; present and unreadable must not pass for one.
    if "NumberOfFrames" not in dataset or not dataset.get_item("NumberOfFrames").value:
        return 1
    count = whole(dataset, "NumberOfFrames")
    if count is None or count < 1:
        raise UnreadableInput(
            f"{path}: it declares {count if count is not None else 'no valid number of'} frames; export the clip again."
        )
    return count
