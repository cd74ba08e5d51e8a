"""Frames of a DICOM file as 8-bit grey or RGB.

Compressed frames go through pydicom's decoders one at a time, so that a long cine is never decompressed as a whole.
Everything after that is one lookup per sample:

    8 bits              unchanged; a stated window is for displays and does not change 8-bit ultrasound
    9 to 16 bits        the stated window (VOI, linear, after the rescale), else the full range of BitsStored
    MONOCHROME1         inverted, so that echoes are bright
    PALETTE COLOR       the three tables of the file; 16-bit entries lose their lower byte
    YBR_*               RGB, once: pydicom 3 converts while decoding, pydicom 2.4 does not
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FetalEchoError, MissingDependency, UnreadableInput
from .common import frame_error, guarded
from .dicom_fragments import Encoding, PixelData
from .dicom_values import DICOM_DAMAGE, code, number, value, whole

_GREY = ("MONOCHROME1", "MONOCHROME2")
_PALETTE = "PALETTE COLOR"
_COLOR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT")

_JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
_RLE = "1.2.840.10008.1.2.5"
_VIDEO_PREFIX = "1.2.840.10008.1.2.4.10"  # MPEG-2, MPEG-4, HEVC
# What `pip install` has to bring for each family.
_PACKAGES = {
    "1.2.840.10008.1.2.4.50": "pillow",
    "1.2.840.10008.1.2.4.51": "pylibjpeg pylibjpeg-libjpeg",
    "1.2.840.10008.1.2.4.57": "pylibjpeg pylibjpeg-libjpeg",
    "1.2.840.10008.1.2.4.70": "pylibjpeg pylibjpeg-libjpeg",
    "1.2.840.10008.1.2.4.80": "pyjpegls",
    "1.2.840.10008.1.2.4.81": "pyjpegls",
    "1.2.840.10008.1.2.4.90": "pylibjpeg pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.4.91": "pylibjpeg pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.4.201": "pylibjpeg pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.4.202": "pylibjpeg pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.4.203": "pylibjpeg pylibjpeg-openjpeg",
}


@dataclass(frozen=True)
class PixelFormat:
    """How the samples of a frame are stored; names as in the image pixel module (PS3.3 C.7.6.3)."""

    transfer_syntax: str
    photometric: str
    rows: int
    columns: int
    samples: int
    bits_allocated: int
    bits_stored: int
    signed: bool
    planar: int

    @property
    def is_color(self) -> bool:
        """Whether the decoded frame is RGB."""
        return self.photometric in _COLOR or self.photometric == _PALETTE

    @property
    def frame_shape(self) -> tuple[int, ...]:
        """(H, W) or (H, W, 3) of the decoded frame."""
        return (self.rows, self.columns, 3) if self.is_color else (self.rows, self.columns)

    @property
    def native_bytes(self) -> int:
        """Bytes of one uncompressed frame."""
        samples = 2 if self.photometric == "YBR_FULL_422" else self.samples
        return self.rows * self.columns * samples * (self.bits_allocated // 8)


def pixel_format(dataset: Any, path: Path) -> PixelFormat:
    """Read and check the image pixel module; raises UnreadableInput for what no ultrasound image is stored as."""
    photometric = code(dataset, "PhotometricInterpretation").upper()
    transfer_syntax = _transfer_syntax(dataset)
    required = {name: whole(dataset, name) for name in ("Rows", "Columns", "BitsAllocated")}
    missing = [name for name, number_ in required.items() if number_ is None or number_ < 1]
    if missing:
        raise UnreadableInput(
            f"{path}: its header lacks {', '.join(missing)}; it is no image or it is damaged, export it again."
        )
    if transfer_syntax.startswith(_VIDEO_PREFIX):
        raise UnreadableInput(
            f"{path}: a video stream inside DICOM ({syntax_name(transfer_syntax)}) is not supported; "
            "export it uncompressed, as JPEG or RLE, or as MP4."
        )
    samples = whole(dataset, "SamplesPerPixel") or (3 if photometric in _COLOR else 1)
    expected = 3 if photometric in _COLOR else 1 if photometric in (*_GREY, _PALETTE) else None
    if expected is None:
        raise UnreadableInput(
            f"{path}: the photometric interpretation '{photometric or 'not stated'}' is not one of "
            f"{', '.join((*_GREY, _PALETTE, *_COLOR))}; export the clip as RGB or grey."
        )
    if samples != expected:
        raise UnreadableInput(
            f"{path}: {photometric} needs {expected} sample{'s' if expected > 1 else ''} per pixel and the header "
            f"says {samples}; the header is damaged, export the clip again."
        )
    allocated = int(required["BitsAllocated"] or 0)
    stored = whole(dataset, "BitsStored") or allocated
    if allocated not in (8, 16) or not 1 <= stored <= allocated:
        raise UnreadableInput(
            f"{path}: {stored} bits stored in {allocated} are not supported for ultrasound; export 8 or 16 bits."
        )
    if photometric.startswith("YBR") and (allocated, stored) != (8, 8):
        raise UnreadableInput(f"{path}: {photometric} with {stored} bits is not supported; export it as 8-bit RGB.")
    return PixelFormat(
        transfer_syntax=transfer_syntax,
        photometric=photometric,
        rows=int(required["Rows"] or 0),
        columns=int(required["Columns"] or 0),
        samples=samples,
        bits_allocated=allocated,
        bits_stored=stored,
        signed=whole(dataset, "PixelRepresentation") == 1,
        planar=1 if whole(dataset, "PlanarConfiguration") == 1 else 0,
    )


def _transfer_syntax(dataset: Any) -> str:
    stated = code(getattr(dataset, "file_meta", None) or {}, "TransferSyntaxUID")
    # Files without a meta header are implicit little endian by definition (PS3.10).
    return stated or "1.2.840.10008.1.2"


def encoding_of(transfer_syntax: str, dataset: Any) -> Encoding:
    """Byte order and VR form that pydicom found in the data set, which may differ from what the file states."""
    implicit, little = getattr(dataset, "original_encoding", (None, None))  # pydicom 3
    if implicit is None:
        implicit = getattr(dataset, "is_implicit_VR", transfer_syntax == "1.2.840.10008.1.2")
    if little is None:
        little = getattr(dataset, "is_little_endian", transfer_syntax != "1.2.840.10008.1.2.2")
    return Encoding(little_endian=bool(little), implicit=bool(implicit))


def syntax_name(transfer_syntax: str) -> str:
    """Name of a transfer syntax for people."""
    from pydicom.uid import UID

    return str(UID(transfer_syntax).name)


def require_decoder(transfer_syntax: str, path: Path) -> None:
    """Raise MissingDependency, naming the package to install, when no decoder for a compression is there."""
    if transfer_syntax in ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", _RLE):
        return
    if transfer_syntax not in _PACKAGES:
        raise UnreadableInput(
            f"{path}: its compression ({syntax_name(transfer_syntax)}) is not supported; "
            "export it uncompressed, as JPEG or RLE."
        )
    if not decoder_available(transfer_syntax):
        raise MissingDependency(
            f"{path}: no decoder for {syntax_name(transfer_syntax)} is installed; "
            f"install one with: pip install {_PACKAGES[transfer_syntax]}"
        )


def decoder_available(transfer_syntax: str) -> bool:
    """Whether pydicom finds a decoder for a transfer syntax."""
    try:
        from pydicom.pixels import get_decoder
    except ImportError:  # pydicom 2.4, as in Slicer 5.10
        from pydicom import config

        handlers = config.pixel_data_handlers
        return any(h.is_available() and h.supports_transfer_syntax(transfer_syntax) for h in handlers)
    try:
        return bool(get_decoder(transfer_syntax).is_available)
    except NotImplementedError:
        return False


class DicomFrames:
    """Frames of one file, decoded one at a time.

    shape  (T, H, W) or (T, H, W, 3)
    """

    def __init__(self, path: Path, pixel_format: PixelFormat, data: PixelData, dataset: Any) -> None:
        self.shape = (len(data.spans), *pixel_format.frame_shape)
        self._path = path
        self._format = pixel_format
        self._data = data
        with guarded(path, "its palette or window", DICOM_DAMAGE):
            self._table = _lookup_table(dataset, pixel_format, path)

    def read(self, index: int) -> np.ndarray:
        """Decode frame ``index``: (H, W) or (H, W, 3) uint8; raises UnreadableInput naming a damaged frame."""
        with guarded(self._path, "the file", DICOM_DAMAGE):
            data = self._bytes(index)
            try:
                frame = _decode(data, self._format, self._data)
            except FetalEchoError:
                raise
            except DICOM_DAMAGE as error:
                raise frame_error(self._path, index, self.shape[0], str(error)) from error
        stored = (*self.shape[1:3], 3) if self._format.samples == 3 else self.shape[1:3]
        if frame.shape != stored or frame.itemsize * 8 != self._format.bits_allocated:
            reason = f"its own data say {' × '.join(map(str, frame.shape))} instead of {' × '.join(map(str, stored))}"
            raise frame_error(self._path, index, self.shape[0], reason)
        if self._table is None:
            return frame
        # Big-endian files give big-endian arrays, which a view would misread.
        native = frame.astype(frame.dtype.newbyteorder("="), copy=False)
        return self._table[native.view(np.uint8 if self._format.bits_allocated == 8 else np.uint16)]

    def _bytes(self, index: int) -> bytes:
        pieces = []
        with self._path.open("rb") as file:
            for offset, length in self._data.spans[index]:
                file.seek(offset)
                pieces.append(file.read(length))
                if len(pieces[-1]) < length:
                    raise frame_error(self._path, index, self.shape[0], "the file became shorter")
        return b"".join(pieces)


def _decode(data: bytes, pixel_format: PixelFormat, pixel_data: PixelData) -> np.ndarray:
    """Samples of one frame, (H, W) or (H, W, 3), as stored except that YBR became RGB."""
    import pydicom
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import UID

    if pixel_data.encapsulated:
        _check_stated_size(data, pixel_format)
        if pixel_format.transfer_syntax == _RLE:
            _check_rle(data, pixel_format)
        if pixel_format.transfer_syntax == _JPEG_BASELINE and pixel_format.bits_stored == 8:
            frame = _decode_baseline(data, pixel_format)
            if frame is not None:
                return frame
    # A data set of one frame is the one way to decode a frame that pydicom 2.4 and 3 share.
    one = Dataset()
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = UID(pixel_format.transfer_syntax)
    one.Rows, one.Columns = pixel_format.rows, pixel_format.columns
    one.SamplesPerPixel = pixel_format.samples
    one.PhotometricInterpretation = pixel_format.photometric
    one.BitsAllocated, one.BitsStored = pixel_format.bits_allocated, pixel_format.bits_stored
    one.HighBit = pixel_format.bits_stored - 1
    one.PixelRepresentation = int(pixel_format.signed)
    if pixel_format.samples == 3:
        one.PlanarConfiguration = pixel_format.planar
    if pixel_data.encapsulated:
        one.add_new("PixelData", "OB", encapsulate([data + b"\0" * (len(data) % 2)]))
        one["PixelData"].is_undefined_length = True
    else:
        one.add_new("PixelData", pixel_data.vr, data + b"\0" * (len(data) % 2))
    if _pydicom_major(pydicom) >= 3:
        return np.asarray(one.pixel_array)
    one.is_little_endian = pixel_format.transfer_syntax != "1.2.840.10008.1.2.2"
    one.is_implicit_VR = False
    frame = np.asarray(one.pixel_array)
    # The handler changes the interpretation when its decoder converted already.
    if one.PhotometricInterpretation in ("YBR_FULL", "YBR_FULL_422"):
        from pydicom.pixel_data_handlers.util import convert_color_space

        frame = convert_color_space(frame, "YBR_FULL", "RGB")
    return frame


def _decode_baseline(data: bytes, pixel_format: PixelFormat) -> np.ndarray | None:
    """A JPEG frame straight through Pillow, about three times faster than pydicom; None where pydicom must judge.

    Pillow takes three components for YCbCr unless the stream says otherwise; only where stream and header agree on
    that, both ways give the same picture.
    """
    import io

    from PIL import Image

    with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
        if pixel_format.samples == 1:
            return np.asarray(image) if image.mode == "L" else None
        stated_rgb = [layer[0] for layer in getattr(image, "layer", [])] == [ord(c) for c in "RGB"]
        is_ybr = image.info.get("adobe_transform", 1) == 1 and not stated_rgb
        if pixel_format.photometric in ("YBR_FULL", "YBR_FULL_422") and image.mode == "RGB" and is_ybr:
            return np.asarray(image)
    return None


def _pydicom_major(module: Any) -> int:
    return int(module.__version__.split(".")[0])


def _check_stated_size(data: bytes, pixel_format: PixelFormat) -> None:
    """Compare the size in a compressed image's own header: decoders allocate what it says, however much that is."""
    stated = _stated_size(data)
    if stated is not None and stated != (pixel_format.rows, pixel_format.columns):
        raise ValueError(
            f"the compressed image is {stated[1]} × {stated[0]} pixels and the header says "
            f"{pixel_format.columns} × {pixel_format.rows}"
        )


