"""The semantic filter: a pseudo-label counts as much as its pixel looks like what experts gave that label.

Features of labelled frames are gathered into several prototypes for each structure of each view. A pixel's share is the
softmax, over the labels that the view permits, of the cosine similarity to the best prototype of each, read at its
pseudo-label. Its weight is that share over the one that pixels of this label have where experts drew it, at most 1: a
label whose neighbours look alike is not doubted for that. The filter weights; it never relabels.

Features come from a frozen DINOv3 model (``Dino``), of the frame as it is, once; or, without one, from the teacher's
own encoder, of the weak view, with the pass that makes the pseudo-labels. Natural-image DINOv3 is a weak judge of
ultrasound (arXiv 2511.01915), which is one more reason to weight only, and to log what it gains.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from FetalEchoSegLib.anatomy import N_LABELS, View, permitted_labels

from .dataset import read_frame

if TYPE_CHECKING:
    from .augmentation import Geometry
    from .dataset import Frame
    from .dino import FeatureCache, Progress
    from .loader import UnlabelledBatch
    from .teacher import Teacher, TeacherOutput

# A patch stands for a label that covers this share of it; a structure too small for that, for its fullest patch.
_PURITY = 0.6
_MOST_SAMPLES = 4000  # of a label and view, for k-means
# Of the shares where experts drew a label, the quantile from which on a pixel counts fully: only what looks stranger
# than nearly all of them is doubted. A quarter, tried before, also took the weight of pixels of which 96 % were right.
_TYPICAL = 0.05

Example = tuple[torch.Tensor, np.ndarray, int]


class SemanticFilter(Protocol):
    """What stage 1 asks: how much each pseudo-label agrees with its pixel's feature."""

    def agreement(self, batch: UnlabelledBatch, labels: torch.Tensor, teacher: TeacherOutput) -> torch.Tensor:
        """(B, H, W) float32 in 0..1 for (B, H, W) pseudo-labels of the weak view; 1 where there is no opinion."""
        ...


