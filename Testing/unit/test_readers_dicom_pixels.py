"""Every stored form of DICOM pixels becomes the same picture."""

from __future__ import annotations

import numpy as np
import pytest
from dicom_files import (
    BIG_ENDIAN,
    EXPLICIT,
    IMPLICIT,
    JPEG,
    JPEG_2000,
    JPEG_2000_LOSSLESS,
    JPEG_LS,
    RLE,
    picture,
    rgb_to_ybr,
    write_dicom,
)
from FetalEchoSegLib.errors import MissingDependency, UnreadableInput
from FetalEchoSegLib.readers import describe, dicom_pixels, read_cine

pydicom = pytest.importorskip("pydicom")
needs_encoders = pytest.mark.skipif(pydicom.__version__ < "3", reason="pydicom 2.4 has no such encoders")


def with_itk(path):
    """The same file through SimpleITK's own DICOM library."""
    sitk = pytest.importorskip("SimpleITK")
    array = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    return array if array.ndim == (4 if array.shape[-1] == 3 else 3) else array[np.newaxis]


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG_ENDIAN, RLE])
def test_rgb_is_exact_in_every_layout(tmp_path, syntax, planar, frames):
    clip = picture(frames)
    cine = read_cine(write_dicom(tmp_path / "a.dcm", clip, syntax=syntax, planar=planar))
    np.testing.assert_array_equal(cine.frames, clip)


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG_ENDIAN, RLE])
def test_grey_is_exact_in_every_layout(tmp_path, syntax):
    clip = picture(color=False)
    cine = read_cine(write_dicom(tmp_path / "a.dcm", clip, "MONOCHROME2", syntax))
    assert not cine.is_color
    np.testing.assert_array_equal(cine.frames, clip)


@needs_encoders
@pytest.mark.parametrize("syntax", [JPEG_LS, JPEG_2000_LOSSLESS])
@pytest.mark.parametrize("color", [False, True])
def test_lossless_compression_is_exact(tmp_path, syntax, color):
    clip = picture(color=color)
    photometric = ("YBR_RCT" if syntax == JPEG_2000_LOSSLESS else "RGB") if color else "MONOCHROME2"
    path = write_dicom(tmp_path / "a.dcm", clip, photometric, syntax)
    np.testing.assert_array_equal(read_cine(path).frames, clip)


@needs_encoders
def test_ybr_ict_is_converted_once(tmp_path):
    clip = picture()
    path = write_dicom(tmp_path / "a.dcm", clip, "YBR_ICT", JPEG_2000)
    assert np.abs(read_cine(path).frames.astype(int) - clip).max() <= 4


def test_ybr_full_is_converted_once(tmp_path):
    clip = picture()
    path = write_dicom(tmp_path / "a.dcm", rgb_to_ybr(clip), "YBR_FULL")
    frames = read_cine(path).frames.astype(int)
    assert np.abs(frames - clip).max() <= 2  # rounding of the two conversions
    assert np.abs(frames - with_itk(path)).max() <= 1


def test_ybr_full_422_is_converted_once(tmp_path):
    clip = picture()
    clip[:, :, 1::2] = clip[:, :, 0::2]  # both pixels of a pair alike: nothing is lost in subsampling
    path = write_dicom(tmp_path / "a.dcm", rgb_to_ybr(clip), "YBR_FULL_422")
    assert np.abs(read_cine(path).frames.astype(int) - clip).max() <= 2


def test_ybr_full_422_without_the_stated_subsampling_is_read(tmp_path):
    clip = picture()
    path = write_dicom(tmp_path / "a.dcm", rgb_to_ybr(clip), "YBR_FULL")
    dataset = pydicom.dcmread(path)
    dataset.PhotometricInterpretation = "YBR_FULL_422"
    dataset.save_as(path)
    assert np.abs(read_cine(path).frames.astype(int) - clip).max() <= 2


