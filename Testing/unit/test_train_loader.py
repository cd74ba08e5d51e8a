"""Batches: the same ones every time, from any step on, by any number of threads and processes."""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pydantic")
pytest.importorskip("cv2")
torch = pytest.importorskip("torch")

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from FetalEchoSegLib.anatomy import Condition, View, condition_table
from FetalEchoSegLib.errors import InvalidDataset
from FetalEchoSegLib.fetus_layout import TRAIN_LABELED, TRAIN_UNLABELED, VALID
from FetalEchoTrainLib.configuration import parse_config
from FetalEchoTrainLib.dataset import read_frame
from FetalEchoTrainLib.dataset_check import check_data
from FetalEchoTrainLib.loader import Loader, Reader, balanced_rows, plain_rows, steps_of_epoch
from training_data import SmallDataset, small_dataset


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_dataset(tmp_path_factory.mktemp("loader") / "set", labelled=16, unlabelled=24)


def config_of(folder, **changes):
    base = parse_config(
        {"data": {"folder": str(folder)}, "network": {"size": "tiny", "image_size": 64},
         "ema": {"labelled_batch": 4, "unlabelled_batch": 4}, "seed": 3}, "")  # fmt: skip
    return base.changed({name.replace("__", "."): value for name, value in changes.items()})


def data_of(folder):
    return check_data(config_of(folder)).data


def everything(batch):
    x, u = batch.labelled, batch.unlabelled
    tensors = [x.images, x.masks, x.views, x.conditions]
    if u is not None:
        tensors += [u.weak, u.strong1, u.strong2, u.views, u.truth]
        tensors += [torch.from_numpy(np.concatenate([m.boxes.ravel(), m.partners])) for m in (u.mix1, u.mix2)]
    return [x.ids, u.ids if u else None], tensors


def same(first, second):
    (ids1, tensors1), (ids2, tensors2) = everything(first), everything(second)
    return ids1 == ids2 and all(torch.equal(a, b) for a, b in zip(tensors1, tensors2, strict=True))


def batches(folder, epoch=0, first_step=0, rank=0, world=1, **changes):
    with Loader(data_of(folder), config_of(folder, **changes), rank, world) as loader:
        return list(loader.batches(epoch, first_step))


def test_a_batch_has_the_shapes_and_ranges_that_networks_take(folder):
    (batch, *others) = batches(folder)
    assert len(others) == 5
    x, u = batch.labelled, batch.unlabelled
    assert (x.images.shape, x.masks.shape, x.conditions.shape) == ((4, 1, 64, 64), (4, 64, 64), (4, 7))
    assert (x.images.dtype, x.masks.dtype, x.views.dtype) == (torch.float32, torch.int64, torch.int64)
    assert (x.conditions.dtype, u.truth.dtype) == (torch.float32, torch.int64)
    assert u.weak.shape == u.strong1.shape == u.strong2.shape == (4, 1, 64, 64)
    for images in (x.images, u.weak, u.strong1, u.strong2):
        assert images.min() >= 0
        assert images.max() <= 1
        assert images.std() > 0.01
    assert set(x.views.tolist()) <= {1, 2, 3, 4}
    assert not torch.equal(u.strong1, u.strong2)


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_the_same_seed_gives_the_same_batches_by_any_number_of_threads(folder, threads):
    first = batches(folder, epoch=2)
    again = batches(folder, epoch=2, run__loader_threads=threads, run__prefetch=2)
    assert all(same(a, b) for a, b in zip(first, again, strict=True))


def test_a_loader_starts_at_any_step(folder):
    whole = batches(folder, epoch=1)
    rest = batches(folder, epoch=1, first_step=4)
    assert [b.step for b in rest] == [4, 5]
    assert all(same(a, b) for a, b in zip(whole[4:], rest, strict=True))


def test_seed_epoch_and_step_all_matter(folder):
    first, second = batches(folder)[:2]
    assert not same(first, second)
    assert not same(first, batches(folder, epoch=1)[0])
    assert not same(first, batches(folder, seed=4)[0])


def test_two_processes_see_the_halves_of_what_one_sees(folder):
    whole = batches(folder)
    parts = [batches(folder, rank=rank, world=2) for rank in (0, 1)]
    for step, batch in enumerate(whole):
        pair = [part[step] for part in parts]
        assert torch.equal(batch.labelled.images, torch.cat([p.labelled.images for p in pair]))
        assert torch.equal(batch.labelled.masks, torch.cat([p.labelled.masks for p in pair]))
        mixed = batch.unlabelled.mix1.mix(batch.unlabelled.strong1)
        assert torch.equal(mixed, torch.cat([p.unlabelled.mix1.mix(p.unlabelled.strong1) for p in pair]))
    with pytest.raises(InvalidDataset, match=r"must be multiples of the number of processes \(3\)"):
        batches(folder, world=3)