class Prototypes:
    """Typical features of each label of each view.

    centre   (4, C) mean feature of the view, taken off first: what all patches share says nothing about labels
    vectors  (4, P, C) of length 1, and labels (4, P) of them, -1 where there is none
    typical  (4, 15) share of a label where experts drew it, 1 for labels that none drew
    """

    def __init__(
        self,
        centre: torch.Tensor,
        vectors: torch.Tensor,
        labels: torch.Tensor,
        temperature: float,
        typical: torch.Tensor | None = None,
    ) -> None:
        self._centre, self._vectors, self._labels = centre, vectors, labels
        self._temperature = temperature
        self._typical = torch.ones(len(View), N_LABELS) if typical is None else typical

    @classmethod
    def fit(cls, examples: Iterable[Example], per_label: int, temperature: float) -> Prototypes:
        """From (features (C, h, w), mask (S, S) uint8, view 1 to 4) of labelled frames.

        Deterministic: spherical k-means from a fixed seed.
        """
        gathered: dict[tuple[int, int], list[torch.Tensor]] = {}
        for features, mask, view in examples:
            for label, found in _patches_by_label(features.cpu(), mask):
                gathered.setdefault((view, label), []).append(found)
        if not gathered:
            raise ValueError("prototypes need at least one labelled frame")
        width = next(iter(gathered.values()))[0].shape[1]
        centre = torch.zeros(len(View), width)
        groups: dict[int, list[tuple[int, torch.Tensor]]] = {view: [] for view in range(1, len(View) + 1)}
        for view, members in groups.items():
            samples = {label: torch.cat(rows) for (of, label), rows in sorted(gathered.items()) if of == view}
            if samples:
                # Labels weigh alike: the background would otherwise be the centre.
                centre[view - 1] = torch.stack([rows.mean(0) for rows in samples.values()]).mean(0)
            for label, rows in samples.items():
                members.append((label, _clusters(F.normalize(rows - centre[view - 1], dim=1), per_label)))
        most = max(sum(len(vectors) for _, vectors in members) for members in groups.values())
        vectors, labels = torch.zeros(len(View), most, width), torch.full((len(View), most), -1)
        for view, members in groups.items():
            place = 0
            for label, found in members:
                vectors[view - 1, place : place + len(found)] = found
                labels[view - 1, place : place + len(found)] = label
                place += len(found)
        prototypes = cls(centre, vectors, labels, temperature)
        for (view, label), parts in gathered.items():
            patches = torch.cat(parts).T[None, :, None]
            found = prototypes.shares(patches, torch.tensor([view]))[0, label]
            prototypes._typical[view - 1, label] = found.quantile(_TYPICAL)
        return prototypes

    def agreement(self, features: torch.Tensor, views: torch.Tensor) -> torch.Tensor:
        """(B, 15, h, w) float32 in 0..1: ``shares`` over the typical one of each label, at most 1."""
        typical = self._typical.to(features.device)[(views - 1).to(features.device)]
        return (self.shares(features, views) / typical[:, :, None, None].clamp(min=1e-6)).clamp(max=1)

    def shares(self, features: torch.Tensor, views: torch.Tensor) -> torch.Tensor:
        """(B, 15, h, w) float32: agreement of each place with each label of its view, summing to 1 over those known.

        features  (B, C, h, w)
        views     (B,) int64, 1 to 4
        1 for a label that no labelled frame of the view has: no opinion. 0 for one that the view does not permit.
        """
        device, rows = features.device, (views - 1).cpu()
        centred = F.normalize(features.float() - self._centre.to(device)[rows, :, None, None], dim=1)
        cosine = torch.einsum("bchw,bpc->bphw", centred, self._vectors.to(device)[rows])
        labels = self._labels[rows].to(device)
        shape = (len(features), N_LABELS, *features.shape[2:])
        best = torch.full(shape, -torch.inf, device=device)
        places = labels.clamp(min=0)[:, :, None, None].expand_as(cosine)
        cosine = cosine.masked_fill((labels < 0)[:, :, None, None], -torch.inf)
        best = best.scatter_reduce(1, places, cosine, "amax")
        known = torch.isfinite(best).flatten(2).any(2)
        shares = torch.nan_to_num((best / self._temperature).softmax(1))
        for row, view in enumerate(views.tolist()):
            unknown = [label for label in permitted_labels(View(view)) if not known[row, label]]
            shares[row, unknown] = 1.0
        return shares

    def state_dict(self) -> dict[str, torch.Tensor]:
        """What ``from_state`` needs."""
        return {"centre": self._centre, "vectors": self._vectors, "labels": self._labels, "typical": self._typical}

    @classmethod
    def from_state(cls, state: Mapping[str, torch.Tensor], temperature: float) -> Prototypes:
        """The same prototypes again."""
        return cls(state["centre"], state["vectors"], state["labels"], temperature, state.get("typical"))


class DinoFilter:
    """Agreement of features of a frozen model, computed for all unlabelled frames before the stage begins."""

    def __init__(self, shares: Mapping[str, torch.Tensor]) -> None:
        self._shares = shares

    @classmethod
    def prepare(
        cls,
        cache: FeatureCache,
        labelled: Sequence[Frame],
        unlabelled: Sequence[Frame],
        per_label: int,
        temperature: float,
        progress: Progress | None = None,
    ) -> DinoFilter:
        """Prototypes of the labelled frames and what they say of each unlabelled one, half a kilobyte a label."""
        total = len(labelled) + len(unlabelled)

        def shifted(by: int) -> Progress | None:
            return None if progress is None else lambda done, _: progress(done + by, total)

        def examples() -> Iterator[Example]:
            for frame, features in zip(labelled, cache.of(labelled, shifted(0)), strict=True):
                # At the network's finest: patches weigh labels by area.
                mask = read_frame(frame, features.shape[-1] * 16).mask
                assert mask is not None
                yield features, mask, int(frame.view)

        prototypes = Prototypes.fit(examples(), per_label, temperature)
        shares: dict[str, torch.Tensor] = {}
        for frame, features in zip(unlabelled, cache.of(unlabelled, shifted(len(labelled))), strict=True):
            found = prototypes.agreement(features[None], torch.tensor([int(frame.view)]))[0]
            shares[frame.digest] = found[list(permitted_labels(frame.view))].half()
        return cls(shares)

    def agreement(self, batch: UnlabelledBatch, labels: torch.Tensor, teacher: TeacherOutput) -> torch.Tensor:
        """As the protocol says; 1 for a frame that was not prepared, and beyond the frame's border."""
        size, device = labels.shape[-1], labels.device
        rows = []
        for view, name, geometry, label in zip(batch.views.tolist(), batch.ids, batch.geometries, labels, strict=True):
            shares = self._shares.get(name)
            if shares is None:
                rows.append(torch.ones(label.shape, device=device))
                continue
            placed = _placed(shares.to(device).float(), geometry, size)
            position = torch.full((256,), -1, dtype=torch.int64, device=device)
            position[list(permitted_labels(View(view)))] = torch.arange(len(shares), device=device)
            index = position[label]
            found = placed.gather(0, index.clamp(min=0)[None])[0]
            rows.append(found.masked_fill(index < 0, 1.0))
        return torch.stack(rows)


