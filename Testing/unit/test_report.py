"""Pictures, tables, charts and the report of a result, on small clips made of arrays."""

from __future__ import annotations

import csv
import errno
import io
import pathlib
import re
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from FetalEchoSegLib import charts, overlay_pictures, report, tables
from FetalEchoSegLib.anatomy import RESEARCH_ONLY, Condition, Structure, View
from FetalEchoSegLib.anatomy import condition_table as permitted_conditions
from FetalEchoSegLib.cine import Cine, Origin
from FetalEchoSegLib.commands import build_parser
from FetalEchoSegLib.conditions import ConditionThreshold
from FetalEchoSegLib.errors import InvalidRequest, MissingDependency, UnwritableOutput
from FetalEchoSegLib.output_files import file_stem
from FetalEchoSegLib.prediction import BundleIdentity, Prediction
from FetalEchoSegLib.report_content import MaskHistory, report_content
from FetalEchoSegLib.report_pdf import render_pdf
from PIL import Image

NOTICE = "Trained on synthetic data only."
BUNDLE = BundleIdentity("demo-tiny", "0.1.0", "ab" * 32, NOTICE)
BANDS = [ConditionThreshold(0.5, 0.3, 0.7)] * 7


def make_cine(frames=6, shape=(40, 60), color=False, **fields):
    rng = np.random.default_rng(0)
    array = rng.integers(0, 200, (frames, *shape, *([3] if color else [])), dtype=np.uint8)
    return Cine.from_array(array, **({"frame_rate": 50.0, "spacing": (0.5, 0.25)} | fields))


def make_prediction(cine, view=View.FOUR_CHAMBER, done=None):
    """Left atrium 4 x 5 pixels in the heart's ring (8 x 10) in the thorax (20 x 30), descending aorta 2 x 2."""
    frames = len(cine)
    labels = np.zeros((frames, *cine.image_shape), np.uint8)
    if min(cine.image_shape) >= 40 and view is View.FOUR_CHAMBER:
        labels[:, 10:30, 10:40] = Structure.THORAX
        labels[:, 12:20, 15:25] = Structure.WHOLE_HEART
        labels[:, 14:18, 17:22] = Structure.LEFT_ATRIUM
        labels[:, 25:27, 12:14] = Structure.DESCENDING_AORTA
    conditions = np.where(permitted_conditions()[view.index], [0.8, 0.4, 0.1, 0.2, 0.6, 0.5, 0.9], np.nan)
    return Prediction(
        labels=labels,
        view=view,
        view_probabilities=np.array([0.7, 0.1, 0.1, 0.1], np.float32),
        view_source="predicted",
        condition_probabilities=np.tile(conditions, (frames, 1)).astype(np.float32),
        clip_conditions=conditions.astype(np.float32),
        confidence=np.linspace(0.5, 0.9, frames).astype(np.float32),
        done=np.ones(frames, bool) if done is None else np.asarray(done),
        bundle=BUNDLE,
        notes=("The view was found with low confidence.",),
    )


# Pictures


def test_an_overlay_leaves_the_background_as_it_was_and_colours_structures():
    frame = np.full((10, 12), 100, np.uint8)
    labels = np.zeros((10, 12), np.uint8)
    labels[2:8, 2:8] = Structure.LEFT_VENTRICLE
    picture = overlay_pictures.overlay(frame, labels, opacity=0.5)
    assert (picture[labels == 0] == 100).all()
    color = np.array(Structure.LEFT_VENTRICLE.info.color)
    np.testing.assert_allclose(picture[4, 4], (100 + color) / 2, atol=1)
    edge = np.abs(picture[2, 2].astype(int) - color)
    assert edge.max() <= 25
    plain = overlay_pictures.overlay(frame, labels, opacity=0.5, outline=False)
    assert (plain[2, 2] == plain[4, 4]).all()


