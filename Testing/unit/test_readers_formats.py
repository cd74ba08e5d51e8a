"""FETUS HDF5, NRRD and Slicer sequences, MetaImage, images and video."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from dicom_files import picture
from FetalEchoSegLib.anatomy import View
from FetalEchoSegLib.errors import UnreadableInput
from FetalEchoSegLib.fetus_layout import write_image
from FetalEchoSegLib.readers import describe, read_cine

# FETUS HDF5 ----------------------------------------------------------------------------------------------------------


def test_a_fetus_image_brings_its_view(tmp_path):
    image = picture(1)[0]
    write_image(tmp_path / "7.h5", image, View.RVOT, {"spacing_mm": np.array([0.3, 0.2]), "source": "phantom"})
    cine = read_cine(tmp_path / "7.h5")
    np.testing.assert_array_equal(cine.frame(0), image)
    assert cine.view is View.RVOT
    assert cine.spacing == (0.3, 0.2)
    assert dict(describe(tmp_path / "7.h5").details)["source"] == "phantom"


def test_the_users_view_wins(tmp_path):
    write_image(tmp_path / "7.h5", picture(1)[0], View.RVOT)
    cine = read_cine(tmp_path / "7.h5", view=View.LVOT)
    assert cine.view is View.LVOT
    assert cine.calibration == "unknown: the file carries no calibration"


def write_h5(path, **datasets):
    import h5py

    with h5py.File(path, "w") as file:
        for key, value in datasets.items():
            file[key] = value
    return path


@pytest.mark.parametrize(
    ("datasets", "sentence"),
    [
        ({"view": [1]}, "the key 'image' is missing"),
        ({"mask": np.zeros((9, 9), np.uint8), "label": [0] * 7}, "this is a label file, choose the one in images/"),
        ({"image": picture(1)[0]}, "the key 'view' is missing"),
        ({"image": picture(1)[0], "view": [9]}, "'view' must be one of 1 4CH, 2 LVOT, 3 RVOT, 4 3VT; it is 9"),
        ({"image": picture(1)[0], "view": [0]}, "it is 0"),
        ({"image": picture(1)[0], "view": [1, 2]}, "'view' must be one of"),
        ({"image": picture(1)[0], "view": [1.5]}, "'view' must be one of"),
        ({"image": picture(1)[0].astype(float), "view": [1]}, r"'image' must be \(H, W, 3\) uint8, it is .* float64"),
        ({"image": picture(1)[0, ..., 0], "view": [1]}, r"'image' must be \(H, W, 3\) uint8, it is \(32, 40\)"),
        ({"image": picture(1), "view": [1]}, r"'image' must be \(H, W, 3\)"),
        ({"image": np.zeros((1, 1, 3), np.uint8), "view": [1]}, "1 × 1 pixels, too small"),
        ({"image": np.zeros((0, 9, 3), np.uint8), "view": [1]}, "9 × 0 pixels, too small"),
    ],
)
def test_a_wrong_fetus_file_gets_its_sentence(tmp_path, datasets, sentence):
    with pytest.raises(UnreadableInput, match=rf"7\.h5: .*{sentence}"):
        read_cine(write_h5(tmp_path / "7.h5", **datasets))


def test_a_fetus_image_without_view_is_read_when_the_user_names_it(tmp_path):
    path = write_h5(tmp_path / "7.h5", image=picture(1)[0])
    assert read_cine(path, view=View.LVOT).view is View.LVOT
    assert describe(path).view is None


def test_an_impossible_pixel_size_attribute_is_not_used(tmp_path):
    write_image(tmp_path / "7.h5", picture(1)[0], View.RVOT, {"spacing_mm": np.array([0.0, 0.2])})
    cine = read_cine(tmp_path / "7.h5")
    assert cine.spacing is None
    assert any("spacing_mm was not used" in note for note in cine.notes)


# NRRD ----------------------------------------------------------------------------------------------------------------


def write_nrrd(path, data, sizes, kinds=None, encoding="raw", typename="unsigned char", lines=(), endian=None):
    """Write values in file order under a header as Slicer's sequence writer lays it out."""
    header = ["NRRD0004", "# a comment", f"type: {typename}", f"dimension: {len(sizes)}"]
    header += [f"sizes: {' '.join(map(str, sizes))}", f"encoding: {encoding}"]
    header += [f"kinds: {' '.join(kinds)}"] if kinds else []
    header += [f"endian: {endian}"] if endian else []
    payload = data if isinstance(data, bytes) else np.ascontiguousarray(data).tobytes()
    if encoding == "gzip":
        payload = gzip.compress(payload)
    path.write_bytes("\n".join([*header, *lines]).encode() + b"\n\n" + payload)
    return path


