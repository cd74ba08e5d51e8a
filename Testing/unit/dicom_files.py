"""Make DICOM ultrasound files for tests, in every form a scanner writes.

The pixel data are packed here with numpy (not by the code under test), or by an encoder for compressed forms.
"""

from __future__ import annotations

import io
import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
JPEG = "1.2.840.10008.1.2.4.50"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
JPEG_LS = "1.2.840.10008.1.2.4.80"
JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.4.90"
JPEG_2000 = "1.2.840.10008.1.2.4.91"
RLE = "1.2.840.10008.1.2.5"

US = "1.2.840.10008.5.1.4.1.1.6.1"
US_MULTI = "1.2.840.10008.5.1.4.1.1.3.1"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def picture(frames=3, height=32, width=40, color=True, seed=0):
    """Smooth, different frames: (T, H, W, 3) or (T, H, W) uint8, in which every channel and axis is told apart."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[0:height, 0:width]
    stack = []
    for t in range(frames):
        red = 255 * row / height
        green = 255 * column / width
        blue = 20 + 30 * t + 60 * np.sin(row / 7.0) ** 2 + 0 * column
        stack.append(np.stack([red, green, blue], axis=-1) + rng.uniform(0, 1, (height, width, 1)))
    clip = np.clip(np.array(stack), 0, 255).astype(np.uint8)
    return clip if color else np.ascontiguousarray(clip[..., 1] // 2 + clip[..., 0] // 4 + clip[..., 2] // 4)


def rgb_to_ybr(rgb):
    """YBR_FULL of PS3.3 C.7.6.3.1.2, by its formula."""
    r, g, b = (rgb[..., k].astype(float) for k in range(3))
    y = 0.2990 * r + 0.5870 * g + 0.1140 * b
    cb = -0.1687 * r - 0.3313 * g + 0.5000 * b + 128
    cr = 0.5000 * r - 0.4187 * g - 0.0813 * b + 128
    return np.clip(np.rint(np.stack([y, cb, cr], axis=-1)), 0, 255).astype(np.uint8)


def region(x=(0, 39), y=(0, 31), delta=(0.02, 0.03), units=(3, 3), spatial=1, kind=1):
    """One item for ``regions``: corners in pixels, delta (x, y) in cm."""
    from pydicom.dataset import Dataset

    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType, item.RegionFlags = spatial, kind, 0
    item.RegionLocationMinX0, item.RegionLocationMaxX1 = x
    item.RegionLocationMinY0, item.RegionLocationMaxY1 = y
    item.PhysicalUnitsXDirection, item.PhysicalUnitsYDirection = units
    item.PhysicalDeltaX, item.PhysicalDeltaY = delta
    return item


def write_dicom(
    path,
    stored,
    photometric="RGB",
    syntax=EXPLICIT,
    planar=0,
    regions=None,
    fragments_per_frame=1,
    offset_table=True,
    preamble=True,
    elements=None,
    **keywords,
):
    """Write stored samples (T, H, W) or (T, H, W, 3), uint8, uint16 or int16; keywords and ``elements`` override."""
    import pydicom
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.sequence import Sequence
    from pydicom.uid import UID

    stored = np.asarray(stored)
    frames = len(stored)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.SOPClassUID = US_MULTI if frames > 1 else US
    dataset.SOPInstanceUID = "1.2.826.0.1.3680043.8.498.1"
    dataset.SeriesInstanceUID = "1.2.826.0.1.3680043.8.498.2"
    dataset.Modality = "US"
    dataset.PatientName, dataset.PatientID = "Secret^Name", "P 17"
    dataset.Rows, dataset.Columns = stored.shape[1:3]
    dataset.SamplesPerPixel = 3 if stored.ndim == 4 else 1
    dataset.PhotometricInterpretation = photometric
    dataset.BitsAllocated = 8 * stored.itemsize
    dataset.BitsStored = keywords.pop("bits_stored", dataset.BitsAllocated)
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    if stored.ndim == 4:
        dataset.PlanarConfiguration = planar
    if frames > 1:
        dataset.NumberOfFrames = frames
    if regions is not None:
        dataset.SequenceOfUltrasoundRegions = Sequence(regions)
    compressed = syntax not in (IMPLICIT, EXPLICIT, BIG_ENDIAN)
    if compressed:
        codes = [_encode(frame, dataset, syntax) for frame in stored]
        dataset.add_new("PixelData", "OB", _encapsulated(codes, fragments_per_frame, offset_table))
        dataset["PixelData"].is_undefined_length = True
    else:
        data = _native(stored, photometric, planar, syntax)
        dataset.add_new("PixelData", "OB" if stored.itemsize == 1 and syntax != BIG_ENDIAN else "OW", data)
    for keyword, value in {**keywords, **(elements or {})}.items():
        if value is None:
            del dataset[keyword]
        else:
            setattr(dataset, keyword, value)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", US)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if pydicom.__version__ >= "3":
            if preamble:
                dataset.save_as(path, enforce_file_format=True)
            else:
                meta, dataset.file_meta = dataset.file_meta, None
                del dataset.file_meta
                dataset.save_as(path, implicit_vr=syntax == IMPLICIT, little_endian=syntax != BIG_ENDIAN)
                dataset.file_meta = meta
        else:
            dataset.is_little_endian, dataset.is_implicit_VR = syntax != BIG_ENDIAN, syntax == IMPLICIT
            dataset.save_as(path, write_like_original=not preamble)
    return Path(path)


def _native(stored, photometric, planar, syntax):
    frames = []
    for frame in stored:
        if photometric == "YBR_FULL_422":
            # Two luminances share the chrominances of the first (PS3.3 C.7.6.3.1.2): Y Y Cb Cr.
            left, right = frame[:, 0::2], frame[:, 1::2]
            frame = np.stack([left[..., 0], right[..., 0], left[..., 1], left[..., 2]], axis=-1)
        elif planar and frame.ndim == 3:
            frame = frame.transpose(2, 0, 1)
        frames.append(np.ascontiguousarray(frame))
    data = np.array(frames)
    if syntax == BIG_ENDIAN and data.itemsize == 2:
        return data.astype(data.dtype.newbyteorder(">")).tobytes()
    raw = data.tobytes()
    raw += b"\0" * (len(raw) % 2)
    if syntax == BIG_ENDIAN:
        # 8-bit samples in OW: bytes of every word are swapped.
        raw = np.frombuffer(raw, dtype=np.uint16).byteswap().tobytes()
    return raw


def _encode(frame, dataset, syntax):
    from PIL import Image

    if syntax == JPEG:
        buffer = io.BytesIO()
        # Pillow writes colour as YCbCr with 4:2:2 subsampling.
        Image.fromarray(frame).save(buffer, "JPEG", quality=95, subsampling=1)
        return buffer.getvalue()
    if syntax == RLE:
        return _run_length(frame)
    from pydicom.pixels import get_encoder

    options = {
        "rows": frame.shape[0],
        "columns": frame.shape[1],
        "samples_per_pixel": dataset.SamplesPerPixel,
        "bits_allocated": dataset.BitsAllocated,
        "bits_stored": dataset.BitsStored,
        "pixel_representation": dataset.PixelRepresentation,
        "photometric_interpretation": dataset.PhotometricInterpretation,
        "planar_configuration": 0,
        "number_of_frames": 1,
    }
    if syntax == JPEG_2000:
        options["j2k_psnr"] = [60]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return get_encoder(syntax).encode(np.ascontiguousarray(frame), **options)


def _run_length(frame):
    """PS3.5 annex G, literal runs only: one segment for each byte of each sample, most significant first."""
    planes = [frame] if frame.ndim == 2 else [frame[..., k] for k in range(3)]
    segments = []
    for plane in planes:
        for byte in reversed(range(plane.itemsize)):
            values = ((plane.astype(np.uint16) >> (8 * byte)) & 255).astype(np.uint8)
            rows = b"".join(
                b"".join(
                    bytes([len(chunk) - 1]) + chunk for chunk in (row[i : i + 128] for i in range(0, len(row), 128))
                )
                for row in (row.tobytes() for row in values)
            )
            segments.append(rows + b"\0" * (len(rows) % 2))
    offsets = np.zeros(16, dtype="<u4")
    offsets[0] = len(segments)
    offsets[1 : 1 + len(segments)] = 64 + np.cumsum([0] + [len(s) for s in segments[:-1]])
    return offsets.tobytes() + b"".join(segments)


def _encapsulated(codes, fragments_per_frame, offset_table):
    items, offsets, position = [], [], 0
    for code in codes:
        code += b"\0" * (len(code) % 2)
        offsets.append(position)
        edges = [2 * (len(code) * k // fragments_per_frame // 2) for k in range(fragments_per_frame)] + [len(code)]
        for start, end in pairwise(edges):
            items.append(_item(code[start:end]))
            position += len(items[-1])
    table = np.array(offsets, dtype="<u4").tobytes() if offset_table else b""
    return _item(table) + b"".join(items) + b"\xfe\xff\xdd\xe0\0\0\0\0"


def _item(data):
    return b"\xfe\xff\x00\xe0" + len(data).to_bytes(4, "little") + data
