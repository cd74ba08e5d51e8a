"""Views, structures and conditions of the fetal heart: the single source of truth.

The ids, the permitted structures and the permitted conditions of each view are those of the FETUS 2026
challenge (ISBI 2026); every table elsewhere (logit masks, segment ids, colours, terminology, metrics,
reports) is derived from this module. It imports numpy only, so that Slicer can load it at start-up.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

BACKGROUND = 0
N_LABELS = 15  # background and the fourteen structures


class View(IntEnum):
    """Standard plane of the fetal heart; the value is the one stored in FETUS files."""

    FOUR_CHAMBER = 1
    LVOT = 2
    RVOT = 3
    THREE_VESSEL_TRACHEA = 4

    @property
    def index(self) -> int:
        """Row of this view in tables and logits, 0 to 3."""
        return int(self) - 1

    @property
    def short(self) -> str:
        """Abbreviation used in files, tables and on the command line."""
        return _VIEW_TEXT[self][0]

    @property
    def title(self) -> str:
        """Name for people."""
        return _VIEW_TEXT[self][1]

    @classmethod
    def parse(cls, text: str) -> View:
        """View named by its abbreviation or title, ignoring case; ValueError lists the choices."""
        wanted = text.strip().casefold()
        for view in cls:
            if wanted in (view.short.casefold(), view.title.casefold(), view.name.casefold()):
                return view
        raise ValueError(f"unknown view '{text}': choose one of {', '.join(v.short for v in cls)}")


_VIEW_TEXT = {
    View.FOUR_CHAMBER: ("4CH", "Four-chamber view"),
    View.LVOT: ("LVOT", "Left ventricular outflow tract view"),
    View.RVOT: ("RVOT", "Right ventricular outflow tract view (pulmonary bifurcation)"),
    View.THREE_VESSEL_TRACHEA: ("3VT", "Three-vessel and trachea view"),
}


class Structure(IntEnum):
    """Segmented structure; the value is the label in a mask.

    ``WHOLE_HEART`` and ``THORAX`` are rings in the exclusive label map: the heart outside its chambers and the
    thorax outside the heart and the descending aorta. Their anatomical areas are ``HEART_UNION`` and
    ``THORAX_UNION``.
    """

    LEFT_ATRIUM = 1
    LEFT_VENTRICLE = 2
    RIGHT_ATRIUM = 3
    RIGHT_VENTRICLE = 4
    WHOLE_HEART = 5
    DESCENDING_AORTA = 6
    THORAX = 7
    ASCENDING_AORTA = 8
    MAIN_PULMONARY_ARTERY = 9
    LEFT_PULMONARY_ARTERY = 10
    RIGHT_PULMONARY_ARTERY = 11
    SUPERIOR_VENA_CAVA = 12
    AORTIC_ARCH = 13
    TRACHEA = 14

    @property
    def info(self) -> StructureInfo:
        """Names, colour and terminology of this structure."""
        return STRUCTURES[self]

    @classmethod
    def parse(cls, text: str) -> Structure:
        """Structure named by its short name, title or segment id, ignoring case; ValueError lists the choices."""
        wanted = text.strip().casefold()
        for structure, info in STRUCTURES.items():
            if wanted in (info.short.casefold(), info.title.casefold(), info.segment_id.casefold()):
                return structure
        raise ValueError(
            f"unknown structure '{text}': choose one of {', '.join(info.short for info in STRUCTURES.values())}"
        )


@dataclass(frozen=True)
class Code:
    """A coded concept: value, coding scheme and meaning, as in DICOM and in Slicer's terminologies."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True)
class StructureInfo:
    """What is said about one structure wherever it appears.

    short       label in tables and overlays ("LV")
    title       name for people
    segment_id  fixed id of its segment in every frame of a scene
    color       RGB, 0 to 255
    type_code   terminology type within the category "Anatomical structure"
    """

    short: str
    title: str
    segment_id: str
    color: tuple[int, int, int]
    type_code: Code


_SNOMED = "SCT"
CATEGORY_CODE = Code("123037004", _SNOMED, "Anatomical Structure")
TERMINOLOGY_CONTEXT = "FetalEcho"


def _structure(
    short: str, title: str, segment_id: str, color: tuple[int, int, int], code: str, meaning: str
) -> StructureInfo:
    return StructureInfo(short, title, segment_id, color, Code(code, _SNOMED, meaning))


# Chambers: left side warm, right side cool; arteries from red (aorta) to blue (pulmonary), as on anatomical plates.
STRUCTURES: dict[Structure, StructureInfo] = {
    Structure.LEFT_ATRIUM: _structure("LA", "Left atrium", "LeftAtrium", (255, 179, 102), "82471001", "Left atrium"),
    Structure.LEFT_VENTRICLE: _structure(
        "LV", "Left ventricle", "LeftVentricle", (230, 85, 80), "87878005", "Left ventricle"
    ),
    Structure.RIGHT_ATRIUM: _structure(
        "RA", "Right atrium", "RightAtrium", (140, 200, 245), "73829009", "Right atrium"
    ),
    Structure.RIGHT_VENTRICLE: _structure(
        "RV", "Right ventricle", "RightVentricle", (70, 125, 215), "53085002", "Right ventricle"
    ),
    Structure.WHOLE_HEART: _structure("Heart", "Whole heart", "WholeHeart", (200, 120, 150), "80891009", "Heart"),
    Structure.DESCENDING_AORTA: _structure(
        "DescAo", "Descending aorta", "DescendingAorta", (190, 30, 60), "32672002", "Descending aorta"
    ),
    Structure.THORAX: _structure("Thorax", "Thorax", "Thorax", (150, 190, 130), "51185008", "Thorax"),
    Structure.ASCENDING_AORTA: _structure(
        "AscAo", "Ascending aorta", "AscendingAorta", (235, 60, 120), "54247002", "Ascending aorta"
    ),
    Structure.MAIN_PULMONARY_ARTERY: _structure(
        "MPA", "Main pulmonary artery", "MainPulmonaryArtery", (60, 190, 190), "45341000", "Pulmonary trunk"
    ),
    Structure.LEFT_PULMONARY_ARTERY: _structure(
        "LPA", "Left pulmonary artery", "LeftPulmonaryArtery", (110, 220, 140), "50408007", "Left pulmonary artery"
    ),
    Structure.RIGHT_PULMONARY_ARTERY: _structure(
        "RPA", "Right pulmonary artery", "RightPulmonaryArtery", (40, 150, 110), "78480002", "Right pulmonary artery"
    ),
    Structure.SUPERIOR_VENA_CAVA: _structure(
        "SVC", "Superior vena cava", "SuperiorVenaCava", (130, 110, 220), "48345005", "Superior vena cava"
    ),
    Structure.AORTIC_ARCH: _structure("Arch", "Aortic arch", "AorticArch", (245, 120, 40), "57034009", "Aortic arch"),
    Structure.TRACHEA: _structure("Trachea", "Trachea", "Trachea", (250, 225, 90), "44567001", "Trachea"),
}