SPACE = ("space: left-posterior-superior", "space origin: (0,0,0)")


def directions(*axes):
    return f"space directions: {' '.join(axes)}"


TIMED = ('units: "" "" "" "s"', "axis 3 index type:=numeric", "axis 3 index values:=0.0 0.033 0.07 0.1")
GREY_DIRECTIONS = directions("(0.2,0,0)", "(0,0.3,0)", "(0,0,1)", "none")


@pytest.mark.parametrize("encoding", ["raw", "gzip"])
def test_a_grey_slicer_sequence(tmp_path, encoding):
    clip = picture(4, color=False)
    lines = (*SPACE, GREY_DIRECTIONS, *TIMED)
    kinds = ("domain", "domain", "domain", "list")
    path = write_nrrd(tmp_path / "a.seq.nrrd", clip, (40, 32, 1, 4), kinds, encoding, lines=lines)
    cine = read_cine(path)
    np.testing.assert_array_equal(cine.frames, clip)
    np.testing.assert_allclose(cine.times, [0, 0.033, 0.07, 0.1])
    assert cine.timing == "sequence index"
    assert cine.spacing == (0.3, 0.2)
    assert cine.notes == ()


@pytest.mark.parametrize("encoding", ["raw", "gzip"])
def test_a_colour_slicer_sequence(tmp_path, encoding):
    """Slicer numbers the index keys "axis 3" even where the list is axis 4."""
    clip = picture(4)
    lines = (
        *SPACE,
        directions("none", "(-0.2,0,0)", "(0,-0.3,0)", "(0,0,1)", "none"),
        'units: "" "" "" "" "s"',
        "axis 3 index values:=0.0 0.033 0.07 0.1",
        "axis 3 item 0002 FetalEcho.View:=LVOT",
    )
    kinds = ("vector", "domain", "domain", "domain", "list")
    path = write_nrrd(tmp_path / "a.seq.nrrd", clip, (3, 40, 32, 1, 4), kinds, encoding, lines=lines)
    cine = read_cine(path)
    np.testing.assert_array_equal(cine.frames, clip)
    np.testing.assert_allclose(cine.times, [0, 0.033, 0.07, 0.1])
    assert cine.spacing == (0.3, 0.2)
    assert cine.view is View.LVOT


def test_a_sequence_with_its_list_axis_first(tmp_path):
    clip = picture(4, color=False)
    lines = ('units: "s" "" "" ""', "axis 0 index values:=0 0.033 0.07 0.1")
    data = clip.transpose(1, 2, 0)
    path = write_nrrd(tmp_path / "a.nrrd", data, (4, 40, 32, 1), ("list", "domain", "domain", "domain"), lines=lines)
    cine = read_cine(path)
    np.testing.assert_array_equal(cine.frames, clip)
    np.testing.assert_allclose(cine.times, [0, 0.033, 0.07, 0.1])


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ((), "no index values in the file"),
        (('units: "" "" "" ""', "axis 3 index values:=0 1 2 3"), "the index of the sequence is not a time"),
        (('units: "" "" "" "s"', "axis 3 index values:=0 1 2"), "3 usable index values for 4 frames"),
        (('units: "" "" "" "s"', "axis 3 index values:=0 1 x 3"), "0 usable index values for 4 frames"),
        (('units: "" "" "" "s"', "axis 3 index values:=0 1 1 3"), "the index values do not increase"),
        (('units: "" "" "" "s"', "axis 3 index values:=0 1 nan 3"), "the index values do not increase"),
    ],
)
def test_a_sequence_without_usable_times_says_so(tmp_path, lines, reason):
    kinds = ("domain", "domain", "domain", "list")
    path = write_nrrd(tmp_path / "a.nrrd", picture(4, color=False), (40, 32, 1, 4), kinds, lines=lines)
    assert read_cine(path).timing.startswith(f"unknown: {reason}")


