"""Times, pixel size, identity and kind of DICOM files."""

from __future__ import annotations

import numpy as np
import pytest
from dicom_files import SECONDARY_CAPTURE, picture, region, write_dicom
from FetalEchoSegLib.cine import hash_patient
from FetalEchoSegLib.errors import InvalidRequest, UnreadableInput
from FetalEchoSegLib.readers import describe, read_cine


def clip_with(tmp_path, **keywords):
    return read_cine(write_dicom(tmp_path / "a.dcm", picture(4), **keywords))


# Frame times ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("elements", "timing", "times"),
    [
        ({"FrameTime": 25.0}, "FrameTime", [0, 0.025, 0.05, 0.075]),
        ({"CineRate": 50}, "CineRate", [0, 0.02, 0.04, 0.06]),
        ({"RecommendedDisplayFrameRate": 20}, "RecommendedDisplayFrameRate", [0, 0.05, 0.1, 0.15]),
        ({"FrameTimeVector": [0, 33, 50, 33]}, "FrameTimeVector", [0, 0.033, 0.083, 0.116]),
        ({"FrameTimeVector": [40, 33, 50, 33]}, "FrameTimeVector", [0, 0.033, 0.083, 0.116]),
        (
            {"FrameTimeVector": [0, 10, 20, 30], "FrameTime": 99, "CineRate": 5},
            "FrameTimeVector",
            [0, 0.01, 0.03, 0.06],
        ),
        ({"FrameTime": 25, "CineRate": 5, "RecommendedDisplayFrameRate": 7}, "FrameTime", [0, 0.025, 0.05, 0.075]),
        ({"CineRate": 50, "RecommendedDisplayFrameRate": 7}, "CineRate", [0, 0.02, 0.04, 0.06]),
    ],
)
def test_the_most_exact_frame_time_is_used(tmp_path, elements, timing, times):
    cine = clip_with(tmp_path, elements=elements)
    assert cine.timing == timing
    np.testing.assert_allclose(cine.times, times)
    assert cine.has_known_times
    assert cine.notes == ()


@pytest.mark.parametrize(
    ("elements", "note"),
    [
        ({"FrameTime": 0}, "FrameTime is 0 ms"),
        ({"FrameTime": -33}, "FrameTime is -33 ms"),
        ({"FrameTime": 0.033}, "FrameTime is 0.033 ms"),
        ({"CineRate": 0}, "CineRate is 0 frames/s"),
        ({"RecommendedDisplayFrameRate": -1}, "RecommendedDisplayFrameRate is -1"),
        ({"FrameTimeVector": [0, 33, 33]}, "FrameTimeVector has 3 values for 4 frames"),
        ({"FrameTimeVector": [0, 33, 0, 33]}, "FrameTimeVector holds steps that are zero"),
        ({"FrameTimeVector": [0, 33, -5, 33]}, "FrameTimeVector holds steps that are zero, negative"),
        ({}, "The frame times are unknown"),
    ],
)
def test_an_impossible_frame_time_is_unknown_and_said(tmp_path, elements, note):
    cine = clip_with(tmp_path, elements=elements)
    assert cine.timing.startswith("unknown: ")
    assert not cine.has_known_times
    assert cine.frame_rate is None
    np.testing.assert_allclose(np.diff(cine.times), 0.1)
    assert any(text.startswith(note) for text in cine.notes)


