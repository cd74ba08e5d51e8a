"""The rows of the great vessels, in all views."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..anatomy import Structure, View
from .geometry import EDGE_ERROR
from .measurement import Measurement
from .row import row
from .study import Found, Study, median

SHORT_NAME = {
    Structure.ASCENDING_AORTA: "AscAo",
    Structure.MAIN_PULMONARY_ARTERY: "MPA",
    Structure.LEFT_PULMONARY_ARTERY: "LPA",
    Structure.RIGHT_PULMONARY_ARTERY: "RPA",
    Structure.DESCENDING_AORTA: "DescAo",
    Structure.SUPERIOR_VENA_CAVA: "SVC",
}
VESSELS: dict[View, tuple[Structure, ...]] = {
    View.FOUR_CHAMBER: (Structure.DESCENDING_AORTA,),
    View.LVOT: (Structure.ASCENDING_AORTA,),
    View.RVOT: (
        Structure.ASCENDING_AORTA,
        Structure.MAIN_PULMONARY_ARTERY,
        Structure.LEFT_PULMONARY_ARTERY,
        Structure.RIGHT_PULMONARY_ARTERY,
        Structure.DESCENDING_AORTA,
        Structure.SUPERIOR_VENA_CAVA,
    ),
    View.THREE_VESSEL_TRACHEA: (
        Structure.MAIN_PULMONARY_ARTERY,
        Structure.AORTIC_ARCH,
        Structure.SUPERIOR_VENA_CAVA,
    ),
}


def vessel_rows(study: Study) -> list[Measurement]:
    """Diameters of the view's vessels and, where it shows them, their ratio and the side of the trachea."""
    rows = [_diameter_row(study, vessel) for vessel in VESSELS[study.view]]
    if study.view is View.THREE_VESSEL_TRACHEA:
        rows.append(_isthmus_row(study))
    if study.view in (View.RVOT, View.THREE_VESSEL_TRACHEA):
        rows.append(_aorta_ratio_row(study))
    if study.view is View.THREE_VESSEL_TRACHEA:
        rows.append(_trachea_row(study))
    return rows


def _diameter_row(study: Study, vessel: Structure) -> Measurement:
    short = SHORT_NAME.get(vessel, "arch")
    title = "Aortic arch (transverse)" if vessel is Structure.AORTIC_ARCH else vessel.info.title
    return row(
        study, f"{short}_diameter", f"{title} diameter", "mm",
        lambda: median(lambda k: study.vessels(k).diameter(vessel), study.some_frames()), millimetres=True,
        nomogram=None if vessel is Structure.AORTIC_ARCH else short,
        reference="no reference for the transverse arch here", error=_edge_error(study),
    )  # fmt: skip


def _isthmus_row(study: Study) -> Measurement:
    return row(
        study, "isthmus_diameter", "Aortic isthmus diameter", "mm",
        lambda: median(lambda k: study.vessels(k).isthmus_diameter(), study.some_frames()), millimetres=True,
        nomogram="isthmus", error=_edge_error(study),
    )  # fmt: skip


def _edge_error(study: Study) -> Callable[[Found], float]:
    return lambda found: float(EDGE_ERROR * study.pixel)


def _aorta_ratio_row(study: Study) -> Measurement:
    def relative_error(found: Found) -> float:
        assert found.frame is not None
        frame = study.vessels(found.frame)
        sizes = [frame.diameter(v) for v in (frame.aorta, Structure.MAIN_PULMONARY_ARTERY)]
        return float(EDGE_ERROR * study.pixel * np.hypot(1 / sizes[0], 1 / sizes[1]))

    name = "Aortic arch" if study.view is View.THREE_VESSEL_TRACHEA else "Ascending aorta"
    return row(
        study, "aorta_to_pulmonary_ratio", f"{name} / main pulmonary artery", "",
        lambda: median(lambda k: study.vessels(k).aorta_to_pulmonary_ratio(), study.some_frames()),
        limits=(0.7, 1.2), reference="doi 10.1007/s40556-021-00328-0", relative_error=relative_error,
    )  # fmt: skip


def _trachea_row(study: Study) -> Measurement:
    def find() -> Found:
        found = median(lambda k: study.vessels(k).trachea_side_index(), study.some_frames())
        side = "right of both vessels" if found.value < 0 else "between the vessels"
        if found.value > 1:
            side = "left of both vessels"
        return Found(found.value, found.frame, (*found.flags, f"trachea {side}"))

    return row(
        study, "trachea_side_index", "Trachea, from arch (0) to trunk (1)", "", find, limits=(None, 0.0),
        reference="Achiron 2002: between the vessels (0 to 1) in a right or double arch",
    )  # fmt: skip