def test_one_millimetre_is_not_believed(tmp_path):
    lines = (*SPACE, directions("(1,0,0)", "(0,1,0)", "(0,0,1)", "none"))
    kinds = ("domain", "domain", "domain", "list")
    path = write_nrrd(tmp_path / "a.nrrd", picture(4, color=False), (40, 32, 1, 4), kinds, lines=lines)
    cine = read_cine(path)
    assert cine.spacing is None
    assert "is what is written when it is not known" in cine.calibration


@pytest.mark.parametrize(("unit", "spacing"), [("mm", (0.3, 0.2)), ("cm", (3.0, 2.0)), ("furlong", None)])
def test_space_units_are_obeyed(tmp_path, unit, spacing):
    lines = (*SPACE, GREY_DIRECTIONS, f'space units: "{unit}" "{unit}" "{unit}"')
    kinds = ("domain", "domain", "domain", "list")
    path = write_nrrd(tmp_path / "a.nrrd", picture(4, color=False), (40, 32, 1, 4), kinds, lines=lines)
    found = read_cine(path).spacing
    assert found == (None if spacing is None else pytest.approx(spacing))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([0, 100, 255], np.uint16), [0, 100, 255]),
        (np.array([0, 100, 255], np.int16), [0, 100, 255]),
        (np.array([0, 512, 1023], np.uint16), [0, 128, 255]),
        (np.array([0, 2048, 4000], np.uint16), [0, 128, 249]),
        (np.array([0, 32768, 65535], np.uint16), [0, 128, 255]),
        (np.array([-100, 0, 100], np.int16), [0, 128, 255]),
        (np.array([0, 0.5, 1], np.float32), [0, 128, 255]),
        (np.array([0, 99.6, 255], np.float64), [0, 100, 255]),
    ],
)
def test_other_types_become_eight_bits_by_one_rule(tmp_path, values, expected):
    names = {"uint16": "ushort", "int16": "short", "float32": "float", "float64": "double"}
    image = np.repeat(np.repeat(values, 5)[np.newaxis], 9, axis=0)
    path = write_nrrd(tmp_path / "a.nrrd", image, (15, 9), typename=names[str(values.dtype)], endian="little")
    np.testing.assert_allclose(read_cine(path).frame(0)[0, ::5], expected, atol=1)


def test_big_endian_values_are_swapped(tmp_path):
    image = np.arange(15 * 9).reshape(9, 15)
    path = write_nrrd(tmp_path / "a.nrrd", image.astype(">u2"), (15, 9), typename="ushort", endian="big")
    np.testing.assert_array_equal(read_cine(path).frame(0), image)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_refused_with_their_frame(tmp_path, bad):
    clip = np.zeros((4, 9, 15), np.float32)
    clip[2, 3, 3] = bad
    path = write_nrrd(tmp_path / "a.nrrd", clip, (15, 9, 4), typename="float", endian="little")
    with pytest.raises(UnreadableInput, match=r"a\.nrrd: frame 3 of 4 holds values that are not numbers"):
        read_cine(path)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ((b"encoding: raw", b"encoding: bzip2"), "the encoding 'bzip2' is not supported"),
        ((b"unsigned char", b"block"), "pixels of type 'block' are not supported"),
        ((b"sizes: 40 32 4", b"sizes: 40 32 5"), "it ends before its declared size"),
        ((b"sizes: 40 32 4", b"sizes: 40 -32 4"), "the sizes '40 -32 4' are not those of frames"),
        ((b"sizes: 40 32 4", b"sizes: 40 0 4"), "the sizes '40 0 4' are not those of frames"),
        (
            (b"sizes: 40 32 4", b"sizes: 9000 9000 90000"),
            r"it declares 90000 frames of 9000 × 9000 pixels, 6789\.. GiB",
        ),
        ((b"sizes: 40 32 4", b"sizes: 40 x 4"), "the NRRD file cannot be read"),
        ((b"sizes: 40 32 4", b"data file: b.raw\nsizes: 40 32 4"), "its pixels are in another file"),
        ((b"sizes: 40 32 4", b"byte skip: -1\nsizes: 40 32 4"), "skipped bytes or lines are not supported"),
        ((b"\n\n", b"\n"), "it is no complete NRRD file"),
        ((b"type: ", b"tipe: "), "its header lacks type"),
    ],
)
def test_a_wrong_nrrd_gets_its_sentence(tmp_path, change, sentence):
    path = write_nrrd(tmp_path / "a.nrrd", b"\1" * (40 * 32 * 4), (40, 32, 4))
    path.write_bytes(path.read_bytes().replace(*change, 1))
    with pytest.raises(UnreadableInput, match=rf"a\.nrrd: {sentence}"):
        read_cine(path)


