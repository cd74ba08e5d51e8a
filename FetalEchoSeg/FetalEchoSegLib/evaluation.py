"""A folder of predictions against a FETUS data set: DSC, NSD, macro-F1 and score, overall, per class and per view."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .anatomy import Condition, Structure, View, permitted_conditions
from .errors import InvalidDataset
from .fetus_layout import (
    IMAGES,
    LABELS,
    ListEntry,
    image_path,
    read_label,
    read_list,
    read_prediction,
    read_view,
)
from .metrics import (
    NSD_TOLERANCE_PX,
    ClassificationScore,
    MaskAgreement,
    SegmentationScore,
    challenge_score,
    classification_score,
    compare_masks,
    segmentation_score,
    time_score,
    validation_score,
)
from .ordering import natural_order
from .output_files import write_text


@dataclass(frozen=True)
class ViewEvaluation:
    """The images of one view; ``macro_f1`` is the mean over the conditions that this view can show."""

    view: View
    images: int
    segmentation: SegmentationScore
    classification: ClassificationScore

    @property
    def macro_f1(self) -> float:
        """Mean F1 of the view's own conditions."""
        return float(self.classification.f1_class[[int(c) for c in permitted_conditions(self.view)]].mean())


@dataclass(frozen=True)
class Evaluation:
    """Result of ``evaluate``; ``str()`` is a table for a terminal.

    names           the images in the order in which they were added up
    agreements      per image, in that order
    views           those that occur, in the order of ``View``
    milliseconds    per image, if the caller measured them
    ignored         prediction files that belong to none of the images
    """

    names: tuple[str, ...]
    agreements: tuple[MaskAgreement, ...]
    segmentation: SegmentationScore
    classification: ClassificationScore
    views: tuple[ViewEvaluation, ...]
    milliseconds: float | None = None
    ignored: tuple[str, ...] = ()

    @property
    def score(self) -> float:
        """Final score of the challenge: 0.45 F1 + 0.45 (DSC + NSD) / 2 + 0.10 time, in percent.

        Without a measured time its part is 0, so that 90 is the highest score.
        """
        return challenge_score(self.segmentation.dice, self.segmentation.nsd, self.classification.macro_f1, self._time)

    @property
    def validation_score(self) -> float:
        """Score of the validation phase, 0.4 F1 + 0.4 (DSC + NSD) / 2, at most 80."""
        return validation_score(self.segmentation.dice, self.segmentation.nsd, self.classification.macro_f1)

    @property
    def _time(self) -> float:
        return 0.0 if self.milliseconds is None else time_score(self.milliseconds)

    def to_dict(self) -> dict[str, object]:
        """Everything as JSON-ready values: percent for DSC and NSD, fractions for F1, scores 0 to 100.

        ``dice_class``, ``nsd_class`` (14) and ``f1_class`` (7) are in the order of ``Structure`` and ``Condition``;
        as in the official evaluator a class that never counted stands at 0, with 0 in ``count_class``.
        """
        segmentation, classification = self.segmentation, self.classification
        return {
            "images": len(self.names),
            "dice": segmentation.dice,
            "nsd": segmentation.nsd,
            "macro_f1": classification.macro_f1,
            "score": self.score,
            "score_formula": "0.45*100*macro_f1 + 0.45*(dice+nsd)/2 + 0.10*time_score",
            "time_score": None if self.milliseconds is None else self._time,
            "validation_score": self.validation_score,
            "validation_score_formula": "0.4*100*macro_f1 + 0.4*(dice+nsd)/2",
            "nsd_tolerance_px": NSD_TOLERANCE_PX,
            "structures": [s.info.short for s in Structure],
            "conditions": [c.short for c in Condition],
            **_class_lists(segmentation, classification),
            "views": {
                part.view.short: {
                    "images": part.images,
                    "dice": part.segmentation.dice,
                    "nsd": part.segmentation.nsd,
                    "macro_f1": part.macro_f1,
                    **_class_lists(part.segmentation, part.classification),
                }
                for part in self.views
            },
            "ignored_predictions": list(self.ignored),
        }

    def to_json(self, path: Path | str) -> None:
        """Write ``to_dict``; raises UnwritableOutput."""
        write_text(path, json.dumps(self.to_dict(), indent=2) + "\n")

    def to_csv(self, path: Path | str) -> None:
        """Write one row per scope (all, each view) and class; raises UnwritableOutput.

        Columns: scope, kind (overall, structure, condition), name, images, positives, dice_percent, nsd_percent, f1.
        Classes that never counted in a scope have empty cells.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["scope", "kind", "name", "images", "positives", "dice_percent", "nsd_percent", "f1"])
        scopes = [("all", len(self.names), self.segmentation, self.classification, self.classification.macro_f1)]
        scopes += [(p.view.short, p.images, p.segmentation, p.classification, p.macro_f1) for p in self.views]
        for scope, images, segmentation, classification, macro_f1 in scopes:
            writer.writerow([scope, "overall", "mean", images, "", segmentation.dice, segmentation.nsd, macro_f1])
            for structure in Structure:
                k = int(structure) - 1
                count = int(segmentation.counts[k])
                values = [segmentation.dice_class[k], segmentation.nsd_class[k]] if count else ["", ""]
                writer.writerow([scope, "structure", structure.info.short, count, "", *values, ""])
            for condition in Condition:
                support, positives = int(classification.support[condition]), int(classification.positives[condition])
                f1 = float(classification.f1_class[condition]) if support else ""
                writer.writerow([scope, "condition", condition.short, support, positives, "", "", f1])
        write_text(path, text.getvalue())

    def __str__(self) -> str:
        return _text_table(self)


def evaluate(
    predictions: Path | str,
    dataset: Path | str,
    progress: Callable[[int, int], None] | None = None,
    list_file: Path | str | None = None,
    milliseconds: float | None = None,
) -> Evaluation:
    """Evaluate a folder of predictions.

    predictions   folder of ``N.h5`` with mask and label (0/1, or values that are cut at > 0.5)
    dataset       folder with ``images/N.h5`` (for the view) and ``labels/N_label.h5``
    progress      called with (images done, images in all)
    list_file     JSON list of the images to evaluate, in its order; default: every labelled image, 2 before 10
    milliseconds  measured per image, for the time part of the score

    An image without a prediction is an error, as in the official evaluator; a prediction without an image is
    ignored there, and here as well but reported. Raises InvalidDataset, one sentence, for that and for a wrong shape.
    """
    predictions, dataset = Path(predictions), Path(dataset)
    if not predictions.is_dir():
        raise InvalidDataset(f"{predictions}: there is no such folder of predictions.")
    entries = _labelled_entries(dataset) if list_file is None else _listed_entries(Path(list_file))
    names = [entry.image.stem for entry in entries]
    present = {path.stem for path in predictions.glob("*.h5")}
    _require_all(names, present, predictions, list_file is None)

    agreements: list[MaskAgreement] = []
    truths: list[np.ndarray] = []
    decided: list[np.ndarray] = []
    for done, (name, entry) in enumerate(zip(names, entries, strict=True), start=1):
        assert entry.label is not None
        truth, ours = read_label(entry.label), read_prediction(predictions / f"{name}.h5")
        if ours.mask.shape != truth.mask.shape:
            raise InvalidDataset(
                f"{predictions / f'{name}.h5'}: the mask is {ours.mask.shape}, the true mask {truth.mask.shape}; "
                "predict at the image's own size."
            )
        agreements.append(compare_masks(ours.mask, truth.mask))
        truths.append(truth.label)
        decided.append(ours.label)
        if progress:
            progress(done, len(names))

    views = [entry.view for entry in entries]
    truth_labels, decided_labels = np.stack(truths), np.stack(decided)

    def part(view: View) -> ViewEvaluation:
        rows = [k for k, v in enumerate(views) if v == view]
        segmentation = segmentation_score([agreements[k] for k in rows])
        classification = classification_score(truth_labels[rows], decided_labels[rows], [view] * len(rows))
        return ViewEvaluation(view, len(rows), segmentation, classification)

    return Evaluation(
        names=tuple(names),
        agreements=tuple(agreements),
        segmentation=segmentation_score(agreements),
        classification=classification_score(truth_labels, decided_labels, views),
        views=tuple(part(view) for view in View if view in views),
        milliseconds=milliseconds,
        ignored=tuple(sorted(present.difference(names), key=natural_order)),
    )


def _labelled_entries(dataset: Path) -> list[ListEntry]:
    for folder in (IMAGES, LABELS):
        if not (dataset / folder).is_dir():
            raise InvalidDataset(
                f"{dataset}: a data set has the folders {IMAGES}/ and {LABELS}/; {folder}/ is missing."
            )
    names = [path.name.removesuffix("_label.h5") for path in (dataset / LABELS).glob("*_label.h5")]
    if not names:
        raise InvalidDataset(f"{dataset / LABELS}: there is no label file (N_label.h5) to evaluate against.")
    names.sort(key=natural_order)
    images = [image_path(dataset, name) for name in names]
    return [
        ListEntry(image, dataset / LABELS / f"{name}_label.h5", read_view(image))
        for name, image in zip(names, images, strict=True)
    ]


def _listed_entries(list_file: Path) -> list[ListEntry]:
    entries = read_list(list_file)
    if not entries:
        raise InvalidDataset(f"{list_file}: the list is empty.")
    for entry in entries:
        if entry.label is None:
            raise InvalidDataset(
                f"{list_file}: {entry.image.name} has no label; only labelled images can be evaluated."
            )
    # The view in the image file decides, as in the official evaluator; the list's own is not used there.
    return [ListEntry(entry.image, entry.label, read_view(entry.image)) for entry in entries]


def _require_all(names: Sequence[str], present: set[str], folder: Path, suggest_list: bool) -> None:
    missing = [name for name in names if name not in present]
    if not missing:
        return
    shown = ", ".join(f"{name}.h5" for name in missing[:3]) + (" ..." if len(missing) > 3 else "")
    advice = " If only a part was meant, name it by its list file (valid.json)." if suggest_list else ""
    raise InvalidDataset(f"{folder}: {len(missing)} of {len(names)} predictions are missing ({shown}).{advice}")


def _class_lists(segmentation: SegmentationScore, classification: ClassificationScore) -> dict[str, list]:
    return {
        "dice_class": segmentation.dice_class.tolist(),
        "nsd_class": segmentation.nsd_class.tolist(),
        "count_class": segmentation.counts.tolist(),
        "f1_class": classification.f1_class.tolist(),
        "support_class": classification.support.tolist(),
        "positives_class": classification.positives.tolist(),
    }


def _text_table(evaluation: Evaluation) -> str:
    segmentation, classification = evaluation.segmentation, evaluation.classification
    lines = [f"{'':28}{'images':>8}{'DSC %':>9}{'NSD %':>9}{'F1':>9}"]

    def row(name: str, images: int, dice: float | None, nsd: float | None, f1: float | None) -> None:
        cells = [f"{images:8d}", *(f"{v:9.2f}" if v is not None else f"{'':9}" for v in (dice, nsd))]
        lines.append(f"{name:28}{''.join(cells)}{'' if f1 is None else f'{f1:9.4f}'}".rstrip())

    row("All", len(evaluation.names), segmentation.dice, segmentation.nsd, classification.macro_f1)
    for part in evaluation.views:
        row(f"  {part.view.short}", part.images, part.segmentation.dice, part.segmentation.nsd, part.macro_f1)
    lines.append("")
    for structure in Structure:
        k = int(structure) - 1
        if segmentation.counts[k]:
            dice, nsd = float(segmentation.dice_class[k]), float(segmentation.nsd_class[k])
            row(structure.info.title, int(segmentation.counts[k]), dice, nsd, None)
    lines.append("")
    for condition in Condition:
        f1 = float(classification.f1_class[condition])
        support, positives = int(classification.support[condition]), int(classification.positives[condition])
        lines.append(f"{condition.title:44}{positives:5d} of {support:<6d}{f1:7.4f}")
    time = "time not measured" if evaluation.milliseconds is None else f"{evaluation.milliseconds:.1f} ms per image"
    lines += [
        "",
        f"Score {evaluation.score:.3f} of {90 if evaluation.milliseconds is None else 100} "
        f"(0.45 F1 + 0.45 (DSC + NSD) / 2 + 0.10 time; {time}); "
        f"validation formula {evaluation.validation_score:.3f} of 80",
    ]
    if evaluation.ignored:
        lines.append(f"Ignored, because they belong to no evaluated image: {len(evaluation.ignored)} prediction files.")
    return "\n".join(lines)
