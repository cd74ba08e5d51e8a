from __future__ import annotations

import importlib.util

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("monai")
if importlib.util.find_spec("segment_anything") is None:
    pytest.skip("segment-anything is not installed", allow_module_level=True)

from FetalEchoSegLib.anatomy import Structure, View
from FetalEchoSegLib.fetus_layout import write_image, write_label
from FetalEchoSegLib.promptable.boundary import Acceptance, Decision
from FetalEchoSegLib.promptable.configuration import PromptableConfig
from FetalEchoSegLib.promptable.geometry import Geometry
from FetalEchoSegLib.promptable.model import Answer, Embedding
from FetalEchoTrainLib.boundary_masks import Corrections, correction_map, refine_pseudo_masks
from FetalEchoTrainLib.dataset import Frame, digest_of
from FetalEchoTrainLib.losses import IGNORE
from FetalEchoTrainLib.pseudo_labels import UNCHANGED
from FetalEchoTrainLib.teacher import TeacherOutput

SIDE = 128
LV = int(Structure.LEFT_VENTRICLE)


def square(left, size=40):
    mask = np.zeros((SIDE, SIDE), dtype=np.uint8)
    mask[40 : 40 + size, left : left + size] = LV
    return mask


class FixedTeacher:
    """Draws one mask whatever it is shown."""

    def __init__(self, mask):
        self.logits = 9 * torch.nn.functional.one_hot(torch.from_numpy(mask.astype(np.int64)), 15).movedim(-1, 0)

    def predict(self, images):
        logits = self.logits[None].float().expand(len(images), -1, -1, -1)
        return TeacherOutput(logits, torch.zeros(len(images), 7), torch.zeros(len(images), 1, 1, 1))


class FixedRefiner:
    """Answers every prompt with one mask."""

    def __init__(self, mask):
        self.mask = mask > 0

    def embed(self, image, cancelled=None):
        return Embedding(torch.zeros(1), Geometry.of(image, PromptableConfig.tiny(), "area"))

    def answer(self, embedding, prompts, multimask=True):
        return [Answer(4 * embedding.geometry.mask_prompt(self.mask), 0.9, embedding.geometry) for _ in prompts]


def frame_in(folder, truth):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
    write_image(folder / "1.h5", image, View.FOUR_CHAMBER)
    write_label(folder / "truth.h5", truth, np.zeros(7, dtype=np.uint8))
    return Frame(folder / "1.h5", View.FOUR_CHAMBER, "a", "train", digest_of(image), truth=folder / "truth.h5")


def refine(folder, answer, rim=3):
    truth, drawn = square(40), square(44)
    frame, corrections = frame_in(folder, truth), Corrections(folder / "corrections")
    corrections.use(0)
    report = refine_pseudo_masks(
        [frame], FixedTeacher(drawn), FixedRefiner(answer), corrections, SIDE, torch.device("cpu"), Acceptance(), rim
    )
    return report, corrections.read(frame.digest)


def test_an_accepted_outline_becomes_a_correction_and_the_log_knows_it_was_right(tmp_path):
    report, found = refine(tmp_path, square(40))
    assert (report.asked, report.accepted, report.ignored) == (1, 1, 0)
    assert report.changed == np.count_nonzero(found != UNCHANGED) > 250
    applied = np.where(found == UNCHANGED, square(44), found)
    # The mask prompt has a quarter of the resolution, hence not every pixel.
    assert np.mean(applied != square(40)) < 0.005
    assert report.right_before / report.known < 0.1
    assert report.right_after / report.known > 0.9
    assert "1 of 1 outlines accepted" in str(report)
    assert report.values()["refinement_precision_after_percent"] > 90


def test_a_rejected_outline_gets_a_rim_and_changes_nothing(tmp_path):
    report, found = refine(tmp_path, square(80))
    assert (report.accepted, report.changed) == (0, 0)
    assert set(np.unique(found)) == {UNCHANGED, IGNORE}
    rim = found == IGNORE
    middle = rim[60]  # across both sides of the square from 44 to 83
    assert np.flatnonzero(middle).tolist() == [*range(41, 47), *range(81, 87)]
    assert "precision" not in " ".join(report.values())


def test_without_rim_a_rejected_outline_leaves_no_trace(tmp_path):
    _, found = refine(tmp_path, square(80), rim=0)
    assert (found == UNCHANGED).all()


def test_what_changed_wins_over_the_rim_of_a_neighbour():
    labels = square(40)
    labels[40:80, 80:100] = Structure.RIGHT_VENTRICLE
    refined = labels.copy()
    refined[40:80, 80:82] = LV
    rejected = Decision(0, Structure.RIGHT_VENTRICLE, "unstable", 0.9, 1, 0.1, 0.5)
    found = correction_map(labels, refined, [rejected], 3)
    assert (found[45:75, 80:82] == LV).all()
    assert (found[45:75, 82] == IGNORE).all()


def test_a_rejected_ring_has_its_rim_around_what_it_encloses():
    labels = np.zeros((SIDE, SIDE), dtype=np.uint8)
    labels[20:100, 20:100] = Structure.WHOLE_HEART
    labels[40:80, 40:80] = LV
    rejected = Decision(0, Structure.WHOLE_HEART, "unstable", 0.9, 1, 0.1, 0.5)
    found = correction_map(labels, labels, [rejected], 3)
    assert np.flatnonzero(found[60] == IGNORE).tolist() == [*range(17, 23), *range(97, 103)]


def test_corrections_are_small_come_back_and_are_kept_for_two_refinements(tmp_path):
    corrections = Corrections(tmp_path)
    assert corrections.read("a") is None
    for number in (10, 20, 30):
        corrections.use(number)
        corrections.write("a", np.full((256, 256), number, dtype=np.uint8))
    assert (corrections.read("a") == 30).all()
    assert corrections.read("b") is None
    corrections.use(20)
    assert (corrections.read("a") == 20).all()
    corrections.forget_others()  # 30 lies in a future that was undone
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000010", "000020"]
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.png")) < 2000


def test_a_damaged_map_is_no_map(tmp_path):
    corrections = Corrections(tmp_path)
    corrections.use(0)
    corrections.write("a", np.zeros((64, 64), dtype=np.uint8))
    (tmp_path / "000000" / "a.png").write_bytes(b"\x89PNG nothing")
    assert corrections.read("a") is None
