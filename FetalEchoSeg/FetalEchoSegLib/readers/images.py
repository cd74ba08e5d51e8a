"""PNG, JPEG, TIFF and BMP: one file, the pages of a TIFF, or a folder of images in natural order.

Such files say neither pixel size nor frame times: the resolution in dots per inch is that of a printer or a screen.
An orientation flag (EXIF) is obeyed, because left and right carry the diagnosis. Transparency is dropped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from ..cine import ArraySource, Cine, FrameSource, Origin
from ..errors import UnreadableInput
from .common import DAMAGE, MemoryLimit, Opened, assumed_times, frame_error, guarded, size_notes, to_eight_bits

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "MPO")
_GREY_MODES = ("1", "L", "LA")
_WIDE_MODES = ("I", "F")  # and the I;16 family
_ORIENTATION = 0x0112
_TURNED = (5, 6, 7, 8)  # orientations that swap width and height


@dataclass(frozen=True)
class _Page:
    """One image of a clip: its file, its page in it, and what the header says."""

    path: Path
    page: int
    height: int
    width: int
    mode: str
    format: str
    oriented: bool

    @property
    def is_wide(self) -> bool:
        return self.mode in _WIDE_MODES or self.mode.startswith("I;")

    @property
    def is_gray(self) -> bool:
        return self.mode in _GREY_MODES or self.is_wide


class _Decoder:
    """Decodes pages; keeps the last file of several pages open, because every opening walks through all before."""

    def __init__(self, pages: list[_Page]) -> None:
        self._pages = pages
        self._paths = Counter(page.path for page in pages)
        self._open: tuple[Path, Any] | None = None
        self._lock = Lock()

    def decode(self, index: int, convert: Callable[[Any], np.ndarray]) -> np.ndarray:
        """Pixels of image ``index`` through ``convert``; raises UnreadableInput naming a damaged one."""
        from PIL import Image, ImageOps

        page, count = self._pages[index], len(self._pages)
        with self._lock, guarded(page.path, "the image"):
            keep = False
            try:
                image = self._image(page)
                image.seek(page.page)
                pixels = convert(ImageOps.exif_transpose(image) if page.oriented else image)
                keep = self._paths[page.path] > 1 and index < count - 1
            except (FileNotFoundError, PermissionError):
                raise
            except (*DAMAGE, Image.DecompressionBombError) as error:
                raise frame_error(page.path, index, count, str(error)) from error
            finally:
                if not keep:
                    self._close()
        if pixels.shape[:2] != (page.height, page.width):
            raise frame_error(page.path, index, count, "its size changed since it was opened")
        return pixels

    def _image(self, page: _Page) -> Any:
        from PIL import Image

        if self._open is None or self._open[0] != page.path:
            self._close()
            self._open = page.path, Image.open(page.path, formats=_FORMATS)
        return self._open[1]

    def _close(self) -> None:
        if self._open is not None:
            self._open[1].close()
        self._open = None


class ImageFrames:
    """8-bit images decoded one at a time.

    shape  (T, H, W) when all are grey, (T, H, W, 3) otherwise
    """

    def __init__(self, pages: list[_Page]) -> None:
        first = pages[0]
        grey = all(page.is_gray for page in pages)
        self.shape = (len(pages), first.height, first.width) + (() if grey else (3,))
        self._decoder = _Decoder(pages)
        self._mode = "L" if grey else "RGB"

    def read(self, index: int) -> np.ndarray:
        """Decode image ``index``, (H, W) or (H, W, 3) uint8; raises UnreadableInput naming a damaged one."""
        return self._decoder.decode(index, lambda image: np.asarray(image.convert(self._mode)))


def open_images(paths: list[Path], origin: Path, limit: MemoryLimit) -> Opened:
    """Open image files as one clip, in the given order; ``origin`` is the file or folder the user chose.

    Raises UnreadableInput when sizes differ, naming the two files.
    """
    pages: list[_Page] = []
    for path in paths:
        with guarded(path, "the image"):
            pages += _read_pages(path, limit)
    first = pages[0]
    for page in pages:
        if (page.height, page.width) != (first.height, first.width):
            raise UnreadableInput(
                f"{origin}: {_name(first, pages)} is {first.width} × {first.height} pixels and {_name(page, pages)} "
                f"{page.width} × {page.height}; a clip needs frames of one size, put one clip into each folder."
            )
    notes: list[str] = []
    if any(page.is_wide for page in pages):
        # How many bits are in use shows only in the whole clip, so these rare files are read at once.
        source, note = _read_wide(pages, origin, limit)
        notes += [note] if note else []
    else:
        source = ImageFrames(pages)
        limit.check(origin, source.shape)
    if any(page.oriented for page in pages):
        notes.append("The orientation flag of the image was obeyed; check left and right.")
    times, timing = assumed_times(len(pages), "image files carry no frame times")
    if len(pages) > 1:
        notes.append("The frame times are unknown: image files carry none.")
    cine = Cine(
        source=source,
        times=times,
        timing=timing,
        calibration=f"unknown: {first.format} files carry no pixel size",
        origin=Origin(path=origin),
        notes=(*notes, *size_notes(source.shape)),
    )
    if len(paths) > 1:
        kind = f"{first.format} images of a folder"
    else:
        kind = f"{first.format} image" if len(pages) == 1 else f"{first.format} with {len(pages)} pages"
    return Opened(cine, kind, (("stored as", first.mode),))


def _name(page: _Page, pages: list[_Page]) -> str:
    return page.path.name if page.path != pages[0].path or len({p.path for p in pages}) > 1 else f"page {page.page + 1}"


def _read_pages(path: Path, limit: MemoryLimit) -> list[_Page]:
    from PIL import Image

    try:
        with Image.open(path, formats=_FORMATS) as image:
            # MPO is a JPEG with previews behind it; only TIFF pages are frames.
            count = int(getattr(image, "n_frames", 1)) if image.format == "TIFF" else 1
            pages = []
            for number in range(count):
                if number:
                    image.seek(number)
                pages.append(_page(image, path, number))
                limit.check(path, (count, pages[-1].height, pages[-1].width))
    except Image.DecompressionBombError as error:
        raise UnreadableInput(
            f"{path}: the image declares more pixels than any ultrasound image has; it is damaged or of another kind."
        ) from error
    return pages


def _page(image: Any, path: Path, number: int) -> _Page:
    # Pillow decodes a whole PNG to look for the flag behind the pixels, where nobody writes it.
    has_header_flag = image.format != "PNG" or "exif" in image.info
    orientation = image.getexif().get(_ORIENTATION, 1) if has_header_flag else 1
    width, height = image.size
    if image.format == "TIFF":
        # Some versions of Pillow turn the size of a TIFF themselves; these are the stored sides.
        width, height = int(image.tag_v2[256]), int(image.tag_v2[257])
    if orientation in _TURNED:
        width, height = height, width
    name = {"MPO": "JPEG"}.get(image.format, image.format)
    return _Page(path, number, height, width, image.mode, name, orientation in range(2, 9))


def _read_wide(pages: list[_Page], origin: Path, limit: MemoryLimit) -> tuple[FrameSource, str]:
    if not all(page.is_gray for page in pages):
        raise UnreadableInput(f"{origin}: it mixes colour and 16-bit grey images; export one kind.")
    shape = (len(pages), pages[0].height, pages[0].width)
    dtype = np.dtype(np.float32 if any(page.mode == "F" for page in pages) else np.int32)
    limit.check(origin, shape, dtype.itemsize + 1)
    values = np.empty(shape, dtype=dtype)
    decoder = _Decoder(pages)
    for index in range(len(pages)):
        values[index] = decoder.decode(index, np.asarray)
    frames, note = to_eight_bits(values, origin)
    return ArraySource(frames), note.replace("int32", "16-bit") if note else ""
