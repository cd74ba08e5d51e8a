"""Boundary refinement of pseudo-masks: between epochs, by a promptable model, kept on disk as corrections.

Every few epochs the teacher draws each unlabelled frame as it is, and the promptable model redraws the outlines
(``promptable.boundary``: boxes, interior points and mask prompts, with its acceptance test). What changed, and a rim
along outlines whose answer was rejected, is stored; everything else stays with what the teacher says later. So a
correction from some epochs ago cannot bring back a mask that the teacher has given up since.
"""

from __future__ import annotations

import shutil
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from FetalEchoSegLib.output_files import write_bytes
from FetalEchoSegLib.promptable.boundary import Acceptance, Decision, refine_frame
from FetalEchoSegLib.promptable.simulated_clicks import structure_mask

from .dataset import Frame, read_frame, read_truth

if TYPE_CHECKING:
    import torch
    from FetalEchoSegLib.promptable.model import PromptableModel

    from .teacher import Teacher

Progress = Callable[[int, int], None]
_IN_MEMORY = 4096  # decoded maps of 64 kB
_KEPT = 2  # generations: a run may have to fall back to the checkpoint before the newest


@dataclass
class BoundaryReport:
    """What a refinement of many frames did.

    asked, accepted  outlines
    pixels           all of them; changed, ignored: of them
    known            changed pixels whose truth is known; right_before, right_after: of them
    """

    frames: int = 0
    asked: int = 0
    accepted: int = 0
    pixels: int = 0
    changed: int = 0
    ignored: int = 0
    known: int = 0
    right_before: int = 0
    right_after: int = 0

    def values(self) -> dict[str, float]:
        """For the metrics, in percent; precision only where truth is known."""
        found = {
            "refinement_accepted_percent": 100 * self.accepted / max(self.asked, 1),
            "refinement_changed_percent": 100 * self.changed / max(self.pixels, 1),
            "refinement_ignored_percent": 100 * self.ignored / max(self.pixels, 1),
        }
        if self.known:
            found["refinement_precision_before_percent"] = 100 * self.right_before / self.known
            found["refinement_precision_after_percent"] = 100 * self.right_after / self.known
        return found

    def __str__(self) -> str:
        values = self.values()
        text = (
            f"boundary refinement of {self.frames} frames: {self.accepted} of {self.asked} outlines accepted, "
            f"{values['refinement_changed_percent']:.2f} % of the pixels changed, "
            f"{values['refinement_ignored_percent']:.2f} % ignored"
        )
        if self.known:
            text += (
                f"; of the changed ones {values['refinement_precision_before_percent']:.0f} % were right before and "
                f"{values['refinement_precision_after_percent']:.0f} % are now"
            )
        return text


class Corrections:
    """Maps of corrections on disk, one small file a frame, in a folder for each refinement.

    A map is (S, S) uint8: a label, UNCHANGED, or IGNORE. Safe to use from threads.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.generation = -1
        self._kept: OrderedDict[str, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def use(self, generation: int) -> None:
        """Read from and write to this refinement (the epoch before which it was made), -1 for none."""
        with self._lock:
            self.generation = generation
            self._kept.clear()

    def forget_others(self) -> None:
        """Delete all but the newest refinements up to the one in use; later ones are of a future that was undone."""
        if not self._folder.is_dir():
            return
        numbers = sorted(int(path.name) for path in self._folder.iterdir() if path.name.isdigit())
        kept = [number for number in numbers if number <= self.generation][-_KEPT:]
        for number in set(numbers) - set(kept):
            shutil.rmtree(self._path(number), ignore_errors=True)

    def write(self, name: str, corrections: np.ndarray) -> None:
        """Keep the map of a frame; raises UnwritableOutput."""
        import cv2

        _, data = cv2.imencode(".png", corrections)
        write_bytes(self._path(self.generation) / f"{name}.png", data.tobytes())

    def read(self, name: str) -> np.ndarray | None:
        """The map of a frame, None where there is none."""
        import cv2

        if self.generation < 0:
            return None
        with self._lock:
            if name in self._kept:
                self._kept.move_to_end(name)
                return self._kept[name]
        path = self._path(self.generation) / f"{name}.png"
        if not path.is_file():
            return None
        found = cv2.imdecode(np.frombuffer(path.read_bytes(), dtype=np.uint8), cv2.IMREAD_GRAYSCALE)
        if found is None:
            return None
        found = np.asarray(found)
        with self._lock:
            self._kept[name] = found
            while len(self._kept) > _IN_MEMORY:
                self._kept.popitem(last=False)
        return found

    def _path(self, generation: int) -> Path:
        return self._folder / f"{generation:06d}"


def refine_pseudo_masks(
    frames: Sequence[Frame],
    teacher: Teacher,
    model: PromptableModel,
    corrections: Corrections,
    size: int,
    device: torch.device,
    rules: Acceptance,
    rim: int,
    progress: Progress | None = None,
) -> BoundaryReport:
    """Redraw the teacher's masks of ``frames`` and store what changed.

    size      of the network's image
    rim       pixels to either side of a rejected outline that are ignored
    progress  called with (frames done, frames in all); may raise to stop
    """
    report = BoundaryReport()
    for done, frame in enumerate(frames, 1):
        image = read_frame(frame, size).image
        labels = _drawn(teacher, image, int(frame.view), device)
        refined, decisions = refine_frame(image, labels, model, rules)
        found = correction_map(labels, refined, decisions, rim)
        corrections.write(frame.digest, found)
        _count(report, labels, refined, found, decisions, read_truth(frame, size))
        if progress is not None:
            progress(done, len(frames))
    return report


def correction_map(labels: np.ndarray, refined: np.ndarray, decisions: Sequence[Decision], rim: int) -> np.ndarray:
    """(S, S) uint8 of ``Corrections``: what changed, and the rim of every outline whose answer was rejected."""
    import cv2

    from .losses import IGNORE
    from .pseudo_labels import UNCHANGED

    found = np.full(labels.shape, UNCHANGED, dtype=np.uint8)
    side = 2 * rim + 1
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    for decision in decisions:
        if rim and not decision.accepted:
            mask = structure_mask(labels, decision.structure).astype(np.uint8)
            # The image's border is no outline.
            around = np.asarray(cv2.dilate(mask, disk)) - np.asarray(cv2.erode(mask, disk))
            found[around > 0] = IGNORE
    changed = refined != labels
    found[changed] = refined[changed]
    return found


def _drawn(teacher: Teacher, image: np.ndarray, view: int, device: torch.device) -> np.ndarray:
    import torch
    from FetalEchoSegLib.networks.masking import mask_segmentation_logits

    pixels = torch.from_numpy(image.astype(np.float32) / 255)[None, None].to(device)
    logits = mask_segmentation_logits(teacher.predict(pixels).segmentation, torch.tensor([view]))
    return logits.argmax(1)[0].to(torch.uint8).cpu().numpy()


def _count(
    report: BoundaryReport,
    labels: np.ndarray,
    refined: np.ndarray,
    found: np.ndarray,
    decisions: Sequence[Decision],
    truth: np.ndarray | None,
) -> None:
    from .losses import IGNORE

    changed = refined != labels
    report.frames += 1
    report.asked += len(decisions)
    report.accepted += sum(decision.accepted for decision in decisions)
    report.pixels += labels.size
    report.changed += int(changed.sum())
    report.ignored += int((found == IGNORE).sum())
    if truth is not None:
        report.known += int(changed.sum())
        report.right_before += int((labels == truth)[changed].sum())
        report.right_after += int((refined == truth)[changed].sum())
