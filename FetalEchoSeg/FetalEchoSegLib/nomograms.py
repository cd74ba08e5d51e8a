"""Published sizes of the normal fetal heart by gestational age.

Lengths are mm, areas mm², ages completed weeks with decimals. The references differ by up to 28 % (pulmonary
branches, duct), so every z-score shown to a user must name the reference it came from.

Sources
    Schneider 2005: Schneider C et al., Ultrasound Obstet Gynecol 2005;26:599. ln(cm) = slope · ln(weeks) + intercept.
    Krishnan 2016: Krishnan A et al., J Am Soc Echocardiogr 2016;29:1197. Polynomials in weeks, some of ln or root.
    Zalel 2004: Zalel Y et al., three-vessel view, linear in weeks; its spread is not available here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .errors import NotMeasurable

SCHNEIDER = "Schneider 2005"
KRISHNAN = "Krishnan 2016"
ZALEL = "Zalel 2004"
REFERENCES = (SCHNEIDER, KRISHNAN, ZALEL)

AGE_RANGE = (14.0, 40.0)  # weeks; outside it the three references are extrapolations


@dataclass(frozen=True)
class Nomogram:
    """Normal size of one structure against gestational age.

    scale         how the size in cm (cm² for areas) enters the model: "ln", "linear" or "root"
    coefficients  polynomial in ``regressor``, constant first
    regressor     "weeks" or "ln weeks"
    spread        standard deviation on the model's scale, None where it is not known
    is_area       the size is an area
    """

    scale: str
    coefficients: tuple[float, ...]
    regressor: str
    spread: float | None
    is_area: bool = False

    def predicted(self, gestational_age_weeks: float) -> float:
        """Mean on the model's own scale."""
        x = np.log(gestational_age_weeks) if self.regressor == "ln weeks" else gestational_age_weeks
        return float(sum(c * x**power for power, c in enumerate(self.coefficients)))

    def size_mm(self, gestational_age_weeks: float, z: float) -> float:
        """Size in mm (mm² for areas) at ``z`` standard deviations."""
        value = self.predicted(gestational_age_weeks) + z * (self.spread or 0.0)
        cm = float(np.exp(value)) if self.scale == "ln" else value * abs(value) if self.scale == "root" else value
        return cm * (100.0 if self.is_area else 10.0)

    def z_score(self, size_mm: float, gestational_age_weeks: float) -> float:
        """Standard deviations of ``size_mm`` (mm, mm² for areas) from the mean."""
        cm = size_mm / (100.0 if self.is_area else 10.0)
        value = float(np.log(cm)) if self.scale == "ln" else float(np.sqrt(cm)) if self.scale == "root" else cm
        assert self.spread is not None
        return (value - self.predicted(gestational_age_weeks)) / self.spread


def _schneider(intercept: float, slope: float, rmse: float, is_area: bool = False) -> Nomogram:
    return Nomogram("ln", (intercept, slope), "ln weeks", rmse, is_area)


NOMOGRAMS: dict[str, dict[str, Nomogram]] = {
    SCHNEIDER: {
        "AoV": _schneider(-5.019, 1.263, 0.1282),
        "PV": _schneider(-5.114, 1.352, 0.1208),
        "AscAo": _schneider(-4.886, 1.261, 0.1330),
        "DescAo": _schneider(-5.365, 1.360, 0.1216),
        "MPA": _schneider(-5.025, 1.347, 0.1570),
        "LPA": _schneider(-5.390, 1.231, 0.1966),
        "RPA": _schneider(-5.307, 1.230, 0.1802),
        "duct": _schneider(-4.440, 1.013, 0.1913),
        "IVC": _schneider(-5.140, 1.201, 0.1893),
        "MV": _schneider(-4.084, 1.173, 0.1315),
        "TV": _schneider(-4.766, 1.395, 0.1394),
        "LV width": _schneider(-4.292, 1.298, 0.1560),
        "RV width": _schneider(-4.455, 1.363, 0.1442),
        "LV length": _schneider(-3.231, 1.193, 0.1376),
        "RV length": _schneider(-3.566, 1.277, 0.1658),
        "LV area": _schneider(-7.430, 2.432, 0.2564, is_area=True),
        "RV area": _schneider(-8.133, 2.625, 0.2957, is_area=True),
    },
    KRISHNAN: {
        "isthmus": Nomogram("linear", (-0.055568, 0.014131), "weeks", 0.03387),
        "LPA": Nomogram("linear", (-0.036636, 0.013428), "weeks", 0.03349),
        "RPA": Nomogram("root", (0.240886, 0.012312), "weeks", 0.03834),
        "AoV": Nomogram("ln", (-5.41773, 0.35887, -0.009753, 0.000097), "weeks", 0.10815),
        "AscAo": Nomogram("ln", (-4.88073, 0.34001, -0.009945, 0.000111), "weeks", 0.1417),
        "DescAo": Nomogram("ln", (-4.13567, 0.25723, -0.006731, 0.000069), "weeks", 0.13968),
        "MPA": Nomogram("ln", (-5.79959, 0.43919, -0.013138, 0.000143), "weeks", 0.12482),
        "PV": Nomogram("ln", (-5.10288, 0.34745, -0.009335, 0.000092), "weeks", 0.12219),
    },
    ZALEL: {
        "MPA": Nomogram("linear", (-0.2275, 0.0273), "weeks", None),
        "AscAo": Nomogram("linear", (-0.177, 0.0227), "weeks", None),
        "SVC": Nomogram("linear", (-0.098, 0.0142), "weeks", None),
    },
}