def test_a_compressed_bomb_is_refused_before_it_is_opened(tmp_path):
    path = write_nrrd(tmp_path / "a.nrrd", b"\0" * 10_000, (8000, 8000, 300), encoding="gzip")
    with pytest.raises(UnreadableInput, match=r"a\.nrrd: "):
        read_cine(path, memory_limit=1 << 30)
    path = write_nrrd(tmp_path / "b.nrrd", b"\0" * 10_000, (1000, 1000, 300), encoding="gzip")
    with pytest.raises(UnreadableInput, match="it ends before its declared size"):
        read_cine(path)


def test_the_memory_limit_can_be_lowered(tmp_path):
    path = write_nrrd(tmp_path / "a.nrrd", picture(4, color=False), (40, 32, 4))
    with pytest.raises(UnreadableInput, match="it declares 4 frames of 40 × 32 pixels"):
        read_cine(path, memory_limit=4000)


# MetaImage -----------------------------------------------------------------------------------------------------------


def write_metaimage(path, array, spacing=(0.2, 0.3), vector=False, compress=False):
    sitk = pytest.importorskip("SimpleITK")
    image = sitk.GetImageFromArray(array, isVector=vector)
    image.SetSpacing((*spacing, 1.0)[: image.GetDimension()])
    sitk.WriteImage(image, str(path), compress)
    return path


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("color", [False, True])
def test_metaimage(tmp_path, color, compress):
    clip = picture(4, color=color)
    cine = read_cine(write_metaimage(tmp_path / "a.mha", clip, vector=color, compress=compress))
    np.testing.assert_array_equal(cine.frames, clip)
    assert cine.spacing == pytest.approx((0.3, 0.2))


def test_a_two_dimensional_metaimage_is_a_still(tmp_path):
    image = picture(1, color=False)[0]
    cine = read_cine(write_metaimage(tmp_path / "a.mha", image))
    assert cine.shape == (1, 32, 40)
    assert cine.timing == "still"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ((b"DimSize = 40 32 4", b"DimSize = 40 32 9000"), "it ends before its declared size"),
        ((b"DimSize = 40 32 4", b"DimSize = 40 9000 90000"), "it declares 90000 frames"),
        ((b"ElementDataFile = LOCAL", b"ElementDataFile = other"), "its pixels are in another file"),
    ],
)
def test_a_wrong_metaimage_gets_its_sentence(tmp_path, change, sentence):
    path = write_metaimage(tmp_path / "a.mha", picture(4, color=False))
    path.write_bytes(path.read_bytes().replace(*change, 1))
    with pytest.raises(UnreadableInput, match=rf"a\.mha: {sentence}"):
        read_cine(path, memory_limit=1 << 30)


# Images --------------------------------------------------------------------------------------------------------------


def save(path, array, **options):
    from PIL import Image

    Image.fromarray(array).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp"])
@pytest.mark.parametrize("color", [False, True])
def test_a_lossless_image_is_exact(tmp_path, suffix, color):
    image = picture(1, color=color)[0]
    cine = read_cine(save(tmp_path / f"a.{suffix}", image))
    np.testing.assert_array_equal(cine.frame(0), image)
    assert cine.is_color == color
    assert cine.spacing is None
    assert cine.calibration.endswith("carry no pixel size")


def test_the_content_decides_not_the_extension(tmp_path):
    image = picture(1)[0]
    save(tmp_path / "a.png", image)
    (tmp_path / "a.png").rename(tmp_path / "a.dcm")
    np.testing.assert_array_equal(read_cine(tmp_path / "a.dcm").frame(0), image)
    assert describe(tmp_path / "a.dcm").format == "PNG image"