def test_jpeg_equals_pillow(tmp_path):
    import io

    from PIL import Image

    clip = picture()
    path = write_dicom(tmp_path / "a.dcm", clip, "YBR_FULL_422", JPEG)
    for original, frame in zip(clip, read_cine(path), strict=True):
        buffer = io.BytesIO()
        Image.fromarray(original).save(buffer, "JPEG", quality=95, subsampling=1)
        expected = np.asarray(Image.open(buffer).convert("RGB")).astype(int)
        assert np.abs(frame.astype(int) - expected).max() <= 3  # YCbCr is rounded between the two steps
        assert np.abs(frame.astype(int) - original).mean() < 4


def test_monochrome1_is_inverted(tmp_path):
    clip = picture(color=False)
    path = write_dicom(tmp_path / "a.dcm", clip, "MONOCHROME1")
    np.testing.assert_array_equal(read_cine(path).frames, 255 - clip)
    np.testing.assert_array_equal(read_cine(path).frames, with_itk(path))


@pytest.mark.parametrize("syntax", [EXPLICIT, BIG_ENDIAN, RLE])
def test_twelve_bits_use_their_full_range(tmp_path, syntax):
    samples = np.linspace(0, 4095, 3 * 32 * 40).astype(np.uint16).reshape(3, 32, 40)
    path = write_dicom(tmp_path / "a.dcm", samples, "MONOCHROME2", syntax, bits_stored=12)
    expected = np.rint(samples / 4095 * 255).astype(np.uint8)
    np.testing.assert_array_equal(read_cine(path).frames, expected)


def test_a_stated_window_maps_sixteen_bits(tmp_path):
    samples = np.linspace(0, 65535, 32 * 40).astype(np.uint16).reshape(1, 32, 40)
    path = write_dicom(tmp_path / "a.dcm", samples, "MONOCHROME2", WindowCenter=20000, WindowWidth=10001)
    frame = read_cine(path).frame(0).astype(int)
    values = samples[0].astype(float)
    assert (frame[values < 14999] == 0).all()
    assert (frame[values > 25001] == 255).all()
    inside = np.abs(values - 20000) < 4900
    np.testing.assert_allclose(frame[inside], (values[inside] - 14999.5) / 10000 * 255, atol=0.51)


def test_a_stated_window_leaves_eight_bits_alone(tmp_path):
    clip = picture(color=False)
    path = write_dicom(tmp_path / "a.dcm", clip, "MONOCHROME2", WindowCenter=60, WindowWidth=20)
    np.testing.assert_array_equal(read_cine(path).frames, clip)


def test_signed_samples_keep_their_order(tmp_path):
    samples = np.linspace(-32768, 32767, 32 * 40).astype(np.int16).reshape(1, 32, 40)
    frame = read_cine(write_dicom(tmp_path / "a.dcm", samples, "MONOCHROME2")).frame(0).ravel()
    assert frame[0] == 0
    assert frame[-1] == 255
    assert (np.diff(frame.astype(int)) >= 0).all()


def palette_elements(bits=16, shift=8, first=0, entries=256):
    ramp = np.arange(entries)
    red, green, blue = ramp % 256, 255 - ramp % 256, (ramp * 7) % 256
    elements = {}
    for name, table in (("Red", red), ("Green", green), ("Blue", blue)):
        elements[f"{name}PaletteColorLookupTableDescriptor"] = [entries % 65536, first, bits]
        words = table.astype("<u2") << shift if bits == 16 else table.astype(np.uint8)
        elements[f"{name}PaletteColorLookupTableData"] = words.tobytes()
    return elements, np.stack([red, green, blue], axis=-1).astype(np.uint8)


@pytest.mark.parametrize(("bits", "shift"), [(16, 8), (16, 0), (8, 0)])
def test_palette_gives_the_colours_of_its_table(tmp_path, bits, shift):
    indices = picture(color=False)
    elements, colors = palette_elements(bits, shift)
    cine = read_cine(write_dicom(tmp_path / "a.dcm", indices, "PALETTE COLOR", elements=elements))
    assert cine.is_color
    np.testing.assert_array_equal(cine.frames, colors[indices])


def test_palette_clamps_below_its_first_entry(tmp_path):
    indices = picture(color=False)
    elements, colors = palette_elements(first=100, entries=100)
    cine = read_cine(write_dicom(tmp_path / "a.dcm", indices, "PALETTE COLOR", elements=elements))
    np.testing.assert_array_equal(cine.frames, colors[np.clip(indices.astype(int) - 100, 0, 99)])


