"""From an ultrasound file to a Cine.

``read_cine`` opens DICOM, FETUS HDF5, NRRD and Slicer sequences, MetaImage, images and folders of images, and video;
``describe`` says what a file is without decoding it. The kind is recognised by content first, then by extension.
Every problem is a FetalEchoError whose text is one sentence for the user.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..anatomy import View
from ..cine import Cine
from ..errors import UnreadableInput
from ..ordering import natural_order
from .common import MemoryLimit, Opened, guarded, ignorable, user_spacing

__all__ = ["FileDescription", "describe", "read_cine"]

_DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
_READABLE = "DICOM, FETUS HDF5, NRRD, MetaImage, PNG, JPEG, TIFF, BMP or video"


def read_cine(
    path: Path | str,
    *,
    view: View | None = None,
    view_required: bool = True,
    manual_spacing: tuple[float, float] | None = None,
    memory_limit: int | None = None,
) -> Cine:
    """Open an ultrasound file or folder as a clip; frames are decoded when they are used, each once.

    path            file, or folder with the images or the single-frame DICOM files of one clip
    view            the user's view; wins over the file's
    view_required   refuse a FETUS file that lacks its view; False when the model is to find it
    manual_spacing  the user's pixel size, (row, column) in mm; wins over the file's
    memory_limit    bytes the decoded clip may take, by default 80 % of the free memory

    The first frame is decoded at once, so that a file which cannot be decoded is refused here and not in the middle of
    the work. Raises UnreadableInput, MissingDependency or InvalidRequest.

    >>> cine = read_cine("clip.dcm", view=View.FOUR_CHAMBER)  # doctest: +SKIP
    >>> cine.shape, cine.spacing, cine.timing  # doctest: +SKIP
    ((30, 240, 320, 3), (0.26, 0.26), 'FrameTime')
    """
    spacing = None if manual_spacing is None else user_spacing(manual_spacing)
    path = Path(path)
    cine = _open(path, MemoryLimit(memory_limit), view, view_required).cine
    if view is not None:
        cine.view = view
    if spacing is not None:
        cine.spacing, cine.calibration = spacing, "user"
        cine.notes = tuple(note for note in cine.notes if not note.startswith("No pixel size:"))
    with guarded(path, "the clip"):
        cine.frame(0)
    return cine


@dataclass(frozen=True)
class FileDescription:
    """What a file is, for ``fetalecho info``; ``str`` gives lines for people.

    image_shape     (H, W) in pixels
    timing          where the frame times come from, or why there are none; duration in s
    spacing         (row, column) mm or None; calibration says where it comes from or why there is none
    measurable      what can be measured in this file; not_measurable what cannot, with the reason
    details         facts of the format alone: transfer syntax, photometric interpretation, codec
    """

    path: Path
    format: str
    frames: int
    image_shape: tuple[int, int]
    is_color: bool
    timing: str
    frame_rate: float | None
    duration: float | None
    spacing: tuple[float, float] | None
    calibration: str
    view: View | None
    notes: tuple[str, ...]
    measurable: tuple[str, ...]
    not_measurable: tuple[str, ...]
    details: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        height, width = self.image_shape
        rows = [
            ("file", str(self.path)),
            ("format", self.format),
            ("frames", f"{self.frames}, {width} × {height} pixels, {'colour' if self.is_color else 'grey'}"),
            *self.details,
            ("frame times", self._times()),
            ("pixel size", self._pixel_size()),
            ("view", self.view.title if self.view else "not stated in the file"),
            *(("measurable", line) for line in self.measurable),
            *(("not measurable", line) for line in self.not_measurable),
            *(("note", note) for note in self.notes),
        ]
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {text}" for name, text in rows)

    def _times(self) -> str:
        if self.frame_rate is None or self.duration is None:
            return self.timing
        return f"{self.frame_rate:.4g} frames/s over {self.duration:.3g} s ({self.timing})"

    def _pixel_size(self) -> str:
        if self.spacing is None:
            return self.calibration
        return f"{self.spacing[1]:.4g} × {self.spacing[0]:.4g} mm, width × height ({self.calibration})"


def describe(path: Path | str, *, memory_limit: int | None = None) -> FileDescription:
    """What a file is, its calibration and times, and what would be measurable; decodes no DICOM, image or video frame.

    Raises as ``read_cine``.
    """
    path = Path(path)
    opened = _open(path, MemoryLimit(memory_limit), None, view_required=False)
    cine = opened.cine
    measurable = ["area ratios and angles (cardiothoracic ratio, cardiac axis)"]
    missing = []
    if cine.is_calibrated:
        measurable.append("lengths and areas in mm and mm²")
    else:
        missing.append(f"lengths and areas in mm ({_reason(cine.calibration)})")
    if len(cine) < 2:
        missing.append("heart rate and curves over time (a single image)")
    elif cine.has_known_times:
        measurable.append("heart rate and curves over seconds")
    else:
        missing.append(f"heart rate and curves over seconds ({_reason(cine.timing)})")
    return FileDescription(
        path=path,
        format=opened.format,
        frames=len(cine),
        image_shape=cine.image_shape,
        is_color=cine.is_color,
        timing=cine.timing,
        frame_rate=cine.frame_rate,
        duration=float(cine.times[-1]) if cine.frame_rate else None,
        spacing=cine.spacing,
        calibration=cine.calibration,
        view=cine.view,
        notes=cine.notes,
        measurable=tuple(measurable),
        not_measurable=tuple(missing),
        details=opened.details,
    )


def _reason(text: str) -> str:
    return text.removeprefix("unknown: ")


def _open(path: Path, limit: MemoryLimit, view: View | None, view_required: bool = True) -> Opened:
    with guarded(path, "the path"):
        if not path.exists():
            raise UnreadableInput(f"{path}: there is no such file or folder; check the path.")
        if path.is_dir():
            return _open_folder(path, limit, view, view_required)
        if not path.is_file():
            raise UnreadableInput(f"{path}: it is neither a file nor a folder; choose an ultrasound file.")
        if path.stat().st_size == 0:
            raise UnreadableInput(f"{path}: the file is empty; export or copy it again.")
    kind = _kind(path)
    if kind == "dicom":
        from .dicom import open_dicom

        return open_dicom(path, limit)
    if kind == "hdf5":
        from .fetus_h5 import open_fetus

        return open_fetus(path, limit, view, view_required)
    if kind == "nrrd":
        from .nrrd import open_nrrd

        return open_nrrd(path, limit)
    if kind == "metaimage":
        from .metaimage import open_metaimage

        return open_metaimage(path, limit)
    if kind == "image":
        from .images import open_images

        return open_images([path], path, limit)
    if kind == "video":
        from .video import open_video

        return open_video(path, limit)
    raise UnreadableInput(f"{path}: it is no ultrasound file that can be read; choose {_READABLE}.")


def _kind(path: Path) -> str:
    """Which reader a file needs, "" for none: by its first bytes, then by its extension."""
    with guarded(path, "the file"), path.open("rb") as file:
        head = file.read(256)
    if head[128:132] == b"DICM":
        return "dicom"
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return "hdf5"
    if head.startswith(b"NRRD000"):
        return "nrrd"
    if head.startswith((b"\x89PNG\r\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "image"
    if head[4:8] == b"ftyp" or (head.startswith(b"RIFF") and head[8:11] == b"AVI") or head.startswith(b"\x1aE\xdf\xa3"):
        return "video"
    if head.lstrip().startswith((b"ObjectType", b"NDims")):
        return "metaimage"
    suffix = path.suffix.casefold()
    if suffix in _DICOM_SUFFIXES:
        return "dicom"
    if suffix in (".h5", ".hdf5"):
        return "hdf5"
    if suffix == ".nrrd":
        return "nrrd"
    if suffix in (".mha", ".mhd"):
        return "metaimage"
    from . import images, video

    if suffix in images.SUFFIXES or head.startswith(b"BM"):
        return "image"
    return "video" if suffix in video.SUFFIXES else ""


def _open_folder(folder: Path, limit: MemoryLimit, view: View | None, view_required: bool) -> Opened:
    visible = (p for p in folder.iterdir() if p.is_file() and not ignorable(p))
    files = sorted(visible, key=lambda file: natural_order(file.name))
    kinds = {path: _kind(path) for path in files if path.stat().st_size > 0}
    dicom = [path for path in files if kinds.get(path) == "dicom"]
    images = [path for path in files if kinds.get(path) == "image"]
    if dicom and images:
        raise UnreadableInput(f"{folder}: it holds DICOM files and images; choose one file or separate them.")
    empty = next((path for path in files if path not in kinds), None)
    if empty is not None and (dicom or images):
        # A frame that is silently left out would shift all times after it.
        raise UnreadableInput(f"{empty}: the file is empty; export the clip again.")
    if dicom:
        from .dicom import open_series

        return open_series(folder, dicom, limit)
    if images:
        from .images import open_images

        return open_images(images, folder, limit)
    if len(files) == 1 and kinds.get(files[0]):
        return _open(files[0], limit, view, view_required)
    several = [path.name for path in files if kinds.get(path)]
    if several:
        raise UnreadableInput(f"{folder}: it holds several clips ({', '.join(several[:3])}, ...); choose one file.")
    raise UnreadableInput(f"{folder}: the folder holds no image; choose a folder with the frames of one clip.")
