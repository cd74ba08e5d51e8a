"""One synthetic fetus in one view: everything needed to draw it again.

Anatomy, conditions and devices draw from separate random streams, so the same seed with and without a condition
is the same fetus, changed only where the condition changes it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from .. import nomograms
from ..anatomy import Condition, View, permitted_conditions
from ..errors import InvalidRequest

# Share of each view: the FETUS 2026 test set has 288, 258, 226 and 428 images.
VIEW_SHARES: dict[View, float] = {
    View.FOUR_CHAMBER: 0.24,
    View.LVOT: 0.215,
    View.RVOT: 0.188,
    View.THREE_VESSEL_TRACHEA: 0.357,
}

# Share of positive frames among those whose view can show the condition (FETUS 2026). Training and test differ.
TRAINING_PREVALENCE: dict[Condition, float] = {
    Condition.VSD: 0.082,
    Condition.AV_VALVE_STENOSIS: 0.032,
    Condition.AORTIC_HYPOPLASIA: 0.049,
    Condition.AORTIC_VALVE_STENOSIS: 0.053,
    Condition.DORV: 0.084,
    Condition.PULMONARY_VALVE_STENOSIS: 0.077,
    Condition.RIGHT_AORTIC_ARCH: 0.084,
}
TEST_PREVALENCE: dict[Condition, float] = {
    Condition.VSD: 0.181,
    Condition.AV_VALVE_STENOSIS: 0.083,
    Condition.AORTIC_HYPOPLASIA: 0.064,
    Condition.AORTIC_VALVE_STENOSIS: 0.019,
    Condition.DORV: 0.119,
    Condition.PULMONARY_VALVE_STENOSIS: 0.061,
    Condition.RIGHT_AORTIC_ARCH: 0.159,
}

# A frame cannot show both: one vessel is small because the other one is not.
EXCLUSIVE = frozenset({Condition.AORTIC_HYPOPLASIA, Condition.PULMONARY_VALVE_STENOSIS})

# Below this a septal gap is lost in the lateral blur of a 5 MHz beam: the label is then a coin toss by design.
VISIBLE_GAP_MM = 1.5

# Structures with a z-score, and the reference their size comes from.
SIZE_REFERENCE: dict[str, str] = {
    **dict.fromkeys(
        ("AoV", "PV", "AscAo", "DescAo", "MPA", "LPA", "RPA", "duct", "MV", "TV"),
        nomograms.SCHNEIDER,
    ),
    **dict.fromkeys(("LV width", "RV width", "LV length", "RV length"), nomograms.SCHNEIDER),
    "isthmus": nomograms.KRISHNAN,
}


@dataclass(frozen=True)
class Findings:
    """What a condition changes besides sizes; the defaults are a healthy heart.

    vsd_gap               mm of missing septum, 0 for none
    vsd_position          0 at the atrioventricular plane, 1 at the apex
    mitral_motion         excursion of the leaflets, 1 normal, 0 immobile; likewise the other valves
    mitral_thickness      mm; likewise the other valves
    wall_thickness        factor on the left ventricular wall
    raa_with_right_duct   a right arch whose duct also runs right of the trachea ("V" instead of "U")
    undetermined          conditions that a single frame does not show by design
    """

    vsd_gap: float = 0.0
    vsd_position: float = 0.3
    mitral_motion: float = 1.0
    mitral_thickness: float = 0.5
    tricuspid_motion: float = 1.0
    tricuspid_thickness: float = 0.5
    aortic_motion: float = 1.0
    aortic_thickness: float = 0.4
    pulmonary_motion: float = 1.0
    pulmonary_thickness: float = 0.4
    wall_thickness: float = 1.0
    raa_with_right_duct: bool = False
    undetermined: frozenset[Condition] = frozenset()


@dataclass(frozen=True)
class PhantomCase:
    """A synthetic fetus seen in one view.

    view             the plane
    seed             identifies the fetus; equal seeds give equal anatomy whatever the conditions
    gestational_age  weeks
    conditions       only those that ``view`` can show
    z_scores         by structure name of `cases.SIZE_REFERENCE`; sizes follow from the nomograms
    findings         what the conditions change besides sizes
    heart_rate       beats per minute
    phase            position in the cardiac cycle at time 0, 0 to 1 (0 is end-diastole)
    axis             cardiac axis in degrees, from the spine-sternum line toward the fetal left
    area_ratio       heart over thorax area of the healthy heart in the four-chamber plane, at end-diastole
    shortening       long-axis shortening of the ventricles, share of their length
    area_change      fractional area change of the left and the right ventricle
    atrial_emptying  share of the atrial area that leaves between its maximum and its minimum
    pulsation        half the systolic-diastolic change of vessel diameters, share of the mean
    rotation         degrees, as in `section.Placement`
    mirror           +1 or -1, as in `section.Placement`
    """

    view: View
    seed: int
    gestational_age: float
    conditions: frozenset[Condition] = frozenset()
    z_scores: Mapping[str, float] = field(default_factory=dict, hash=False)
    findings: Findings = Findings()
    heart_rate: float = 140.0
    phase: float = 0.0
    axis: float = 43.0
    area_ratio: float = 0.30
    shortening: float = 0.17
    area_change: tuple[float, float] = (0.35, 0.32)
    atrial_emptying: float = 0.43
    pulsation: float = 0.065
    rotation: float = 0.0
    mirror: int = 1

    def __post_init__(self) -> None:
        foreign = self.conditions - set(permitted_conditions(self.view))
        if foreign:
            names = ", ".join(sorted(c.short for c in foreign))
            raise InvalidRequest(
                f"The {self.view.short} view cannot show {names}: leave it out or choose another view."
            )
        if not 16.0 <= self.gestational_age <= 32.0:
            raise InvalidRequest(f"The phantom is made for 16 to 32 weeks, not {self.gestational_age:g}.")

    @property
    def patient(self) -> str:
        """Group of all frames of this fetus; frames of one group stay on one side of a split."""
        return f"phantom-{self.seed}"

    @property
    def scale(self) -> float:
        """Linear size of the thorax relative to 22 weeks."""
        return nomograms.thoracic_circumference_mm(self.gestational_age) / nomograms.thoracic_circumference_mm(22.0)

    @property
    def size_ratio(self) -> float:
        """Linear size of the heart relative to 22 weeks: scales walls, atria and leaflets."""
        return nomograms.size_mm("LV length", self.gestational_age) / nomograms.size_mm("LV length", 22.0)

    @property
    def condition_vector(self) -> np.ndarray:
        """(7,) uint8, as in FETUS label files."""
        vector = np.zeros(len(Condition), dtype=np.uint8)
        vector[[int(c) for c in self.conditions]] = 1
        return vector

    def size(self, name: str) -> float:
        """Size of a structure in mm, at end-diastole for chambers."""
        if name == "SVC":  # Zalel gives no spread: 12 % stands in for it
            mean = nomograms.size_mm("SVC", self.gestational_age, reference=nomograms.ZALEL)
            return mean * float(np.exp(0.12 * self.z_scores.get("SVC", 0.0)))
        return nomograms.size_mm(
            name, self.gestational_age, self.z_scores.get(name, 0.0), reference=SIZE_REFERENCE[name]
        )

    def rng(self, purpose: str) -> np.random.Generator:
        """Random stream of this fetus for one purpose; the same whatever the conditions."""
        return np.random.default_rng([self.seed & 0xFFFFFFFF, self.seed >> 32, zlib.crc32(purpose.encode())])

    def healthy(self) -> PhantomCase:
        """The same fetus without its conditions."""
        return self if not self.conditions else sample_case(self.view, self.seed, conditions=())


def sample_view(rng: np.random.Generator) -> View:
    """A view, with the shares of the FETUS 2026 test set."""
    shares = np.array([VIEW_SHARES[v] for v in View])
    return list(View)[int(rng.choice(len(shares), p=shares / shares.sum()))]


def require_seed(seed: int) -> None:
    """Raise InvalidRequest for a number that NumPy takes for no seed."""
    if seed < 0:
        raise InvalidRequest(f"A seed is a whole number from 0 on, not {seed}.")


def sample_case(
    view: View,
    seed: int,
    conditions: Iterable[Condition] | None = None,
    prevalence: Mapping[Condition, float] | None = None,
) -> PhantomCase:
    """The fetus of ``seed`` in ``view``.

    conditions  exactly these (InvalidRequest when the view cannot show one), or None to draw them
    prevalence  share of positives by condition when they are drawn, default `TRAINING_PREVALENCE`
    """
    require_seed(seed)
    rng = _stream(seed, f"case {view.short}")
    drawn = {c: rng.random() < (prevalence or TRAINING_PREVALENCE)[c] for c in permitted_conditions(view)}
    if conditions is None:
        chosen = frozenset(c for c, positive in drawn.items() if positive)
        if chosen >= EXCLUSIVE:
            chosen -= {Condition.PULMONARY_VALVE_STENOSIS}
    else:
        chosen = frozenset(conditions)

    body = rng.normal()  # a large fetus has large vessels: half of the variance is common
    z_scores = {name: _truncated(0.7 * body + 0.7 * rng.normal(), 1.8) for name in (*SIZE_REFERENCE, "SVC")}
    # Great arteries keep their ratio in health (AO/PA 0.7 to 1.2), so their own part is smaller.
    for name in ("AscAo", "AoV", "MPA", "PV", "isthmus", "duct"):
        z_scores[name] = _truncated(0.7 * body, 1.5) + _truncated(0.35 * rng.normal(), 0.7)
    healthy = PhantomCase(
        view=view,
        seed=seed,
        gestational_age=float(np.clip(rng.normal(22.0, 1.6), 18.0, 28.0)),
        z_scores=z_scores,
        heart_rate=float(np.clip(rng.normal(142.0, 10.0), 110.0, 180.0)),
        phase=float(rng.random()),
        axis=float(np.clip(rng.normal(*nomograms.CARDIAC_AXIS), 25.0, 60.0)),
        area_ratio=float(np.clip(rng.normal(*nomograms.CARDIOTHORACIC_AREA_RATIO), 0.26, 0.34)),
        shortening=float(rng.uniform(0.15, 0.20)),
        area_change=(
            float(np.clip(rng.normal(0.35, 0.03), 0.27, 0.43)),
            float(np.clip(rng.normal(0.32, 0.035), 0.24, 0.40)),
        ),
        atrial_emptying=float(np.clip(rng.normal(0.43, 0.03), 0.35, 0.50)),
        pulsation=float(rng.uniform(0.05, 0.08)),
        # Spine away from the probe or at the side; a spine in front of the heart hides it and is not recorded.
        rotation=float(rng.uniform(-110.0, 110.0)),
        mirror=1 if rng.random() < 0.5 else -1,
    )
    case = healthy
    for condition in sorted(chosen):
        if condition not in permitted_conditions(view):
            raise InvalidRequest(
                f"The {view.short} view cannot show {condition.short}: leave it out or choose another view."
            )
        case = _CHANGES[condition](case, _stream(seed, f"condition {view.short} {condition.short}"))
    return replace(case, conditions=chosen)


def _stream(seed: int, purpose: str) -> np.random.Generator:
    return np.random.default_rng([seed & 0xFFFFFFFF, seed >> 32, zlib.crc32(purpose.encode())])


def _truncated(value: float, limit: float) -> float:
    return float(np.clip(value, -limit, limit))


def _with(case: PhantomCase, z_scores: dict[str, float], **findings: object) -> PhantomCase:
    return replace(
        case,
        z_scores={**case.z_scores, **z_scores},
        findings=replace(case.findings, **findings),  # type: ignore[arg-type]
    )


def _vsd(case: PhantomCase, rng: np.random.Generator) -> PhantomCase:
    hidden = rng.random() < 0.25
    gap = rng.uniform(0.6, VISIBLE_GAP_MM - 0.1) if hidden else rng.uniform(1.7, 4.0)
    # Inlet to mid-muscular in the four-chamber plane, just under the aortic valve in the outflow plane.
    position = rng.uniform(0.10, 0.62) if case.view is View.FOUR_CHAMBER else 0.10 + rng.uniform(0.0, 0.06)
    undetermined = case.findings.undetermined | ({Condition.VSD} if hidden else set())
    return _with(case, {}, vsd_gap=float(gap), vsd_position=float(position), undetermined=undetermined)


def _av_valve_stenosis(case: PhantomCase, rng: np.random.Generator) -> PhantomCase:
    left = rng.random() < 0.5
    annulus, ventricle, other = rng.uniform(-5, -2), rng.uniform(-5.0, -2.2), rng.uniform(1.0, 2.0)
    motion, thickness = float(rng.uniform(0.0, 0.3)), float(rng.uniform(0.8, 1.3))
    small, large = ("LV", "RV") if left else ("RV", "LV")
    z_scores = {
        "MV" if left else "TV": annulus,
        f"{small} width": ventricle,
        f"{small} length": 0.6 * ventricle,
        f"{large} width": other,
    }
    if left:
        return _with(case, z_scores, mitral_motion=motion, mitral_thickness=thickness)
    return _with(case, z_scores, tricuspid_motion=motion, tricuspid_thickness=thickness)


def _aortic_hypoplasia(case: PhantomCase, rng: np.random.Generator) -> PhantomCase:
    aorta = rng.uniform(-5.0, -2.3)
    z_scores = {
        "AscAo": aorta,
        "AoV": aorta + rng.uniform(-0.3, 0.5),
        "isthmus": float(np.clip(aorta, -3.5, -2.0)),
        "LV width": rng.uniform(-3.5, -1.8),
    }
    # The small side is judged against the other: keep the comparison side ordinary.
    z_scores["MPA"] = max(case.z_scores["MPA"], -0.3)
    z_scores["duct"] = max(case.z_scores["duct"], -0.3)
    z_scores["RV width"] = max(case.z_scores["RV width"], 0.3)
    return _with(case, z_scores)


def _aortic_valve_stenosis(case: PhantomCase, rng: np.random.Generator) -> PhantomCase:
    hidden = rng.random() < 0.3
    if hidden:
        undetermined = case.findings.undetermined | {Condition.AORTIC_VALVE_STENOSIS}
        return _with(case, {"AoV": -1.0}, aortic_motion=0.7, aortic_thickness=0.5, undetermined=undetermined)
    dilated = rng.random() < 0.75
    z_scores = {"AoV": rng.uniform(-4.0, -2.0), "AscAo": rng.uniform(1.0, 3.0) if dilated else -2.0}
    if Condition.AORTIC_HYPOPLASIA in case.conditions or case.z_scores["AscAo"] < -2.0:
        z_scores["AscAo"] = case.z_scores["AscAo"]
    thick = rng.random() < 0.6
    if not thick:
        z_scores["LV width"] = rng.uniform(1.5, 2.8)
    return _with(
        case,
        z_scores,
        aortic_motion=float(rng.uniform(0.1, 0.4)),
        aortic_thickness=float(rng.uniform(0.7, 1.1)),
        wall_thickness=float(rng.uniform(1.4, 1.8)) if thick else 1.0,
    )


def _dorv(case: PhantomCase, rng: np.random.Generator) -> PhantomCase:
    return case  # the course of the aorta changes, which the section draws from ``conditions``


def _pulmonary_valve_stenosis(case: PhantomCase, rng: np.random.Generator) -> PhantomCase:
    trunk = rng.uniform(-5.0, -2.2)
    z_scores = {
        "MPA": trunk,
        "PV": trunk + rng.uniform(-0.4, 0.4),
        "LPA": float(np.clip(trunk + rng.uniform(-0.5, 1.0), -4.0, -1.2)),
        "RPA": float(np.clip(trunk + rng.uniform(-0.5, 1.0), -4.0, -1.2)),
        "duct": float(np.clip(trunk, -3.5, -1.5)),
        "AscAo": max(case.z_scores["AscAo"], 0.2),
    }
    return _with(
        case,
        z_scores,
        pulmonary_motion=float(rng.uniform(0.1, 0.4)),
        pulmonary_thickness=float(rng.uniform(0.7, 1.1)),
    )


def _right_aortic_arch(case: PhantomCase, rng: np.random.Generator) -> PhantomCase:
    return _with(case, {}, raa_with_right_duct=bool(rng.random() < 0.25))


_CHANGES = {
    Condition.VSD: _vsd,
    Condition.AV_VALVE_STENOSIS: _av_valve_stenosis,
    Condition.AORTIC_HYPOPLASIA: _aortic_hypoplasia,
    Condition.AORTIC_VALVE_STENOSIS: _aortic_valve_stenosis,
    Condition.DORV: _dorv,
    Condition.PULMONARY_VALVE_STENOSIS: _pulmonary_valve_stenosis,
    Condition.RIGHT_AORTIC_ARCH: _right_aortic_arch,
}