def test_an_overlay_keeps_the_colours_of_a_colour_frame():
    frame = np.random.default_rng(0).integers(0, 256, (6, 7, 3), dtype=np.uint8)
    np.testing.assert_array_equal(overlay_pictures.overlay(frame, np.zeros((6, 7), np.uint8)), frame)
    with pytest.raises(ValueError, match="differ in size"):
        overlay_pictures.overlay(frame, np.zeros((6, 6), np.uint8))


def test_tiles_have_the_physical_proportion():
    assert overlay_pictures.tile_size(make_cine(), 300) == (300, 400)  # 40 x 0.5 mm by 60 x 0.25 mm
    assert overlay_pictures.tile_size(make_cine(spacing=None), 300) == (300, 200)
    assert overlay_pictures.tile_size(make_cine(1, (4000, 1), spacing=None), 300)[1] <= 600


def test_a_montage_shows_eight_tiles_at_most_and_only_frames_that_are_done():
    cine = make_cine(20)
    few = overlay_pictures.montage(cine, make_prediction(cine, done=np.arange(20) < 3), tile_width=100)
    many = overlay_pictures.montage(cine, make_prediction(cine), tile_width=100)
    assert many.shape[0] > few.shape[0]
    assert many.dtype == np.uint8
    assert many.shape[2] == 3
    legend = {tuple(c) for c in many.reshape(-1, 3)}
    assert tuple(Structure.THORAX.info.color) in legend
    assert tuple(Structure.TRACHEA.info.color) not in legend
    with pytest.raises(InvalidRequest, match="No frame was segmented"):
        overlay_pictures.montage(cine, make_prediction(cine, done=np.zeros(20, bool)))


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1), (2500, 2500)])
def test_extreme_sizes_make_small_pictures(shape):
    cine = make_cine(1, shape, spacing=None)
    prediction = make_prediction(cine, View.LVOT)
    assert overlay_pictures.montage(cine, prediction).size < 3_000_000
    assert len(overlay_pictures.animation(cine, prediction)) < 500_000


@pytest.mark.parametrize("kind", ["webp", "gif", "png"])
def test_an_animation_plays_the_frames_at_the_clips_speed(tmp_path, kind):
    cine = make_cine(6, frame_rate=20.0)
    overlay_pictures.write_animation(tmp_path / f"a.{kind}", cine, make_prediction(cine))
    with Image.open(tmp_path / f"a.{kind}") as picture:
        assert picture.n_frames == 6
        picture.seek(2)
        picture.load()
        assert picture.info["duration"] == 50