def _stated_size(data: bytes) -> tuple[int, int] | None:
    """(rows, columns) of a JPEG, JPEG-LS or JPEG 2000 image, None where the header does not tell."""
    codestream = data.find(b"\xff\x4f\xff\x51", 0, 4096)
    if codestream >= 0 and len(data) >= codestream + 24:
        right, bottom, left, top = struct.unpack_from(">4L", data, codestream + 8)
        return bottom - top, right - left
    if not data.startswith(b"\xff\xd8"):
        return None
    position = 2
    while position + 9 <= len(data):
        if data[position] != 0xFF:
            return None
        marker = data[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        # Start of frame, without the Huffman, arithmetic and restart tables among these codes; F7 is JPEG-LS.
        if (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)) or marker == 0xF7:
            rows, columns = struct.unpack_from(">HH", data, position + 5)
            return rows, columns
        position += 2 + struct.unpack_from(">H", data, position + 2)[0]
    return None


def _check_rle(data: bytes, pixel_format: PixelFormat) -> None:
    """Refuse run-length headers that cannot belong to the image: segments overlap and multiply the output."""
    offsets = struct.unpack_from("<16L", data) if len(data) >= 64 else (0,) * 16
    count = offsets[0]
    expected = pixel_format.samples * pixel_format.bits_allocated // 8
    used = list(offsets[1 : 1 + count])
    if count != expected or used != sorted(set(used)) or (used and (used[0] < 64 or used[-1] >= len(data))):
        raise ValueError("its run-length header is wrong")