def test_a_folder_is_read_in_natural_order_and_lazily(tmp_path, monkeypatch):
    from FetalEchoSegLib.readers import images

    clip = picture(12)
    for number, frame in enumerate(clip):
        save(tmp_path / f"frame{number}.png", frame)
    (tmp_path / ".DS_Store").write_bytes(b"x")
    (tmp_path / "notes.txt").write_text("not an image")
    decoded = []
    original = images._Decoder.decode
    monkeypatch.setattr(images._Decoder, "decode", lambda *a: decoded.append(a[1]) or original(*a))
    cine = read_cine(tmp_path)
    cine.frame(11)
    assert decoded == [0, 11]
    np.testing.assert_array_equal(cine.frames, clip)
    assert len(decoded) == 12


def test_grey_and_colour_in_a_folder_become_colour(tmp_path):
    save(tmp_path / "1.png", picture(1)[0])
    save(tmp_path / "2.png", picture(1, color=False)[0])
    cine = read_cine(tmp_path)
    np.testing.assert_array_equal(cine.frame(1), np.repeat(picture(1, color=False)[0][..., None], 3, axis=2))


def test_a_folder_of_mixed_sizes_names_the_two_files(tmp_path):
    save(tmp_path / "1.png", picture(1)[0])
    save(tmp_path / "2.png", picture(1, 40, 48)[0])
    with pytest.raises(UnreadableInput, match=r"1\.png is 40 × 32 pixels and 2\.png 48 × 40"):
        read_cine(tmp_path)


def test_the_pages_of_a_tiff_are_frames(tmp_path):
    from PIL import Image

    clip = picture(5)
    first, *rest = [Image.fromarray(frame) for frame in clip]
    first.save(tmp_path / "a.tif", save_all=True, append_images=rest)
    cine = read_cine(tmp_path / "a.tif")
    np.testing.assert_array_equal(cine.frame(3), clip[3])
    np.testing.assert_array_equal(cine.frame(1), clip[1])
    np.testing.assert_array_equal(cine.frames, clip)


def test_a_long_tiff_is_opened_once_not_once_a_page(tmp_path, monkeypatch):
    from PIL import Image

    first, *rest = [Image.fromarray(frame) for frame in picture(30)]
    first.save(tmp_path / "a.tif", save_all=True, append_images=rest)
    opened = []
    original = Image.open
    monkeypatch.setattr(Image, "open", lambda *a, **k: opened.append(1) or original(*a, **k))
    assert len(read_cine(tmp_path / "a.tif").frames) == 30
    assert len(opened) == 2  # for the header, and to decode


def test_sixteen_bit_images_share_one_scale(tmp_path):
    dark = np.full((9, 15), 1000, np.uint16)
    bright = np.full((9, 15), 4000, np.uint16)
    save(tmp_path / "1.png", dark)
    save(tmp_path / "2.png", bright)
    cine = read_cine(tmp_path)
    assert [int(frame[0, 0]) for frame in cine] == [round(1000 / 4095 * 255), round(4000 / 4095 * 255)]
    assert cine.notes[0] == "Values up to 4000 were scaled from 12 bits to 8 bits."


def test_nan_in_a_tiff_is_refused(tmp_path):
    image = np.zeros((9, 15), np.float32)
    image[2, 2] = np.nan
    with pytest.raises(UnreadableInput, match=r"a\.tif: frame 1 of 1 holds values that are not numbers"):
        read_cine(save(tmp_path / "a.tif", image))