def test_frame_time_that_is_no_number_is_unknown(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", picture(4), FrameTime="33.5")
    path.write_bytes(path.read_bytes().replace(b"33.5", b"nan "))
    cine = read_cine(path)
    assert cine.timing.startswith("unknown")
    np.testing.assert_allclose(np.diff(cine.times), 0.1)


def test_a_wrong_vector_gives_way_to_the_frame_time(tmp_path):
    cine = clip_with(tmp_path, elements={"FrameTimeVector": [0, 1], "FrameTime": 40})
    assert cine.timing == "FrameTime"
    assert cine.notes == ("FrameTimeVector has 2 values for 4 frames and was not used.",)


def test_a_still_needs_no_frame_time(tmp_path):
    cine = read_cine(write_dicom(tmp_path / "a.dcm", picture(1)))
    assert (cine.timing, cine.notes) == ("still", ())


# Calibration ---------------------------------------------------------------------------------------------------------

INSIDE = {"x": (0, 39), "y": (0, 31)}


@pytest.mark.parametrize(
    ("regions", "spacing", "calibration"),
    [
        ([region()], (0.3, 0.2), "dicom region 0"),
        ([region(x=(0, 40), y=(0, 32))], (0.3, 0.2), "dicom region 0"),
        ([region(delta=(-0.02, 0.03))], (0.3, 0.2), "dicom region 0"),
        ([region(delta=(0.02, -0.03), kind=2)], (0.3, 0.2), "dicom region 0"),
        ([region(), region(delta=(0.0201, 0.0299))], (0.3, 0.2), "dicom regions 0, 1 (they agree)"),
        ([region(spatial=3, kind=3, units=(4, 7)), region()], (0.3, 0.2), "dicom region 1"),
        ([region(), region(x=(0, 900), spatial=4, kind=10)], (0.3, 0.2), "dicom region 0"),
        ([region(delta=(0, 0.03)), region()], (0.3, 0.2), "dicom region 1"),
    ],
)
def test_pixel_size_comes_from_two_dimensional_regions(tmp_path, regions, spacing, calibration):
    cine = clip_with(tmp_path, regions=regions, FrameTime=25)
    np.testing.assert_allclose(cine.spacing, spacing, rtol=1e-6)
    assert cine.calibration == calibration


@pytest.mark.parametrize(
    ("regions", "reason"),
    [
        (None, "unknown: no ultrasound region in the file"),
        (
            [region(x=(84, 595), y=(31, 414))],
            "unknown: region 0 (84..595 × 31..414) is larger than the image (40 × 32)",
        ),
        ([region(), region(x=(0, 60))], "unknown: region 1 (0..60 × 0..31) is larger than the image (40 × 32)"),
        ([region(x=(30, 20))], "unknown: region 0 (30..20 × 0..31) is empty or turned around"),
        ([region(), region(delta=(0.02, 0.031))], "unknown: regions 0 and 1 contradict each other (0.2 × 0.3 mm and"),
        ([region(delta=(0, 0))], "unknown: in region 0 the pixel size is zero or negative"),
        ([region(delta=(float("nan"), 0.03))], "unknown: in region 0 the pixel size is not a number"),
        ([region(delta=(float("inf"), 0.03))], "unknown: in region 0 the pixel size is not a number"),
        ([region(delta=(20, 20))], "unknown: in region 0 a pixel of 200 × 200 mm is impossible"),
        ([region(units=(4, 3))], "unknown: the units of region 0 are not cm"),
        ([region(units=(0, 0))], "unknown: the units of region 0 are not cm"),
        ([region(spatial=2)], "unknown: region 0 is not a two-dimensional image"),
        ([region(kind=3), region(spatial=4)], "unknown: none of the 2 regions is a two-dimensional image"),
    ],
)
def test_pixel_size_is_unknown_with_its_reason(tmp_path, regions, reason):
    cine = clip_with(tmp_path, regions=regions)
    assert cine.spacing is None
    assert cine.calibration.startswith(reason)
    description = describe(tmp_path / "a.dcm")
    assert any(line.startswith("lengths and areas in mm (") for line in description.not_measurable)


def test_a_negative_delta_is_said(tmp_path):
    assert any("negative delta" in note for note in clip_with(tmp_path, regions=[region(delta=(-0.02, 0.03))]).notes)


def test_a_region_without_corners_is_not_trusted(tmp_path):
    item = region()
    del item.RegionLocationMaxX1
    assert "does not say where it lies" in clip_with(tmp_path, regions=[item]).calibration


def test_pixel_spacing_alone_is_not_trusted(tmp_path):
    cine = clip_with(tmp_path, PixelSpacing=[0.3, 0.2])
    assert cine.spacing is None
    assert cine.calibration == "unknown: PixelSpacing without ultrasound regions is not calibrated"


def test_pixel_spacing_that_states_its_calibration_is_used(tmp_path):
    cine = clip_with(tmp_path, PixelSpacing=[0.3, 0.2], PixelSpacingCalibrationType="GEOMETRY")
    np.testing.assert_allclose(cine.spacing, (0.3, 0.2))
    assert cine.calibration == "dicom PixelSpacing (geometry)"


def test_the_users_pixel_size_wins(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", picture(2), regions=[region(x=(0, 900))], FrameTime=20)
    cine = read_cine(path, manual_spacing=(0.11, 0.12))
    assert (cine.spacing, cine.calibration, cine.notes) == ((0.11, 0.12), "user", ())


@pytest.mark.parametrize("spacing", [(0, 1), (-1, 1), (float("nan"), 1), (1, 50), (1, 1, 1)])
def test_an_impossible_pixel_size_of_the_user_is_refused(tmp_path, spacing):
    path = write_dicom(tmp_path / "a.dcm", picture(1))
    with pytest.raises(InvalidRequest, match=r"is impossible: give row and column, each from 0\.001 to 10 mm"):
        read_cine(path, manual_spacing=spacing)


# Identity and kind ---------------------------------------------------------------------------------------------------


def test_no_name_leaves_the_file(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", picture(2))
    cine = read_cine(path)
    assert cine.origin.patient_hash == hash_patient("P 17")
    assert cine.origin.uid == "1.2.826.0.1.3680043.8.498.1"
    assert "Secret" not in repr((cine.origin, cine.notes, describe(path)))


@pytest.mark.parametrize("modality", ["US", "OT", "SC", None])
def test_secondary_capture_is_read_with_a_note(tmp_path, modality):
    cine = clip_with(tmp_path, Modality=modality, SOPClassUID=SECONDARY_CAPTURE)
    assert any(note.startswith("This is a secondary capture") for note in cine.notes)


@pytest.mark.parametrize(
    ("modality", "sop_class"),
    [
        ("CT", "1.2.840.10008.5.1.4.1.1.2"),
        ("MR", "1.2.840.10008.5.1.4.1.1.4"),
        ("RTDOSE", "1.2.840.10008.5.1.4.1.1.481.2"),
        ("CT", SECONDARY_CAPTURE),
        ("OT", "1.2.840.10008.5.1.4.1.1.6.1"),
    ],
)
def test_another_modality_is_refused(tmp_path, modality, sop_class):
    path = write_dicom(tmp_path / "a.dcm", picture(1), Modality=modality, SOPClassUID=sop_class)
    with pytest.raises(UnreadableInput, match=rf"a\.dcm: it is not ultrasound \(modality {modality},"):
        read_cine(path)


# Series of single images ---------------------------------------------------------------------------------------------


def write_series(folder, clip, **keywords):
    folder.mkdir(exist_ok=True)
    for number, frame in enumerate(clip, start=1):
        # File names run against the instance numbers.
        write_dicom(folder / f"im{100 - number}", frame[np.newaxis], InstanceNumber=number, **keywords)
    return folder


def test_a_folder_with_one_series_is_one_clip_in_instance_order(tmp_path):
    clip = picture(12)
    cine = read_cine(write_series(tmp_path / "series", clip, regions=[region()]))
    np.testing.assert_array_equal(cine.frames, clip)
    np.testing.assert_allclose(cine.spacing, (0.3, 0.2))
    assert cine.timing.startswith("unknown: single images state no frame time")


def test_a_series_with_a_frame_time_has_times(tmp_path):
    cine = read_cine(write_series(tmp_path / "series", picture(3), FrameTime=40))
    np.testing.assert_allclose(cine.times, [0, 0.04, 0.08])


def test_a_series_with_two_pixel_sizes_has_none(tmp_path):
    folder = write_series(tmp_path / "series", picture(3), regions=[region()])
    write_dicom(folder / "z.dcm", picture(1), InstanceNumber=9, regions=[region(delta=(0.1, 0.1))])
    cine = read_cine(folder)
    assert cine.spacing is None
    assert cine.calibration == "unknown: the files of the series state different pixel sizes"


def test_two_series_in_a_folder_are_refused(tmp_path):
    folder = write_series(tmp_path / "series", picture(2))
    write_dicom(folder / "z.dcm", picture(1), SeriesInstanceUID="1.2.3")
    with pytest.raises(UnreadableInput, match=r"z\.dcm are of different series"):
        read_cine(folder)


def test_a_series_of_mixed_sizes_is_refused(tmp_path):
    folder = write_series(tmp_path / "series", picture(2))
    write_dicom(folder / "z.dcm", picture(1, 40, 48))
    with pytest.raises(UnreadableInput, match=r"40 × 32 pixels and z\.dcm 48 × 40"):
        read_cine(folder)


def test_a_clip_among_single_images_is_refused(tmp_path):
    folder = write_series(tmp_path / "series", picture(2))
    write_dicom(folder / "z.dcm", picture(3))
    with pytest.raises(UnreadableInput, match=r"z\.dcm is a clip of its own; choose one file"):
        read_cine(folder)


def test_a_damaged_file_of_a_series_is_named(tmp_path):
    folder = write_series(tmp_path / "series", picture(3))
    path = folder / "im98"
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(UnreadableInput, match="im98"):
        read_cine(folder)