def nomogram(name: str, reference: str = SCHNEIDER) -> Nomogram:
    """Model of structure ``name``; NotMeasurable lists what the reference has."""
    table = NOMOGRAMS.get(reference)
    if table is None:
        raise NotMeasurable(f"no reference called '{reference}': choose one of {', '.join(REFERENCES)}")
    if name not in table:
        raise NotMeasurable(f"{reference} has no values for '{name}': it has {', '.join(table)}")
    return table[name]


def _checked_age(gestational_age_weeks: float) -> float:
    low, high = AGE_RANGE
    if not low <= gestational_age_weeks <= high:
        raise NotMeasurable(f"gestational age {gestational_age_weeks:g} weeks is outside {low:g} to {high:g} weeks")
    return float(gestational_age_weeks)


def size_mm(name: str, gestational_age_weeks: float, z: float = 0.0, reference: str = SCHNEIDER) -> float:
    """Size of ``name`` at a gestational age, mm (mm² for "LV area" and "RV area").

    z  standard deviations from the mean; NotMeasurable when the reference gives no spread and z is not 0.
    """
    model = nomogram(name, reference)
    if z and model.spread is None:
        raise NotMeasurable(f"{reference} gives no spread for '{name}', so only the mean is known")
    return model.size_mm(_checked_age(gestational_age_weeks), z)


def z_score(name: str, size: float, gestational_age_weeks: float, reference: str = SCHNEIDER) -> float:
    """Z-score of ``size`` (mm, mm² for areas) for a gestational age; NotMeasurable without a published spread."""
    model = nomogram(name, reference)
    if model.spread is None:
        raise NotMeasurable(f"{reference} gives no spread for '{name}', so a z-score cannot be given")
    if not size > 0:
        raise NotMeasurable(f"a size of {size:g} mm has no z-score")
    return model.z_score(size, _checked_age(gestational_age_weeks))


# Cardiothoracic area ratio in a four-chamber frame: mean and SD (Sylwestrzak 2018, n = 609).
CARDIOTHORACIC_AREA_RATIO = (0.30, 0.015)
# Angle between the septum and the spine-sternum line in degrees: mean and SD; above 57 abnormal (Shipp 1995).
CARDIAC_AXIS = (43.0, 7.0)


def cardiac_circumference_mm(gestational_age_weeks: float) -> tuple[float, float]:
    """Mean and SD of the heart's circumference in the four-chamber view, mm.

    Source: cardio-STIC volumes of 678 fetuses of 14 to 40 weeks, J Ultrasound Med 2011;30:1191.
    """
    age = _checked_age(gestational_age_weeks)
    return -53.11 + 6.56 * age - 0.035 * age**2, 0.67 + 0.18 * age


def cardiothoracic_diameter_ratio(gestational_age_weeks: float) -> tuple[float, float]:
    """Mean and SD of transverse heart diameter over transverse thorax diameter.

    Source: Sirilert et al. 2019 (J Ultrasound Med), 683 fetuses of 14 to 40 weeks.
    """
    age = _checked_age(gestational_age_weeks)
    return 0.365 + 0.004 * age, 0.031 + 0.001 * age


def thoracic_circumference_mm(gestational_age_weeks: float) -> float:
    """Mean circumference of the thorax at the four-chamber level, mm.

    0.89 of the abdominal circumference (Chitkara 1987), which is −13.3 + 1.61 w − 0.00998 w² cm (Hadlock 1984).
    """
    age = _checked_age(gestational_age_weeks)
    return 0.89 * 10.0 * (-13.3 + 1.61 * age - 0.00998 * age**2)
