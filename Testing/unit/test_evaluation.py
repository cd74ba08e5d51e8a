"""`evaluate` on small folders: figures, files and sentences."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from FetalEchoSegLib import fetus_layout as layout
from FetalEchoSegLib.anatomy import Condition, Structure, View, permitted_conditions, permitted_labels
from FetalEchoSegLib.errors import InvalidDataset
from FetalEchoSegLib.evaluation import evaluate
from FetalEchoSegLib.metrics import compare_masks

SIZE = 24


@pytest.fixture
def folders(tmp_path):
    """Twelve labelled images, three per view, and predictions shifted by one pixel with some labels wrong."""
    rng = np.random.default_rng(7)
    data, predictions = tmp_path / "data", tmp_path / "predictions"
    for number in range(1, 13):
        view = View((number - 1) % 4 + 1)
        mask = rng.choice(permitted_labels(view), (4, 4)).astype(np.uint8).repeat(6, 0).repeat(6, 1)
        label = np.zeros(7, np.uint8)
        label[int(permitted_conditions(view)[number % 2])] = 1
        layout.write_image(layout.image_path(data, str(number)), np.zeros((SIZE, SIZE, 3), np.uint8), view)
        layout.write_label(layout.label_path(data, str(number)), mask, label)
        layout.write_prediction(predictions / f"{number}.h5", np.roll(mask, 1, axis=0), label ^ (number % 3 == 0))
    return predictions, data


def test_figures_are_those_of_the_definitions(folders):
    predictions, data = folders
    result = evaluate(predictions, data)
    assert result.names == tuple(str(n) for n in range(1, 13))
    sums, counts = np.zeros(14), np.zeros(14)
    for number in range(1, 13):
        ours = layout.read_prediction(predictions / f"{number}.h5")
        truth = layout.read_label(layout.label_path(data, str(number)))
        dice = compare_masks(ours.mask, truth.mask).dice
        sums += np.nan_to_num(dice)
        counts += ~np.isnan(dice)
    dice_class = 100.0 * sums / np.maximum(counts, 1)
    np.testing.assert_array_equal(result.segmentation.dice_class, dice_class)
    assert result.segmentation.dice == dice_class[counts > 0].mean()
    assert 0 < result.segmentation.dice < 100
    assert result.score == pytest.approx(
        45 * result.classification.macro_f1 + 0.45 * (result.segmentation.dice + result.segmentation.nsd) / 2
    )


def test_perfect_predictions_score_full_marks(folders):
    predictions, data = folders
    for number in range(1, 13):
        truth = layout.read_label(layout.label_path(data, str(number)))
        layout.write_prediction(predictions / f"{number}.h5", truth.mask, truth.label)
    result = evaluate(predictions, data, milliseconds=50)
    assert (round(result.segmentation.dice, 6), result.segmentation.nsd) == (100, 100)
    f1 = result.classification.f1_class
    assert (f1[result.classification.positives > 0] == 1).all()
    assert result.to_dict()["time_score"] == 100
    assert result.score == pytest.approx(45 * f1.mean() + 45 + 10)


def test_json_holds_the_promised_keys_in_the_promised_units(folders, tmp_path):
    result = evaluate(*folders)
    result.to_json(tmp_path / "e.json")
    content = json.loads((tmp_path / "e.json").read_text())
    assert content["dice"] == result.segmentation.dice > 1.0
    assert content["nsd"] == result.segmentation.nsd
    assert content["macro_f1"] == result.classification.macro_f1 <= 1.0
    assert content["score"] == result.score
    assert (len(content["dice_class"]), len(content["nsd_class"]), len(content["f1_class"])) == (14, 14, 7)
    assert set(content["views"]) == {v.short for v in View}
    assert content["views"]["4CH"]["images"] == 3
    assert content["views"]["4CH"]["count_class"][Structure.TRACHEA - 1] == 0


def test_csv_has_a_row_for_every_scope_and_class(folders, tmp_path):
    result = evaluate(*folders)
    result.to_csv(tmp_path / "e.csv")
    rows = list(csv.DictReader((tmp_path / "e.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 5 * (1 + 14 + 7)
    by_name = {(r["scope"], r["name"]): r for r in rows}
    assert float(by_name["all", "mean"]["dice_percent"]) == result.segmentation.dice
    assert by_name["3VT", "LA"]["dice_percent"] == ""
    assert by_name["3VT", "VSD"]["f1"] == ""
    assert float(by_name["all", "RAA"]["f1"]) == float(result.classification.f1_class[Condition.RIGHT_AORTIC_ARCH])


def test_the_terminal_table_names_every_structure_and_condition(folders):
    text = str(evaluate(*folders))
    for title in [s.info.title for s in Structure] + [c.title for c in Condition]:
        assert title in text
    assert "of 90" in text


def test_a_list_chooses_images_and_their_order(folders):
    predictions, data = folders
    entries = [
        layout.ListEntry(layout.image_path(data, n), layout.label_path(data, n), View.LVOT) for n in ("10", "2", "6")
    ]
    layout.write_list(data / layout.VALID, entries)
    result = evaluate(predictions, data, list_file=data / layout.VALID)
    assert result.names == ("10", "2", "6")
    assert [p.view for p in result.views] == [View.LVOT]
    assert len(result.ignored) == 9


def test_progress_counts_the_images(folders):
    calls = []
    evaluate(*folders, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(n, 12) for n in range(1, 13)]


def test_a_missing_prediction_is_an_error_and_an_extra_one_is_reported(folders):
    predictions, data = folders
    (predictions / "3.h5").rename(predictions / "extra.h5")
    with pytest.raises(InvalidDataset, match=r"1 of 12 predictions are missing \(3\.h5\)"):
        evaluate(predictions, data)
    (predictions / "extra.h5").rename(predictions / "3.h5")
    layout.write_prediction(predictions / "99.h5", np.zeros((2, 2), int), np.zeros(7))
    result = evaluate(predictions, data)
    assert result.ignored == ("99",)
    assert "no evaluated image: 1 " in str(result)


def test_wrong_shapes_and_folders_have_their_sentence(folders, tmp_path):
    predictions, data = folders
    with pytest.raises(InvalidDataset, match="no such folder of predictions"):
        evaluate(tmp_path / "nowhere", data)
    with pytest.raises(InvalidDataset, match="images/ is missing"):
        evaluate(predictions, tmp_path)
    layout.write_prediction(predictions / "5.h5", np.zeros((12, 12), int), np.zeros(7))
    with pytest.raises(InvalidDataset, match=r"5\.h5: the mask is \(12, 12\), the true mask \(24, 24\)"):
        evaluate(predictions, data)
    (tmp_path / "e" / "images").mkdir(parents=True)
    (tmp_path / "e" / "labels").mkdir()
    with pytest.raises(InvalidDataset, match="no label file"):
        evaluate(predictions, tmp_path / "e")


def test_an_unlabelled_list_cannot_be_evaluated(folders):
    predictions, data = folders
    layout.write_list(data / "u.json", [layout.ListEntry(layout.image_path(data, "1"), None, View.LVOT)])
    with pytest.raises(InvalidDataset, match=r"1\.h5 has no label"):
        evaluate(predictions, data, list_file=data / "u.json")