class TeacherFilter:
    """Agreement of the teacher's own encoder features, whose prototypes are renewed from time to time."""

    def __init__(self, per_label: int, temperature: float) -> None:
        self._per_label, self._temperature = per_label, temperature
        self.prototypes: Prototypes | None = None

    def renew(
        self,
        teacher: Teacher,
        frames: Sequence[Frame],
        size: int,
        device: torch.device,
        progress: Progress | None = None,
    ) -> None:
        """Prototypes of the labelled frames as the teacher sees them now."""

        def examples() -> Iterator[Example]:
            for done, frame in enumerate(frames, 1):
                sample = read_frame(frame, size)
                assert sample.mask is not None
                image = torch.from_numpy(sample.image.astype(np.float32) / 255)[None, None].to(device)
                yield teacher.predict(image).features[0].cpu(), sample.mask, sample.view
                if progress is not None:
                    progress(done, len(frames))

        self.prototypes = Prototypes.fit(examples(), self._per_label, self._temperature)

    def agreement(self, batch: UnlabelledBatch, labels: torch.Tensor, teacher: TeacherOutput) -> torch.Tensor:
        """As the protocol says; 1 everywhere before the first prototypes."""
        if self.prototypes is None:
            return torch.ones(labels.shape, device=labels.device)
        shares = self.prototypes.agreement(teacher.features, batch.views)
        shares = F.interpolate(shares, labels.shape[-2:], mode="bilinear", align_corners=False)
        found = shares.gather(1, labels.clamp(max=N_LABELS - 1)[:, None])[:, 0]
        return found.masked_fill(labels >= N_LABELS, 1.0)


def _patches_by_label(features: torch.Tensor, mask: np.ndarray) -> Iterator[tuple[int, torch.Tensor]]:
    """(label, (N, C) features of the patches that stand for it) of one frame."""
    height, width = features.shape[-2:]
    flat = features.flatten(1).T
    labels = torch.from_numpy(mask.astype(np.int64))
    for label in labels.unique().tolist():
        share = F.adaptive_avg_pool2d((labels == label).float()[None, None], (height, width)).flatten()
        chosen = share >= min(_PURITY, float(share.max()))
        yield label, flat[chosen]


def _clusters(rows: torch.Tensor, count: int) -> torch.Tensor:
    """At most ``count`` (C,) vectors of length 1 for (N, C) of length 1."""
    from scipy.cluster.vq import kmeans2

    if len(rows) > _MOST_SAMPLES:
        rows = rows[torch.linspace(0, len(rows) - 1, _MOST_SAMPLES).long()]
    distinct = np.unique(rows.double().numpy(), axis=0)
    if len(distinct) <= count:
        return torch.from_numpy(distinct).float()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a cluster that lost its members; it is left out below
        centres, members = kmeans2(distinct, count, iter=25, minit="++", rng=np.random.default_rng(0))
    return F.normalize(torch.from_numpy(centres[np.unique(members)]).float(), dim=1)


def _placed(shares: torch.Tensor, geometry: Geometry, size: int) -> torch.Tensor:
    """(L, size, size) of (L, h, w) maps of a frame, placed as its view is; the border goes on outside the frame."""
    whole = np.vstack([geometry.matrix, [0, 0, 1]])
    # From the view's pixels to the frame's, both as centres in -1..1, which is what grid_sample speaks.
    to_pixels = np.array([[size / 2, 0, (size - 1) / 2], [0, size / 2, (size - 1) / 2], [0, 0, 1]])
    theta = np.linalg.inv(to_pixels) @ np.linalg.inv(whole) @ to_pixels
    grid = F.affine_grid(
        torch.tensor(theta[None, :2], dtype=torch.float32, device=shares.device),
        [1, 1, size, size],
        align_corners=False,
    )
    return F.grid_sample(shares[None], grid, mode="bilinear", padding_mode="border", align_corners=False)[0]