def test_an_epoch_goes_once_through_the_larger_part_and_the_smaller_one_goes_on(folder):
    found = batches(folder)
    unlabelled = Counter(i for b in found for i in b.unlabelled.ids)
    assert len(unlabelled) == 24
    assert set(unlabelled.values()) == {1}
    labelled = Counter(i for b in found for i in b.labelled.ids)
    assert len(labelled) == 16
    assert set(labelled.values()) == {1, 2}
    # The pass that began in this epoch ends in the next.
    more = Counter(i for b in batches(folder, epoch=1)[:2] for i in b.labelled.ids)
    assert set((labelled + more).values()) == {2}


def test_neighbours_share_a_view_so_that_they_can_be_mixed(folder):
    for batch in batches(folder, ema__cutmix=1.0):
        u = batch.unlabelled
        assert u.views[0] == u.views[1]
        assert u.views[2] == u.views[3]
        assert u.mix1.partners.tolist() == [1, 0, 3, 2]
        assert (u.mix1.share > 0).all()
        assert not np.array_equal(u.mix1.boxes, u.mix2.boxes)


def test_steps_of_an_epoch(folder):
    data = data_of(folder)
    assert steps_of_epoch(data, config_of(folder)) == 6
    assert steps_of_epoch(data, config_of(folder, ema__steps_per_epoch=5)) == 5
    assert steps_of_epoch(data, config_of(folder, ema__steps_per_epoch=5, ema__accumulation=2)) == 10
    assert steps_of_epoch(data, config_of(folder, ema__accumulation=4)) == 8
    assert steps_of_epoch(data, config_of(folder, arm="labelled-only")) == 4


def test_labelled_only_loads_no_unlabelled_frame(folder):
    found = batches(folder, arm="labelled-only")
    assert len(found) == 4
    assert all(batch.unlabelled is None for batch in found)


def test_without_augmentation_a_batch_is_the_frames(folder):
    data = data_of(folder)
    by_id = {frame.digest: read_frame(frame, 64) for frame in (*data.labelled, *data.unlabelled)}
    batch = batches(folder, augmentation__strength=0.0)[0]
    for row, name in enumerate(batch.labelled.ids):
        sample = by_id[name]
        assert np.array_equal(batch.labelled.masks[row].numpy(), sample.mask)
        assert batch.labelled.views[row] == sample.view
        assert np.array_equal(batch.labelled.conditions[row].numpy(), sample.conditions)
        assert np.abs(batch.labelled.images[row, 0].numpy() - sample.image / 255).max() < 0.02
    for row, name in enumerate(batch.unlabelled.ids):
        assert np.array_equal(batch.unlabelled.weak[row, 0].numpy(), by_id[name].image.astype(np.float32) / 255)


def test_stored_maps_are_placed_as_the_weak_view(folder):
    data = data_of(folder)
    frames = {frame.digest: frame for frame in data.unlabelled}
    from FetalEchoTrainLib.dataset import read_truth

    u = batches(folder)[1].unlabelled
    stored = [read_truth(frames[name], 64) for name in u.ids]
    assert np.array_equal(u.warp(stored), u.truth.numpy())
    stored[2] = None
    warped = u.warp(stored, fill=255)
    assert (warped[2] == 255).all()
    assert warped.dtype == np.uint8
    weights = u.warp([np.full((64, 64), 0.5, np.float32)] * 4)
    assert weights.dtype == np.float32
    assert weights.max() == pytest.approx(0.5)


def test_without_truth_there_is_none(tmp_path):
    made = SmallDataset(tmp_path)
    for part in (TRAIN_LABELED, TRAIN_UNLABELED, VALID):
        for k in range(8):
            made.add(part, View(1 + k % 4), labelled=part != TRAIN_UNLABELED)
    assert batches(made.write_lists())[0].unlabelled.truth is None


# Files that vanish ---------------------------------------------------------------------------------------------------


def test_an_unreadable_file_is_replaced_by_another_of_its_view_and_reported_once(tmp_path):
    folder = small_dataset(tmp_path, labelled=16, unlabelled=24)
    data, config = data_of(folder), config_of(folder)
    lost = data.unlabelled[5]
    lost.path.write_bytes(b"broken")
    with Loader(data, config) as loader:
        found = list(loader.batches(0)) + list(loader.batches(1))
        reports = loader.take_reports()
        assert loader.take_reports() == []
        assert list(loader.unreadable) == [str(lost.path)]
    ids = [i for batch in found for i in batch.unlabelled.ids]
    assert len(ids) == 2 * 24
    assert lost.digest not in ids
    (said,) = reports
    assert said.startswith(
        f"{lost.path} cannot be read any more and is replaced by another frame: this is not a complete"
    )
    views = Counter(int(v) for batch in found for v in batch.unlabelled.views)
    assert set(views.values()) == {12}


