"""Every bad input gets one sentence that names the file, and never a traceback of another kind."""

from __future__ import annotations

import os

import numpy as np
import pytest
from dicom_files import JPEG, RLE, picture, write_dicom
from FetalEchoSegLib.anatomy import View
from FetalEchoSegLib.errors import UnreadableInput
from FetalEchoSegLib.fetus_layout import write_image
from FetalEchoSegLib.readers import describe, read_cine


def refused(path, sentence, **options):
    with pytest.raises(UnreadableInput, match=sentence) as caught:
        read_cine(path, **options).frames  # noqa: B018 (decoding is the point)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert message.endswith(".")
    return message


def test_a_path_that_is_not_there(tmp_path):
    refused(tmp_path / "none.dcm", "there is no such file or folder")


@pytest.mark.parametrize("name", ["a.dcm", "a.h5", "a.nrrd", "a.mha", "a.png", "a.mp4", "a"])
def test_an_empty_file(tmp_path, name):
    path = tmp_path / name
    path.touch()
    refused(path, "the file is empty")


@pytest.mark.parametrize("name", ["a.dcm", "a.h5", "a.nrrd", "a.seq.nrrd", "a.mha", "a.png", "a.tif", "a.mp4", "a.avi"])
def test_text_under_every_extension(tmp_path, name):
    path = tmp_path / name
    path.write_text("This is a letter to the editor.\n\n" * 40)
    refused(path, str(path))


def test_a_text_file(tmp_path):
    path = tmp_path / "letter.txt"
    path.write_text("This is a letter.")
    refused(path, "it is no ultrasound file that can be read")