def test_palette_with_sixteen_bit_indices(tmp_path):
    indices = picture(color=False).astype(np.uint16) * 4
    elements, colors = palette_elements(entries=1024)
    cine = read_cine(write_dicom(tmp_path / "a.dcm", indices, "PALETTE COLOR", elements=elements))
    np.testing.assert_array_equal(cine.frames, colors[indices])


def test_palette_without_its_table_is_refused(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", picture(color=False), "PALETTE COLOR")
    with pytest.raises(UnreadableInput, match=r"a\.dcm.*without its colour table"):
        read_cine(path)


@pytest.mark.parametrize("offset_table", [True, False])
@pytest.mark.parametrize("fragments", [1, 2, 3])
def test_frames_may_be_split_into_fragments(tmp_path, fragments, offset_table):
    clip = picture(4)
    whole = write_dicom(tmp_path / "whole.dcm", clip, "YBR_FULL_422", JPEG)
    split = write_dicom(
        tmp_path / "split.dcm", clip, "YBR_FULL_422", JPEG, fragments_per_frame=fragments, offset_table=offset_table
    )
    np.testing.assert_array_equal(read_cine(split).frames, read_cine(whole).frames)


def test_odd_frame_sizes_are_read(tmp_path):
    clip = picture(3, 11, 13)
    np.testing.assert_array_equal(read_cine(write_dicom(tmp_path / "a.dcm", clip)).frames, clip)
    np.testing.assert_array_equal(read_cine(write_dicom(tmp_path / "b.dcm", clip, syntax=RLE)).frames, clip)


@pytest.mark.parametrize("name", ["a.dcm", "A.IMA"])
def test_a_file_without_preamble_is_read(tmp_path, name):
    clip = picture(1)
    path = write_dicom(tmp_path / name, clip, syntax=IMPLICIT, preamble=False)
    assert path.read_bytes()[128:132] != b"DICM"
    np.testing.assert_array_equal(read_cine(path).frames, clip)


def test_each_frame_is_decoded_once_and_only_when_it_is_used(tmp_path, monkeypatch):
    clip = picture(12)
    path = write_dicom(tmp_path / "a.dcm", clip, syntax=RLE, FrameTime=20)
    decoded = []
    original = dicom_pixels._decode
    monkeypatch.setattr(dicom_pixels, "_decode", lambda *a: decoded.append(1) or original(*a))
    describe(path)
    assert len(decoded) == 0
    cine = read_cine(path)
    assert len(decoded) == 1  # the first frame proves that the file can be decoded
    cine.frame(7)
    cine.frame(7)
    assert len(decoded) == 2
    np.testing.assert_array_equal(cine.frames, clip)
    assert cine.frames is cine.frames
    assert len(decoded) == len(clip)


def test_a_long_clip_is_never_held_as_a_whole_file(tmp_path):
    """Opening and reading one frame of a 60 MB file allocates about one frame, not the file."""
    import tracemalloc

    path = write_dicom(tmp_path / "a.dcm", np.zeros((200, 256, 400, 3), np.uint8), FrameTime=20)
    frame_bytes = 256 * 400 * 3
    assert path.stat().st_size > 200 * frame_bytes
    describe(path)
    tracemalloc.start()
    try:
        opened = describe(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert opened.frames == 200
    assert peak < 8 * frame_bytes


def test_a_missing_decoder_is_named_with_its_package(tmp_path, monkeypatch):
    path = write_dicom(tmp_path / "a.dcm", picture(), "YBR_FULL_422", JPEG)
    data = path.read_bytes().replace(b"1.2.840.10008.1.2.4.50", b"1.2.840.10008.1.2.4.70")
    path.write_bytes(data)
    monkeypatch.setattr(dicom_pixels, "decoder_available", lambda syntax: False)
    with pytest.raises(MissingDependency, match=r"a\.dcm.*JPEG Lossless.*pip install pylibjpeg pylibjpeg-libjpeg"):
        read_cine(path)


def test_decoders_that_are_installed_are_found():
    assert dicom_pixels.decoder_available(JPEG)
    assert not dicom_pixels.decoder_available("1.2.840.10008.1.2.4.9999")