# Unions that carry the anatomical meaning of the two rings.
HEART_UNION: tuple[Structure, ...] = tuple(Structure(k) for k in range(1, 6))
THORAX_UNION: tuple[Structure, ...] = tuple(Structure(k) for k in range(1, 8))
RING_UNIONS: dict[Structure, tuple[Structure, ...]] = {
    Structure.WHOLE_HEART: HEART_UNION,
    Structure.THORAX: THORAX_UNION,
}


class Condition(IntEnum):
    """Congenital heart disease label; the value is its position in FETUS label vectors and logits."""

    VSD = 0
    AV_VALVE_STENOSIS = 1
    AORTIC_HYPOPLASIA = 2
    AORTIC_VALVE_STENOSIS = 3
    DORV = 4
    PULMONARY_VALVE_STENOSIS = 5
    RIGHT_AORTIC_ARCH = 6

    @property
    def short(self) -> str:
        """Abbreviation used in tables."""
        return _CONDITION_TEXT[self][0]

    @property
    def title(self) -> str:
        """Name for people."""
        return _CONDITION_TEXT[self][1]


N_CONDITIONS = len(Condition)

_CONDITION_TEXT = {
    Condition.VSD: ("VSD", "Ventricular septal defect"),
    Condition.AV_VALVE_STENOSIS: ("AV_sten", "Atrioventricular valve stenosis or atresia"),
    Condition.AORTIC_HYPOPLASIA: ("AoHypo", "Aortic hypoplasia"),
    Condition.AORTIC_VALVE_STENOSIS: ("AoV_sten", "Aortic valve stenosis"),
    Condition.DORV: ("DORV", "Double outlet right ventricle"),
    Condition.PULMONARY_VALVE_STENOSIS: ("PV_sten", "Pulmonary valve stenosis"),
    Condition.RIGHT_AORTIC_ARCH: ("RAA", "Right aortic arch"),
}

RESEARCH_ONLY = "Research software: these probabilities are not a diagnosis."

_PERMITTED_STRUCTURES: dict[View, tuple[Structure, ...]] = {
    View.FOUR_CHAMBER: tuple(Structure(k) for k in (1, 2, 3, 4, 5, 6, 7)),
    View.LVOT: tuple(Structure(k) for k in (1, 2, 4, 8)),
    View.RVOT: tuple(Structure(k) for k in (6, 8, 9, 10, 11, 12)),
    View.THREE_VESSEL_TRACHEA: tuple(Structure(k) for k in (9, 12, 13, 14)),
}

_PERMITTED_CONDITIONS: dict[View, tuple[Condition, ...]] = {
    View.FOUR_CHAMBER: tuple(Condition(k) for k in (0, 1)),
    View.LVOT: tuple(Condition(k) for k in (0, 2, 3)),
    View.RVOT: tuple(Condition(k) for k in (4, 5)),
    View.THREE_VESSEL_TRACHEA: tuple(Condition(k) for k in (2, 5, 6)),
}


def permitted_structures(view: View) -> tuple[Structure, ...]:
    """Structures that ``view`` can show, in id order (FETUS 2026 evaluation table)."""
    return _PERMITTED_STRUCTURES[view]


def permitted_labels(view: View) -> tuple[int, ...]:
    """Label values that may occur in a mask of ``view``: background first, then its structures."""
    return (BACKGROUND, *(int(s) for s in _PERMITTED_STRUCTURES[view]))


def permitted_conditions(view: View) -> tuple[Condition, ...]:
    """Conditions that can be judged from ``view`` (FETUS 2026 evaluation table)."""
    return _PERMITTED_CONDITIONS[view]


def label_table() -> np.ndarray:
    """(4, 15) bool: whether the view in the row permits the label in the column."""
    table = np.zeros((len(View), N_LABELS), dtype=bool)
    for view in View:
        table[view.index, list(permitted_labels(view))] = True
    return table


def condition_table() -> np.ndarray:
    """(4, 7) bool: whether the view in the row permits the condition in the column."""
    table = np.zeros((len(View), N_CONDITIONS), dtype=bool)
    for view in View:
        table[view.index, [int(c) for c in _PERMITTED_CONDITIONS[view]]] = True
    return table


def color_table() -> np.ndarray:
    """(15, 3) uint8 RGB by label; background is black."""
    table = np.zeros((N_LABELS, 3), dtype=np.uint8)
    for structure, info in STRUCTURES.items():
        table[structure] = info.color
    return table