def test_transparency_and_palettes_become_rgb(tmp_path):
    from PIL import Image

    image = picture(1)[0]
    rgba = np.dstack([image, np.full(image.shape[:2], 128, np.uint8)])
    np.testing.assert_array_equal(read_cine(save(tmp_path / "a.png", rgba)).frame(0), image)
    indexed = Image.fromarray(image).quantize(16)
    indexed.save(tmp_path / "b.png")
    np.testing.assert_array_equal(read_cine(tmp_path / "b.png").frame(0), np.asarray(indexed.convert("RGB")))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_the_orientation_flag_is_obeyed_and_said(tmp_path, suffix):
    from PIL import Image

    image = picture(1)[0]
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise by 90 degrees
    save(tmp_path / f"a.{suffix}", image, exif=exif)
    cine = read_cine(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(cine.frame(0), np.rot90(image, -1))
    assert any("orientation flag" in note for note in cine.notes)


def test_a_jpeg_is_close_to_its_original(tmp_path):
    image = picture(1, 64, 64, color=False)[0]
    cine = read_cine(save(tmp_path / "a.jpg", image, quality=95))
    assert not cine.is_color
    assert np.abs(cine.frame(0).astype(int) - image).mean() < 2


# Video ---------------------------------------------------------------------------------------------------------------


def write_video(path, clip, codec, pix_fmt, stamps=None, rate=25, gop=None):
    """Encode (T, H, W, 3) frames; stamps in ms, otherwise a constant rate."""
    av = pytest.importorskip("av")
    from fractions import Fraction

    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = clip.shape[2], clip.shape[1], pix_fmt
        if gop:
            stream.codec_context.gop_size = gop
        if stamps is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number, image in enumerate(clip):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            if stamps is not None:
                frame.pts, frame.time_base = stamps[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def moving_clip(frames=20):
    """Every frame has its own brightness, so that frames are told apart after lossy compression."""
    return np.stack([np.full((64, 80, 3), 20 + 10 * t, np.uint8) for t in range(frames)])


VIDEOS = [("a.mp4", "mpeg4", "yuv420p"), ("a.avi", "mjpeg", "yuvj420p"), ("a.mp4", "libx264", "yuv420p")]


def brightness(frame):
    return float(frame.mean())


@pytest.mark.parametrize(("name", "codec", "pix_fmt"), VIDEOS)
def test_video_frames_and_times(tmp_path, name, codec, pix_fmt):
    clip = moving_clip()
    cine = read_cine(write_video(tmp_path / name, clip, codec, pix_fmt))
    assert cine.shape == clip.shape
    np.testing.assert_allclose(cine.times, np.arange(20) / 25, atol=1e-6)
    np.testing.assert_allclose([brightness(f) for f in cine], [brightness(f) for f in clip], atol=4)
    assert cine.spacing is None


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_irregular_presentation_times_are_kept(tmp_path, codec):
    stamps = [0, 40, 80, 200, 240, 400, 410, 500]
    clip = moving_clip(len(stamps))
    cine = read_cine(write_video(tmp_path / "a.mp4", clip, codec, "yuv420p", stamps))
    np.testing.assert_allclose(cine.times * 1000, stamps, atol=0.6)
    np.testing.assert_allclose([brightness(f) for f in cine], [brightness(f) for f in clip], atol=4)


@pytest.mark.parametrize(("name", "codec", "pix_fmt"), [*VIDEOS, ("b.avi", "mpeg4", "yuv420p")])
def test_video_frames_are_found_in_any_order(tmp_path, name, codec, pix_fmt):
    clip = moving_clip()
    cine = read_cine(write_video(tmp_path / name, clip, codec, pix_fmt, gop=6))
    for index in (13, 2, 3, 19, 0, 7, 18, 6):
        assert brightness(cine.frame(index)) == pytest.approx(brightness(clip[index]), abs=4), index


def test_video_read_in_order_is_decoded_once(tmp_path, monkeypatch):
    av = pytest.importorskip("av")
    path = write_video(tmp_path / "a.mp4", moving_clip(), "mpeg4", "yuv420p", gop=6)
    opened = []
    original = av.open
    monkeypatch.setattr(av, "open", lambda *a, **k: opened.append(1) or original(*a, **k))
    cine = read_cine(path)
    seeks = []
    advance = cine.source._advance
    monkeypatch.setattr(cine.source, "_advance", lambda i: seeks.append(cine.source._decoder) or advance(i))
    assert cine.frames.shape == (20, 64, 80, 3)
    assert len(opened) == 2  # the index of times, and one pass of decoding
    assert len({id(decoder) for decoder in seeks}) == 1


def test_a_sound_file_is_no_video(tmp_path):
    av = pytest.importorskip("av")
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(UnreadableInput, match=r"a\.mkv: it holds no video"):
        read_cine(path)