def test_replacements_are_the_same_in_a_run_that_was_interrupted(tmp_path):
    folder = small_dataset(tmp_path, labelled=16, unlabelled=24)
    data = data_of(folder)
    data.labelled[3].path.unlink()
    with Loader(data, config_of(folder)) as loader:
        whole = list(loader.batches(0))
    with Loader(data, config_of(folder, run__loader_threads=0)) as loader:
        assert all(same(a, b) for a, b in zip(whole[3:], loader.batches(0, 3), strict=True))


def test_too_many_unreadable_files_end_the_epoch_in_one_sentence(tmp_path):
    folder = small_dataset(tmp_path / "set", labelled=16, unlabelled=24)
    data, config = data_of(folder), config_of(folder)
    (tmp_path / "set").rename(tmp_path / "moved")
    with (
        Loader(data, config) as loader,
        pytest.raises(InvalidDataset, match=r"put the data set back where it was") as e,
    ):
        list(loader.batches(0))
    assert "\n" not in str(e.value)
    assert "of 40 training frames cannot be read any more" in str(e.value)


# Time and memory -----------------------------------------------------------------------------------------------------


def test_the_idle_share_tells_waiting_from_working(folder):
    with Loader(data_of(folder), config_of(folder, run__prefetch=8)) as loader:
        prepared, prepare = [], loader._prepared
        loader._prepared = lambda epoch, step: (prepare(epoch, step), prepared.append(step))[0]
        for _ in loader.batches(0):
            while len(prepared) < loader.steps:  # a consumer that leaves the threads all the time they need
                time.sleep(0.01)
            time.sleep(0.01)
        assert loader.idle_share < 0.5
    with Loader(data_of(folder), config_of(folder, run__loader_threads=0)) as loader:
        list(loader.batches(0))  # one that does nothing but wait
        assert loader.idle_share > 0.5


def test_leaving_in_the_middle_of_an_epoch_leaves_no_thread_behind(folder):
    import threading

    before = threading.active_count()
    with Loader(data_of(folder), config_of(folder)) as loader:
        next(iter(loader.batches(0)))
    assert threading.active_count() == before


def test_frames_are_read_once_as_far_as_memory_allows(folder, monkeypatch):
    data = data_of(folder)
    count = Counter()

    def counting(frame, size):
        count[frame.digest] += 1
        return read_frame(frame, size)

    monkeypatch.setattr("FetalEchoTrainLib.loader.read_frame", counting)
    reader = Reader(64)
    for _ in range(3):
        for frame in data.labelled:
            reader.read(frame)
    assert set(count.values()) == {1}
    small = Reader(64, limit=20_000)  # two labelled frames of 2 x 4096 bytes
    count.clear()
    for frame in (*data.labelled[:3], *data.labelled[:3]):
        small.read(frame)
    assert set(count.values()) == {2}


# Stage 2 -------------------------------------------------------------------------------------------------------------


def test_balanced_draws_show_every_condition_as_often_as_its_absence():
    rng = np.random.default_rng(0)
    views = rng.integers(1, 5, 400)
    conditions = ((rng.random((400, 7)) < 0.05) & condition_table()[views - 1]).astype(np.float32)
    rows = balanced_rows(conditions, views, 4000, seed=1, epoch=0)
    assert np.array_equal(rows, balanced_rows(conditions, views, 4000, seed=1, epoch=0))
    assert not np.array_equal(rows, balanced_rows(conditions, views, 4000, seed=1, epoch=1))
    for condition in Condition:
        shown = condition_table()[views[rows] - 1, condition]
        share = conditions[rows][shown, condition].mean()
        # In a view with three conditions a third of the draws is about each.
        assert share > 2 * conditions[condition_table()[views - 1, condition], condition].mean()
        assert 0.12 < share < 0.55


def test_a_condition_that_nobody_has_or_everybody_has_does_not_break_the_draws():
    views = np.full(6, View.LVOT)
    conditions = np.zeros((6, 7), dtype=np.float32)
    conditions[:, Condition.VSD] = 1
    rows = balanced_rows(conditions, views, 50, seed=0, epoch=0)
    assert set(rows.tolist()) == set(range(6))
    assert sorted(plain_rows(6, 0, 0).tolist()) == list(range(6))


def test_one_view_only_and_no_unlabelled_frames_load_all_the_same(tmp_path):
    made = SmallDataset(tmp_path)
    for part in (TRAIN_LABELED, VALID):
        for _ in range(6):
            made.add(part, View.RVOT)
    found = batches(made.write_lists())
    assert len(found) == 2
    for batch in found:
        assert batch.unlabelled is None
        assert batch.labelled.views.tolist() == [int(View.RVOT)] * 4