def _lookup_table(dataset: Any, pixel_format: PixelFormat, path: Path) -> np.ndarray | None:
    """(2^bits,) grey or (2^bits, 3) RGB uint8 by stored sample; None when samples are 8-bit already."""
    if pixel_format.photometric == _PALETTE:
        return _palette(dataset, pixel_format, path)
    bits, stored = pixel_format.bits_allocated, pixel_format.bits_stored
    inverted = pixel_format.photometric == "MONOCHROME1"
    if stored == 8 and bits == 8 and not pixel_format.signed and not inverted:
        return None
    codes = np.arange(1 << bits) & ((1 << stored) - 1)
    samples = np.where(codes >= 1 << (stored - 1), codes - (1 << stored), codes) if pixel_format.signed else codes
    low = -(1 << (stored - 1)) if pixel_format.signed else 0
    window = _window(dataset) if stored > 8 and pixel_format.samples == 1 else None
    if window is not None:
        center, width, slope, intercept = window
        fraction = (samples * slope + intercept - (center - 0.5)) / (width - 1) + 0.5 if width > 1 else None
        if fraction is None:
            fraction = (samples * slope + intercept > center - 0.5).astype(float)
    else:
        fraction = (samples - low) / ((1 << stored) - 1)
    table = np.clip(np.rint(fraction * 255), 0, 255).astype(np.uint8)
    return 255 - table if inverted else table