def test_an_animation_can_be_mp4(tmp_path):
    av = pytest.importorskip("av")
    cine = make_cine(10)
    overlay_pictures.write_animation(tmp_path / "a.mp4", cine, make_prediction(cine))
    with av.open(str(tmp_path / "a.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) == len(
            overlay_pictures.animation_frames(cine, make_prediction(cine))
        )


def test_mp4_without_pyav_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    cine = make_cine()
    with pytest.raises(MissingDependency, match="pip install av"):
        overlay_pictures.animation(cine, make_prediction(cine), kind="mp4")


def test_an_animation_stays_within_its_bytes_and_sixty_frames():
    cine = make_cine(150, (80, 200))
    prediction = make_prediction(cine)
    assert len(overlay_pictures.animation_frames(cine, prediction)) == 60
    assert overlay_pictures.animation_frames(cine, prediction)[:3] == [0, 2, 4]  # 50 Hz shown at 25
    free = overlay_pictures.animation(cine, prediction, most_bytes=10**9)
    bounded = overlay_pictures.animation(cine, prediction, most_bytes=len(free) // 2)
    assert len(bounded) <= len(free) // 2
    with pytest.raises(InvalidRequest, match="webp, gif, png or mp4"):
        overlay_pictures.animation(cine, prediction, kind="bmp")


# Tables


def test_areas_are_in_mm2_and_rings_count_with_their_content():
    cine = make_cine()
    table = tables.frame_table(cine, make_prediction(cine))
    pixel = 0.5 * 0.25
    assert table.unit == "mm²"
    assert table.areas[Structure.LEFT_ATRIUM].tolist() == [20 * pixel] * 6
    assert table.areas[Structure.WHOLE_HEART].tolist() == [80 * pixel] * 6
    assert table.areas[Structure.THORAX].tolist() == [600 * pixel] * 6
    assert Structure.TRACHEA not in table.areas


def test_areas_are_in_pixels_without_calibration_and_times_empty_when_unknown(tmp_path):
    cine = Cine.from_array(make_cine().frames)
    table = tables.frame_table(cine, make_prediction(cine, done=[True, False, True, True, True, True]))
    table.to_csv(tmp_path / "frames.csv")
    rows = list(csv.DictReader((tmp_path / "frames.csv").read_text(encoding="utf-8").splitlines()))
    assert rows[0]["LA_px"] == "20"
    assert rows[0]["Heart_with_content_px"] == "80"
    assert rows[0]["time_s"] == ""
    assert (rows[1]["LA_px"], rows[1]["confidence"]) == ("", "")
    assert all(NOTICE in row["model"] for row in rows)


def test_the_condition_table_holds_verdicts_and_says_it_is_no_diagnosis(tmp_path):
    cine = make_cine()
    table = tables.condition_table(make_prediction(cine), BANDS)
    table.to_csv(tmp_path / "conditions.csv")
    rows = {r["condition"]: r for r in csv.DictReader(io.StringIO((tmp_path / "conditions.csv").read_text("utf-8")))}
    assert [r.condition for r in table.rows] == list(Condition)
    assert (rows["VSD"]["verdict"], rows["VSD"]["probability"]) == ("suspected", "0.8000")
    assert rows["AV_sten"]["verdict"] == "uncertain"
    assert (rows["RAA"]["verdict"], rows["RAA"]["probability"]) == ("not shown by this view", "")
    assert {r["note"] for r in rows.values()} == {RESEARCH_ONLY}
    assert all(NOTICE in r["model"] for r in rows.values())
    with pytest.raises(ValueError, match="7 thresholds"):
        tables.condition_table(make_prediction(cine), BANDS[:3])


# Charts


def test_charts_take_the_pages_colour_and_are_valid_svg():
    cine = make_cine()
    frames = tables.frame_table(cine, make_prediction(cine))
    conditions = tables.condition_table(make_prediction(cine), BANDS)
    for draw in (
        lambda: charts.condition_chart(conditions),
        lambda: charts.area_chart(frames),
        lambda: charts.confidence_chart(frames),
    ):
        svg = charts.to_svg(draw())
        assert ElementTree.fromstring(svg).tag.endswith("svg")
        assert "currentColor" in svg
        assert "#123456" not in svg
        assert svg == charts.to_svg(draw())


def test_the_condition_chart_draws_bands_only_for_conditions_the_view_shows():
    cine = make_cine()
    (axes,) = charts.condition_chart(tables.condition_table(make_prediction(cine), BANDS)).axes
    widths = sorted(round(p.get_width(), 2) for p in axes.patches)
    assert widths == [0.4, 0.4, 0.4, 0.8]  # two bands of 0.4, bars of 0.4 and 0.8
    assert sum(t.get_text() == "not shown by this view" for t in axes.texts) == 5


def test_a_clip_without_any_structure_still_has_its_charts():
    cine = make_cine(3, (10, 10))
    frames = tables.frame_table(cine, make_prediction(cine))
    assert "<svg" in charts.to_svg(charts.area_chart(frames))


def test_a_written_chart_carries_its_note(tmp_path):
    cine = make_cine()
    conditions = tables.condition_table(make_prediction(cine), BANDS)
    charts.write_chart(tmp_path / "c.svg", charts.condition_chart(conditions), note=f"{RESEARCH_ONLY} {NOTICE}")
    assert RESEARCH_ONLY in (tmp_path / "c.svg").read_text(encoding="utf-8")


# Report


def make_files(folder, cine=None, **options):
    cine = cine or make_cine(notes=("The calibration region is larger than the image.",))
    return report.write_result_files(folder, cine, make_prediction(cine), BANDS, **options)


def test_the_folder_holds_every_promised_file(tmp_path):
    files = make_files(tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(p.name for p in files.all)
    for path in (files.montage, files.animation, files.conditions_chart, files.areas_chart):
        with Image.open(path) as picture:
            picture.load()


def test_the_report_loads_nothing_and_says_what_must_be_said(tmp_path):
    html = make_files(tmp_path, input_name="/home/somebody/clip.dcm").report.read_text(encoding="utf-8")
    assert "clip.dcm" in html
    assert "somebody" not in html
    links = re.findall(r'(?:src|href)="([^"]+)"', html)
    assert links
    assert all(link.startswith(("data:image/", "#")) for link in links)
    assert "@import" not in html
    assert "<script" not in html
    assert html.count(RESEARCH_ONLY) >= 3
    for place in re.finditer("demo-tiny", html):
        assert NOTICE in html[place.start() : place.start() + 250]
    for text in (
        "The calibration region is larger than the image.",
        "The view was found with low confidence.",
        "0.5000 × 0.2500 mm",
        "50.0 Hz",
        "found by the model",
        BUNDLE.sha256,
        "not shown by this view",
        "prefers-color-scheme: dark",
        "@media print",
    ):
        assert text in html


def test_text_from_files_cannot_become_markup(tmp_path):
    cine = make_cine(notes=("<script>alert(1)</script>",), origin=Origin(uid="1.2.3.4"))
    html = make_files(tmp_path, cine, input_name="<b>x</b>.dcm").report.read_text(encoding="utf-8")
    assert "<script" not in html
    assert "<b>" not in html
    assert "1.2.3.4" not in html


def test_ids_inside_the_report_are_unique(tmp_path):
    html = make_files(tmp_path).report.read_text(encoding="utf-8")
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert set(re.findall(r'href="#([^"]+)"', html)) <= set(ids)
    assert len(ids) == len(set(ids)) > 0


@pytest.mark.parametrize("color", [False, True])
def test_a_still_has_a_report_without_curves(tmp_path, color):
    html = make_files(tmp_path, make_cine(1, color=color)).report.read_text(encoding="utf-8")
    assert "1 (still image)" in html
    assert "Areas over time" not in html
    assert ("colour" if color else "grey") in html


def test_an_unwritable_folder_leaves_earlier_results(tmp_path):
    (tmp_path / "out").write_text("a file, not a folder")
    with pytest.raises(UnwritableOutput, match="not a folder"):
        make_files(tmp_path / "out")
    assert (tmp_path / "out").read_text() == "a file, not a folder"


# Portable Document Format


def make_content(cine=None, **options):
    cine = cine or make_cine(notes=("The calibration region is larger than the image.",))
    return report_content(cine, make_prediction(cine), BANDS, **options)


def pages_of(content):
    pypdf = pytest.importorskip("pypdf")
    return pypdf.PdfReader(io.BytesIO(render_pdf(content)))


def test_every_page_of_the_pdf_says_what_it_is_not_and_which_model_it_is_from():
    reader = pages_of(make_content(make_cine(60), animated=False))
    assert len(reader.pages) >= 3
    for number, page in enumerate(reader.pages, 1):
        text = " ".join(page.extract_text().split())
        assert RESEARCH_ONLY in text
        assert str(BUNDLE) in text
        assert NOTICE in text
        assert f"Page {number} of {len(reader.pages)}" in text


def test_the_pdf_says_what_the_page_says():
    content = make_content(input_name="/home/somebody/clip.dcm", gestational_age=22 + 3 / 7)
    text = " ".join(" ".join(page.extract_text() for page in pages_of(content).pages).split())
    html = report.render_html(content)
    assert "somebody" not in text
    said = [content.title, content.when, BUNDLE.sha256, *content.notes, *(value for _, value in content.facts)]
    said += [row.text for row in content.measures.rows if row.value is not None]
    said += [row.condition.title for row in content.conditions.rows]
    said += [row.structure.info.title for row in content.structures]
    said += ["22 weeks + 3 days", "0.5000 × 0.2500 mm", "mm²", "not shown by this view", "suspected"]
    assert [s for s in said if s not in text] == []
    assert [s for s in said if s not in html] == []


def test_fonts_are_inside_the_pdf_and_hold_other_scripts():
    reader = pages_of(make_content(make_cine(notes=("Ωμέγα Привет ±2 °",)), animated=False))
    fonts = [font.get_object() for page in reader.pages for font in page["/Resources"]["/Font"].values()]
    for font in fonts:
        descriptor = font["/DescendantFonts"][0].get_object()["/FontDescriptor"].get_object()
        assert "/FontFile2" in descriptor
    assert "Ωμέγα Привет ±2 °" in reader.pages[0].extract_text()
    assert len(reader.pages[0].images) + len(reader.pages[1].images) >= 1


def test_a_title_of_any_length_and_signs_nobody_can_print_still_make_a_pdf():
    cine = make_cine(1, (10, 10), notes=("\U000f0000 \x07 심장", "x" * 3000))
    text = " ".join(
        page.extract_text() for page in pages_of(make_content(cine, input_name="n" * 300, animated=False)).pages
    )
    assert text.count("n" * 20) > 10
    assert "No structure was found." in text


def test_the_report_says_who_drew_the_masks():
    history = MaskHistory(["model"] * 3 + ["hand"] + ["clicks"] * 2, [1])
    content = make_content(history=history)
    expected = "3 frames drawn by the model, 2 frames corrected by clicks, 1 frame corrected by hand; 1 frame accepted"
    assert ("Masks", expected) in content.facts
    assert MaskHistory().text == ""
    assert "Masks" not in dict(make_content().facts)


def test_only_the_wanted_formats_are_written(tmp_path):
    content = make_content(animated=False)
    files = report.write_report(tmp_path, content, ("csv",), stem="clip")
    assert [f.name for f in files] == ["clip conditions.csv", "clip frames.csv", "clip measurements.csv"]
    files = report.write_report(tmp_path / "more", content, ("pdf", "html"))
    assert [f.name for f in files] == ["report.html", "report.pdf"]
    assert sorted(f.name for f in (tmp_path / "more").iterdir()) == ["report.html", "report.pdf"]
    for formats in ((), ("docx",)):
        with pytest.raises(InvalidRequest, match="html, pdf, csv"):
            report.write_report(tmp_path, content, formats)


def test_without_fpdf2_the_pdf_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "fpdf", None)
    with pytest.raises(MissingDependency, match="pip install fpdf2"):
        render_pdf(make_content(animated=False))


def test_a_full_disk_leaves_the_earlier_pdf(tmp_path, monkeypatch):
    (tmp_path / "report.pdf").write_bytes(b"earlier")

    def full(path, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pathlib.Path, "write_bytes", full)
    with pytest.raises(UnwritableOutput, match="disk is full"):
        report.write_report(tmp_path, make_content(animated=False), ("pdf",))
    assert (tmp_path / "report.pdf").read_bytes() == b"earlier"
    assert [f.name for f in tmp_path.iterdir()] == ["report.pdf"]


@pytest.mark.parametrize(
    ("name", "stem"),
    [("clip.dcm", "clip"), ("a/b: 1.dcm", "a_b_ 1"), ("x" * 300, "x" * 100), (" . ", "clip"), ("Größe.mp4", "Größe")],
)
def test_a_clips_name_becomes_a_file_name_that_every_system_takes(name, stem):
    assert file_stem(name) == stem


def test_the_result_of_a_command_has_a_pdf_when_it_was_asked_for(tmp_path):
    assert build_parser().parse_args(["segment", "clip.dcm", "--out", "out", "--pdf"]).pdf
    files = make_files(tmp_path, pdf=True)
    assert files.pdf.read_bytes().startswith(b"%PDF")
    assert files.pdf in files.all
    assert make_files(tmp_path / "other").pdf is None