def test_a_file_whose_name_is_a_patient_is_not_trusted_more(tmp_path):
    path = tmp_path / "scan.dcm"
    path.write_bytes(b"\0" * 5000)
    refused(path, str(path))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_read_permission(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", picture(1))
    path.chmod(0)
    refused(path, "no permission to read it")


def test_a_refusal_of_the_system_is_a_sentence(tmp_path, monkeypatch):
    """As above, for a test run as root: the open itself is refused."""
    from pathlib import Path

    path = write_dicom(tmp_path / "a.dcm", picture(1))

    def deny(self, *arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", deny)
    refused(path, "no permission to read it; change its access rights")


def test_an_empty_folder(tmp_path):
    refused(tmp_path, "the folder holds no image")


def test_a_folder_of_other_things(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM" + b"\0" * 100)
    refused(tmp_path, "the folder holds no image")


def test_a_folder_with_several_clips(tmp_path):
    for name in ("1.h5", "2.h5"):
        write_image(tmp_path / name, picture(1)[0], View.LVOT)
    refused(tmp_path, r"it holds several clips \(1\.h5, 2\.h5")


def test_a_folder_with_dicom_and_images(tmp_path):
    from PIL import Image

    write_dicom(tmp_path / "a.dcm", picture(1))
    Image.fromarray(picture(1)[0]).save(tmp_path / "b.png")
    refused(tmp_path, "it holds DICOM files and images")


def test_an_empty_image_in_a_folder_is_named(tmp_path):
    from PIL import Image

    Image.fromarray(picture(1)[0]).save(tmp_path / "1.png")
    (tmp_path / "2.png").touch()
    with pytest.raises(UnreadableInput, match=r"2\.png: the file is empty"):
        read_cine(tmp_path)


# DICOM ---------------------------------------------------------------------------------------------------------------


def test_truncated_native_pixels_are_counted(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", picture(4))
    path.write_bytes(path.read_bytes()[: -32 * 40 * 3 * 2 + 100])
    refused(path, "it declares 4 frames and holds 2 complete; the file is truncated")


@pytest.mark.parametrize("syntax", [RLE, JPEG])
def test_truncated_compressed_pixels_are_counted(tmp_path, syntax):
    path = write_dicom(tmp_path / "a.dcm", picture(4), "RGB" if syntax == RLE else "YBR_FULL_422", syntax)
    path.write_bytes(path.read_bytes()[:-300])
    refused(path, "it declares 4 frames and holds 3 complete; the file is truncated")


@pytest.mark.parametrize("keep", [10, 131, 132, 140, 200, 350, 700])
def test_a_truncated_header(tmp_path, keep):
    path = write_dicom(tmp_path / "a.dcm", picture(1))
    path.write_bytes(path.read_bytes()[:keep])
    refused(path, str(path))


def test_a_damaged_frame_in_the_middle_is_named_and_the_others_are_read(tmp_path):
    clip = picture(5)
    path = write_dicom(tmp_path / "a.dcm", clip, syntax=RLE)
    data = bytearray(path.read_bytes())
    # The header of a run-length frame starts with its number of segments and the first offset.
    marks = [i for i in range(len(data)) if data[i : i + 8] == b"\3\0\0\0\x40\0\0\0"]
    assert len(marks) == 5
    data[marks[2]] = 200
    path.write_bytes(data)
    cine = read_cine(path)
    np.testing.assert_array_equal(cine.frame(1), clip[1])
    with pytest.raises(UnreadableInput, match=r"a\.dcm: frame 3 of 5 is damaged"):
        cine.frame(2)
    np.testing.assert_array_equal(cine.frame(4), clip[4])


def test_a_damaged_jpeg_frame_is_named(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", picture(5), "YBR_FULL_422", JPEG)
    parts = path.read_bytes().split(b"\xff\xd8\xff")
    assert len(parts) == 6
    parts[4] = bytes(len(parts[4]) - 16) + parts[4][-16:]  # the header of the next item stays
    path.write_bytes(b"\xff\xd8\xff".join(parts))
    cine = read_cine(path)
    with pytest.raises(UnreadableInput, match=r"a\.dcm: frame 4 of 5 is damaged"):
        cine.frame(3)


def test_a_compressed_frame_of_another_size_is_refused_before_it_is_decoded(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", picture(1), "YBR_FULL_422", JPEG)
    data = bytearray(path.read_bytes())
    start = data.index(b"\xff\xc0")
    data[start + 5 : start + 9] = b"\xff\x00\xff\x00"  # 65280 × 65280 pixels: 12 GB
    path.write_bytes(data)
    refused(path, "the compressed image is 65280 × 65280 pixels and the header says 40 × 32")


@pytest.mark.parametrize(
    ("elements", "sentence"),
    [
        ({"NumberOfFrames": 0}, "it declares 0 frames"),
        ({"NumberOfFrames": -3}, "it declares -3 frames"),
        ({"NumberOfFrames": 5}, "it declares 5 frames and holds 3 complete"),
        ({"NumberOfFrames": 2_000_000_000}, "it declares 2000000000 frames of 40 × 32 pixels"),
        ({"Rows": 0}, "its header lacks Rows"),
        ({"Columns": None}, "its header lacks Columns"),
        ({"BitsAllocated": None}, "its header lacks BitsAllocated"),
        ({"Rows": 1, "Columns": 1}, "its frames are 1 × 1 pixels, too small"),
        ({"Rows": 60000, "Columns": 60000}, "its frames are 60000 × 60000 pixels, no ultrasound image is larger"),
        ({"PhotometricInterpretation": "CMYK"}, "the photometric interpretation 'CMYK' is not one of"),
        ({"PhotometricInterpretation": None}, "the photometric interpretation 'not stated' is not one of"),
        ({"PhotometricInterpretation": "MONOCHROME2"}, "MONOCHROME2 needs 1 sample per pixel and the header says 3"),
        ({"SamplesPerPixel": 1}, "RGB needs 3 samples per pixel and the header says 1"),
        ({"BitsAllocated": 32, "BitsStored": 32}, "32 bits stored in 32 are not supported"),
        ({"BitsStored": 9}, "9 bits stored in 8 are not supported"),
        ({"PixelData": None}, "it holds no pixel data"),
        ({"Modality": "CT"}, "it is not ultrasound"),
    ],
)
def test_a_wrong_header_gets_its_sentence(tmp_path, elements, sentence):
    refused(write_dicom(tmp_path / "a.dcm", picture(3), elements=elements), sentence)


@pytest.mark.parametrize(
    ("syntax", "sentence"),
    [
        ("1.2.840.10008.1.2.1.99", "a deflated DICOM file .* export it uncompressed"),
        ("1.2.840.10008.1.2.4.66", "is not supported"),
        ("1.2.3.4", "its compression .* is not supported"),
    ],
)
def test_an_unsupported_compression_is_named(tmp_path, syntax, sentence):
    path = write_dicom(tmp_path / "a.dcm", picture(3), "YBR_FULL_422", JPEG)
    old = b"1.2.840.10008.1.2.4.50"
    assert len(syntax) <= len(old)
    path.write_bytes(path.read_bytes().replace(old, syntax.encode().ljust(len(old), b"\0")))
    refused(path, sentence)


def test_a_video_inside_dicom_is_refused_with_advice(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", picture(3), "YBR_FULL_422", JPEG, elements={"SOPInstanceUID": "1.2.3"})
    # MPEG-4 is one digit longer than JPEG: the length fields of the element and of its group grow by two.
    element = b"\x02\0\x10\0UI\x16\x001.2.840.10008.1.2.4.50"
    data = path.read_bytes()
    assert data.count(element) == 1
    data = data.replace(element, b"\x02\0\x10\0UI\x18\x001.2.840.10008.1.2.4.102\0")
    group = data.index(b"\x02\0\0\0UL\x04\0") + 8
    length = int.from_bytes(data[group : group + 4], "little") + 2
    path.write_bytes(data[:group] + length.to_bytes(4, "little") + data[group + 4 :])
    refused(path, "a video stream inside DICOM .* or as MP4")


def test_a_number_of_frames_that_is_no_number(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", picture(3), NumberOfFrames=3)
    data = path.read_bytes()
    assert data.count(b"\x28\x00\x08\x00IS\x02\x003 ") == 1
    path.write_bytes(data.replace(b"\x28\x00\x08\x00IS\x02\x003 ", b"\x28\x00\x08\x00IS\x02\x001A"))
    refused(path, "it declares no valid number of frames")


def test_surplus_pixel_data_are_noted(tmp_path):
    clip = picture(3)
    cine = read_cine(write_dicom(tmp_path / "a.dcm", clip, NumberOfFrames=2, FrameTime=20))
    np.testing.assert_array_equal(cine.frames, clip[:2])
    assert any("holds more pixel data than its 2 declared frames" in note for note in cine.notes)


def test_a_clip_beyond_the_memory_limit_is_refused_before_decoding(tmp_path):
    refused(write_dicom(tmp_path / "a.dcm", picture(4)), "it declares 4 frames of 40 × 32", memory_limit=10_000)


def test_large_frames_are_read_with_a_note(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", np.zeros((1, 8000, 8000), np.uint8), "MONOCHROME2")
    cine = read_cine(path)
    assert cine.frame(0).shape == (8000, 8000)
    assert cine.notes == ("Frames of 8000 × 8000 pixels are unusually large; every step takes longer on them.",)
    assert "unusually large" in str(describe(path))


# Other formats -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [8, 100, 0.5, 0.9])
def test_a_truncated_hdf5(tmp_path, keep):
    path = tmp_path / "7.h5"
    write_image(path, picture(1, 64, 64)[0], View.LVOT)
    data = path.read_bytes()
    path.write_bytes(data[: int(keep if keep > 1 else keep * len(data))])
    refused(path, "the HDF5 file cannot be read, the file is damaged")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
@pytest.mark.parametrize("keep", [12, 0.5])
def test_a_truncated_image(tmp_path, name, keep):
    from PIL import Image

    path = tmp_path / name
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    Image.fromarray(noise).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(keep if keep > 1 else keep * len(data))])
    refused(path, "damaged")


def test_a_damaged_image_in_the_middle_of_a_folder_is_named(tmp_path):
    from PIL import Image

    for number in range(5):
        Image.fromarray(picture(1, 64, 64)[0]).save(tmp_path / f"{number}.png")
    path = tmp_path / "2.png"
    path.write_bytes(path.read_bytes()[:200])
    cine = read_cine(tmp_path)
    with pytest.raises(UnreadableInput, match=r"2\.png: frame 3 of 5 is damaged"):
        cine.frame(2)


def test_an_image_bomb_is_refused_by_its_header(tmp_path):
    import struct
    import zlib

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">L", len(data)) + body + struct.pack(">L", zlib.crc32(body))

    path = tmp_path / "a.png"
    header = chunk(b"IHDR", struct.pack(">LLBBBBB", 60000, 60000, 8, 0, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b""))
    refused(path, "more pixels than any ultrasound image")


@pytest.mark.parametrize("keep", [20, 0.3, 0.8])
@pytest.mark.parametrize("name", ["a.mp4", "a.avi"])
def test_a_truncated_video(tmp_path, name, keep):
    pytest.importorskip("av")
    from test_readers_formats import moving_clip, write_video

    path = write_video(tmp_path / name, moving_clip(), "mpeg4", "yuv420p")
    data = path.read_bytes()
    path.write_bytes(data[: int(keep if keep > 1 else keep * len(data))])
    if name == "a.mp4" or keep != 0.8:
        refused(path, str(path))
    else:
        # An AVI that was cut is still a readable, shorter clip up to its last, damaged frame.
        assert 0 < len(read_cine(path)) < 20
