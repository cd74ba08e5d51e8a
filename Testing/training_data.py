"""Small data sets to train on, made in milliseconds: frames whose pixels differ and whose masks are known."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from FetalEchoSegLib.anatomy import View, permitted_conditions, permitted_structures
from FetalEchoSegLib.fetus_layout import (
    TRAIN_LABELED,
    TRAIN_UNLABELED,
    VALID,
    ListEntry,
    image_path,
    label_path,
    truth_path,
    write_image,
    write_label,
    write_list,
)


@dataclass
class SmallDataset:
    """A FETUS-layout folder that frames are added to."""

    folder: Path
    side: int = 64
    entries: dict[str, list[ListEntry]] = field(default_factory=dict)
    number: int = 0

    def add(self, part, view=View.FOUR_CHAMBER, conditions=(), group=None, labelled=True, pixels=None, truth=False):
        """One frame: noise with a bright square for each structure, in fixed places of its view."""
        self.number += 1
        rng = np.random.default_rng(self.number)
        image = rng.integers(0, 60, (self.side, self.side), dtype=np.uint8) if pixels is None else pixels
        mask = np.zeros((self.side, self.side), dtype=np.uint8)
        step = self.side // 4
        for place, structure in enumerate(permitted_structures(view)):
            top, left = step * (place // 3) + step // 2, step * (place % 3) + step // 2
            mask[top : top + step - 2, left : left + step - 2] = structure
        if pixels is None:
            image = (image + 13 * mask).astype(np.uint8)
        file = image_path(self.folder, str(self.number))
        write_image(file, image, view, {"patient_group": group or f"patient {self.number}"})
        label = np.zeros(7, np.uint8)
        label[[int(c) for c in conditions]] = 1
        drawn = label_path(self.folder, str(self.number)) if labelled else None
        for target in filter(None, (drawn, truth_path(file) if truth else None)):
            write_label(target, mask, label)
        self.entries.setdefault(part, []).append(ListEntry(file, drawn, view))
        return file

    def write_lists(self):
        for name, entries in self.entries.items():
            write_list(self.folder / name, entries)
        return self.folder


def small_dataset(folder: Path, labelled=16, unlabelled=8, validation=8, side=64, lists=True) -> Path:
    """Frames of all four views, one of four with a condition, four frames of each patient: one in each view."""
    made = SmallDataset(folder, side)
    for part, count in ((TRAIN_LABELED, labelled), (TRAIN_UNLABELED, unlabelled), (VALID, validation)):
        made.entries[part] = []
        for k in range(count):
            view = View(1 + k % 4)
            shown = permitted_conditions(view)
            chosen = [shown[(k // 16) % len(shown)]] if (k // 4) % 4 == 3 else []
            drawn = part != TRAIN_UNLABELED
            made.add(part, view, chosen, f"{part} {k // 4}", labelled=drawn, truth=not drawn)
    return made.write_lists() if lists else folder