def _window(dataset: Any) -> tuple[float, float, float, float] | None:
    """First stated window with the rescale before it: (center, width, slope, intercept), PS3.3 C.11.2."""
    center, width = number(dataset, "WindowCenter"), number(dataset, "WindowWidth")
    slope, intercept = number(dataset, "RescaleSlope"), number(dataset, "RescaleIntercept")
    found = center, width, 1.0 if slope is None else slope, 0.0 if intercept is None else intercept
    if center is None or width is None or not np.isfinite(np.array(found, dtype=float)).all() or width < 1:
        return None
    return float(center), float(width), found[2], found[3]


def _palette(dataset: Any, pixel_format: PixelFormat, path: Path) -> np.ndarray:
    try:
        from pydicom.pixels import apply_color_lut
    except ImportError:  # pydicom 2.4
        from pydicom.pixel_data_handlers.util import apply_color_lut  # type: ignore[no-redef]

    if value(dataset, "RedPaletteColorLookupTableDescriptor") is None:
        raise UnreadableInput(f"{path}: it is a PALETTE COLOR image without its colour table; export it as RGB.")
    codes = np.arange(1 << pixel_format.bits_allocated) & ((1 << pixel_format.bits_stored) - 1)
    codes = codes.astype(np.uint8 if pixel_format.bits_allocated == 8 else np.uint16)
    colors = np.asarray(apply_color_lut(codes[np.newaxis], dataset))[0, :, :3]
    # Some scanners declare 16 bits and store 8; a true 16-bit palette below 256 would be all black.
    if colors.dtype == np.uint8 or int(colors.max()) <= 255:
        return colors.astype(np.uint8)
    return (colors >> 8).astype(np.uint8)
