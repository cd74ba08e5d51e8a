"""Real ultrasound files: those inside the pydicom package and those beside the repository."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from FetalEchoSegLib.readers import describe, read_cine

pydicom = pytest.importorskip("pydicom")
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "ultrasound"
# Where pydicom 3 keeps the files that come with the package; asking it by name could download.
PACKAGED = Path(pydicom.__file__).parent / "data" / "test_files"


def packaged(name):
    path = PACKAGED / name
    if not path.is_file():
        pytest.skip(f"this pydicom does not carry {name}")
    return path


def shared(name):
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"{name} is not beside the repository")
    return path


def with_itk(path):
    sitk = pytest.importorskip("SimpleITK")
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def test_adult_cine_of_thirty_frames():
    path = packaged("examples_ybr_color.dcm")
    cine = read_cine(path)
    assert cine.shape == (30, 240, 320, 3)
    assert cine.timing == "FrameTime"
    assert cine.frame_rate == pytest.approx(30.0, rel=1e-3)
    assert cine.spacing is None
    assert cine.calibration == "unknown: region 0 (84..595 × 31..414) is larger than the image (320 × 240)"
    difference = np.abs(cine.frames.astype(int) - with_itk(path))
    assert difference.max() <= 3  # YCbCr is rounded on one of the two ways
    assert difference.mean() < 0.2


def test_the_jpeg_shortcut_equals_the_way_through_pydicom(monkeypatch):
    from FetalEchoSegLib.readers import dicom_pixels

    path = packaged("examples_ybr_color.dcm")
    short = read_cine(path).frames.astype(int)
    monkeypatch.setattr(dicom_pixels, "_decode_baseline", lambda *_: None)
    difference = np.abs(short - read_cine(path).frames)
    assert difference.max() <= 3  # YCbCr is rounded on one of the two ways
    assert difference.mean() < 0.2


def test_its_jpeg_frames_equal_pillow():
    import io

    from PIL import Image
    from pydicom import encaps

    path = packaged("examples_ybr_color.dcm")
    cine = read_cine(path)
    if not hasattr(encaps, "generate_frames"):
        pytest.skip("pydicom 2.4 names this function otherwise")
    data = pydicom.dcmread(path).PixelData
    for frame, code in zip(cine, encaps.generate_frames(data, number_of_frames=30), strict=True):
        expected = np.asarray(Image.open(io.BytesIO(code)).convert("RGB")).astype(int)
        np.testing.assert_array_equal(frame, expected)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("examples_palette.dcm", (350, 800)),
        ("examples_rgb_color.dcm", (240, 320)),
        ("examples_jpeg2k.dcm", (480, 640)),
        ("ExplVR_BigEnd.dcm", (60, 80)),
        ("SC_rgb_rle.dcm", (100, 100)),
        ("SC_rgb_jpeg_gdcm.dcm", (100, 100)),
        ("SC_rgb_gdcm_KY.dcm", (100, 100)),
        ("SC_ybr_full_422_uncompressed.dcm", (100, 100)),
        ("SC_rgb_dcmtk_+eb+cr.dcm", (100, 100)),
        ("SC_rgb_dcmtk_+eb+cy+np.dcm", (100, 100)),
        ("SC_rgb_dcmtk_+eb+cy+s4.dcm", (100, 100)),
    ],
)
def test_colours_equal_those_of_another_library(name, shape):
    path = packaged(name)
    cine = read_cine(path)
    assert cine.shape == (1, *shape, 3)
    # ITK upsamples chrominance in another way at the edges of the colour bars.
    difference = np.abs(cine.frame(0).astype(int) - with_itk(path).reshape(*shape, 3))
    exact = "JPEG" not in dict(describe(path).details)["transfer syntax"] or "2000" in name
    assert difference.max() <= 2 if exact else np.percentile(difference, 95) <= 3


def test_the_palette_still_is_calibrated_only_where_its_region_fits():
    assert "larger than the image (800 × 350)" in read_cine(packaged("examples_palette.dcm")).calibration
    whole = read_cine(shared("OBXXXX1A.dcm"))
    assert whole.shape == (1, 600, 800, 3)
    assert whole.calibration == "dicom region 0"
    np.testing.assert_allclose(whole.spacing, (0.2622878766, 0.2622878766))
    np.testing.assert_array_equal(whole.frame(0), with_itk(shared("OBXXXX1A.dcm"))[0])


def test_jpeg_lossless_still():
    path = shared("JPGLosslessP14SV1_1s_1f_8b.dcm")
    pytest.importorskip("libjpeg", reason="needs pylibjpeg-libjpeg")
    cine = read_cine(path)
    assert cine.shape == (1, 768, 1024)
    np.testing.assert_allclose(cine.spacing, (0.25476696592,) * 2)
    np.testing.assert_array_equal(cine.frame(0), with_itk(path)[0])


def test_mouse_liver():
    path = shared("MouseLiverB.mha")
    cine = read_cine(path)
    np.testing.assert_array_equal(cine.frames, with_itk(path))
    np.testing.assert_allclose(cine.spacing, (0.0385753, 0.1))
    assert not cine.has_known_times


def test_description_of_the_adult_cine():
    text = str(describe(packaged("examples_ybr_color.dcm")))
    for expected in (
        "DICOM ultrasound multi-frame image",
        "30, 320 × 240 pixels, colour",
        "JPEG Baseline",
        "YBR_FULL_422",
        "30 frames/s over 0.967 s (FrameTime)",
        "unknown: region 0 (84..595 × 31..414) is larger than the image (320 × 240)",
        "heart rate and curves over seconds",
    ):
        assert expected in text
