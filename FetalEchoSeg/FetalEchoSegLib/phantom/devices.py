"""Scanner settings as domain axes: those a model is trained on and those held out to test it elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Device:
    """One scanner with one preset.

    name              invented; no manufacturer is imitated
    frequency         MHz, centre frequency
    axial_fwhm        mm, pulse length: full width at half maximum of the point-spread amplitude along the beam
    lateral_fwhm      mm, beam width at the focus
    focus_depth       mm
    depth_of_field    mm away from the focus at which the beam is √2 times as wide
    sector_angle      degrees; radius mm of the face; depth mm of the last range
    crop              share of the fan that the image shows; crop_offset shifts the window by fractions of itself
    gain              dB; dynamic_range dB shown between black and white
    curve             0 (linear grey) to 1 (strong S); gamma of the grey map
    tgc_error         dB per cm left over or missing after time-gain compensation
    noise             dB of receiver noise at 10 cm relative to echoes of unit strength
    haze              dB of side-lobe and reverberation clutter relative to the tissue that causes it
    near_field        dB of reverberation at the transducer face
    dropout           0 to 1: how far walls parallel to the beam vanish
    decorrelation     radians per second of speckle change from tissue crossing the plane
    looks             1, or 2 when spatial compounding averages two independent speckle patterns
    post_filter       none, median, smooth, adaptive or sharpen
    overlay           ruler, corner, banner, minimal or dense
    tint              grey (frames without colour), cool, sepia or cyan
    jpeg_quality      0 for no compression
    """

    name: str
    frequency: float
    axial_fwhm: float
    lateral_fwhm: float
    focus_depth: float
    depth_of_field: float
    sector_angle: float
    radius: float
    depth: float
    crop: float
    crop_offset: tuple[float, float]
    gain: float
    dynamic_range: float
    curve: float
    gamma: float
    tgc_error: float
    noise: float
    haze: float
    near_field: float
    dropout: float
    decorrelation: float
    looks: int
    post_filter: str
    overlay: str
    tint: str
    jpeg_quality: int

    @property
    def combination(self) -> tuple[str, str, str, int, int, int]:
        """The domain this device stands for: overlay, filter, tint, and bands of MHz, dynamic range and JPEG."""
        band = round(self.dynamic_range / 5)
        return (self.overlay, self.post_filter, self.tint, round(self.frequency), band, self.jpeg_quality // 10)


_BASE = Device(
    name="Alder",
    frequency=5.0,
    axial_fwhm=0.36,
    lateral_fwhm=0.65,
    focus_depth=58.0,
    depth_of_field=32.0,
    sector_angle=68.0,
    radius=50.0,
    depth=100.0,
    crop=0.55,
    crop_offset=(0.0, 0.0),
    gain=0.0,
    dynamic_range=58.0,
    curve=0.45,
    gamma=1.3,
    tgc_error=0.0,
    noise=-46.0,
    haze=-20.0,
    near_field=-6.0,
    dropout=0.7,
    decorrelation=3.0,
    looks=2,
    post_filter="none",
    overlay="ruler",
    tint="grey",
    jpeg_quality=92,
)

SAME_DEVICES: tuple[Device, ...] = (
    _BASE,
    replace(
        _BASE,
        name="Birch",
        frequency=6.0,
        axial_fwhm=0.31,
        lateral_fwhm=0.56,
        focus_depth=50.0,
        radius=45.0,
        sector_angle=72.0,
        crop=0.52,
        crop_offset=(0.02, 0.04),
        dynamic_range=63.0,
        curve=0.3,
        gain=-1.0,
        tgc_error=-0.3,
        haze=-21.0,
        post_filter="adaptive",
        overlay="corner",
        tint="cool",
        jpeg_quality=85,
    ),
    replace(
        _BASE,
        name="Cedar",
        looks=1,
        frequency=4.0,
        axial_fwhm=0.41,
        lateral_fwhm=0.8,
        focus_depth=65.0,
        radius=60.0,
        sector_angle=62.0,
        depth=110.0,
        crop=0.55,
        dynamic_range=54.0,
        curve=0.6,
        gain=1.0,
        tgc_error=0.3,
        noise=-42.0,
        post_filter="smooth",
        overlay="banner",
        tint="sepia",
        jpeg_quality=75,
    ),
    replace(
        _BASE,
        name="Doum",
        frequency=5.5,
        axial_fwhm=0.34,
        lateral_fwhm=0.68,
        focus_depth=45.0,
        depth=100.0,
        crop=0.62,
        dynamic_range=60.0,
        curve=0.5,
        noise=-44.0,
        haze=-18.0,
        post_filter="median",
        overlay="dense",
        tint="grey",
        jpeg_quality=0,
    ),
)

# Held out whole: every axis that marks a domain differs from the four above at once.
NEW_DEVICES: tuple[Device, ...] = (
    replace(
        _BASE,
        name="Elm",
        looks=1,
        frequency=3.5,
        axial_fwhm=0.5,
        lateral_fwhm=1.15,
        focus_depth=75.0,
        depth_of_field=20.0,
        radius=60.0,
        sector_angle=70.0,
        depth=120.0,
        crop=0.55,
        crop_offset=(-0.05, 0.05),
        dynamic_range=50.0,
        curve=0.6,
        gain=4.0,
        tgc_error=-0.8,
        noise=-37.0,
        haze=-19.0,
        near_field=0.0,
        dropout=0.9,
        post_filter="sharpen",
        overlay="minimal",
        tint="cyan",
        jpeg_quality=50,
    ),
    replace(
        _BASE,
        name="Fir",
        frequency=7.0,
        axial_fwhm=0.28,
        lateral_fwhm=0.6,
        focus_depth=40.0,
        depth_of_field=18.0,
        radius=40.0,
        sector_angle=75.0,
        depth=98.0,
        crop=0.58,
        crop_offset=(0.06, -0.04),
        dynamic_range=70.0,
        curve=0.1,
        gamma=1.6,
        gain=2.0,
        tgc_error=0.7,
        noise=-38.0,
        haze=-20.0,
        post_filter="adaptive",
        overlay="minimal",
        tint="sepia",
        jpeg_quality=60,
    ),
    replace(
        _BASE,
        name="Ginkgo",
        looks=1,
        frequency=4.5,
        axial_fwhm=0.42,
        lateral_fwhm=1.05,
        focus_depth=55.0,
        depth_of_field=14.0,
        radius=55.0,
        sector_angle=60.0,
        depth=115.0,
        crop=0.70,
        dynamic_range=47.0,
        curve=0.7,
        gamma=1.0,
        gain=-2.0,
        tgc_error=-0.6,
        noise=-40.0,
        dropout=0.95,
        post_filter="median",
        overlay="banner",
        tint="cool",
        jpeg_quality=65,
    ),
)


def sample_device(seed: int | np.random.Generator, held_out: bool = False) -> Device:
    """One of the devices with the settings an operator turns (gain, depth, zoom, TGC, focus) varied around it.

    held_out    draw from ``NEW_DEVICES`` instead of ``SAME_DEVICES``; the axes of ``Device.combination`` never vary.
    """
    rng = np.random.default_rng(seed)
    choices = NEW_DEVICES if held_out else SAME_DEVICES
    device = choices[int(rng.integers(len(choices)))]
    zoom = device.crop if device.crop >= 0.98 else float(np.clip(device.crop * rng.uniform(0.92, 1.1), 0.5, 0.95))
    shift = rng.uniform(-0.06, 0.06, size=2)
    return replace(
        device,
        gain=device.gain + float(rng.uniform(-2.5, 2.5)),
        tgc_error=device.tgc_error + float(rng.uniform(-0.4, 0.4)),
        lateral_fwhm=device.lateral_fwhm * float(rng.uniform(0.92, 1.1)),
        focus_depth=device.focus_depth + float(rng.uniform(-8, 8)),
        noise=device.noise + float(rng.uniform(-2, 2)),
        haze=device.haze + float(rng.uniform(-2, 2)),
        near_field=device.near_field + float(rng.uniform(-4, 4)),
        dropout=float(np.clip(device.dropout + rng.uniform(-0.2, 0.1), 0, 1)),
        crop=zoom,
        crop_offset=(device.crop_offset[0] + float(shift[0]), device.crop_offset[1] + float(shift[1])),
    )
