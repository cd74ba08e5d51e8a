"""Echo formation: from a stack of moving contours to ultrasound frames and their masks.

A convolution model on the polar grid of the scan lines, in the order in which a scanner does it: scatterers fixed in
the material times the tissue's backscatter, specular echoes where impedance changes along the beam, attenuation and
shadow along the line, the point-spread of pulse and beam, clutter and noise, log compression, scan conversion,
burnt-in graphics. Uniform tissue has a Rayleigh envelope, blood lies 35 to 45 dB below a wall across the beam, and
bone casts a shadow of 15 to 25 dB.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from .devices import Device
from .maternal import Maternal, maternal_background
from .overlay import draw_overlay
from .raster import fill_touched, rasterise_labels, rasterise_tissue
from .section import Layer, Placement, Section, Tissue
from .sector import SectorGeometry
from .speckle import AXIAL_SIGMA, LATERAL_SIGMA, material_maps, noise_bank, sample_grain, sample_scatterers

FWHM = 2.3548  # full width at half maximum of a Gaussian over its standard deviation
TGC_ATTENUATION = 0.42  # dB per cm and MHz one way: what time-gain compensation assumes
_FIRST_MATERNAL = int(min(Maternal))
_WHITE_LEVEL = 20.0  # dB above a perpendicular wall at which the display saturates
_SPECULAR_GAIN = 7.5  # mm; a blood-muscle boundary across the beam then echoes at about 0 dB
_BONE_LOSS = 14.0  # dB per mm until the shadow's floor
_BANDS = 16  # row bands that share a beam width


@dataclass(frozen=True)
class Acoustics:
    """Acoustic properties of one tissue.

    backscatter  dB of its speckle relative to a wall perpendicular to the beam
    impedance    relative; a step along the beam gives a specular echo
    attenuation  dB per cm and MHz, one way
    grain        dB of spatial variation of the backscatter
    dropout      0 to 1: how much a thin layer of it vanishes when it runs along the beam
    """

    backscatter: float
    impedance: float
    attenuation: float
    grain: float
    dropout: float = 0.0


ACOUSTICS: dict[int, Acoustics] = {
    Tissue.SOFT_TISSUE: Acoustics(-7, 0.10, 0.50, 2.5),
    Tissue.CHEST_WALL: Acoustics(-5, 0.12, 0.60, 2.5),
    Tissue.LUNG: Acoustics(-3, 0.115, 0.45, 1.4),
    Tissue.MYOCARDIUM: Acoustics(-13, 0.075, 0.50, 1.6, 0.35),
    Tissue.BLOOD: Acoustics(-41, 0.02, 0.18, 1.0),
    Tissue.VESSEL_WALL: Acoustics(-1, 0.18, 0.50, 1.5, 0.85),
    Tissue.VALVE: Acoustics(-1, 0.18, 0.50, 1.0, 0.85),
    Tissue.BONE: Acoustics(9, 0.80, 0.60, 1.5),
    Tissue.FLUID: Acoustics(-46, 0.0, 0.02, 1.0),
    Tissue.THYMUS: Acoustics(-9, 0.10, 0.45, 1.0),
    Tissue.AIRWAY_WALL: Acoustics(1, 0.20, 0.60, 1.0, 0.4),
    Tissue.AIRWAY_LUMEN: Acoustics(-42, 0.01, 0.10, 1.0),
    Tissue.SKIN: Acoustics(1, 0.18, 0.70, 1.0, 0.3),
    Maternal.SKIN: Acoustics(-1, 0.16, 0.70, 1.0),
    Maternal.FAT: Acoustics(-11, 0.08, 0.48, 2.5),
    Maternal.FASCIA: Acoustics(0, 0.16, 0.60, 2.5, 0.3),
    Maternal.MUSCLE: Acoustics(-9, 0.10, 0.55, 2.0),
    Maternal.UTERUS: Acoustics(-8, 0.09, 0.50, 2.0),
    Maternal.PLACENTA: Acoustics(-3, 0.11, 0.45, 1.5),
    Maternal.AMNIOTIC_FLUID: Acoustics(-46, 0.0, 0.02, 1.0),
    Maternal.SURROUNDING_TISSUE: Acoustics(-10, 0.08, 0.50, 4.0),
}


@dataclass(frozen=True)
class RenderedClip:
    """Frames with their truth.

    frames   (T, H, W) uint8, or (T, H, W, 3) RGB for a device with a colour map
    labels   (T, H, W) uint8 structure ids
    spacing  (row, column) mm
    """

    frames: np.ndarray
    labels: np.ndarray
    spacing: tuple[float, float]


def render_clip(
    section: Section,
    placement: Placement,
    device: Device,
    times: Sequence[float] | np.ndarray,
    seed: int,
    image_shape: tuple[int, int] = (512, 512),
) -> RenderedClip:
    """Render a clip at ``times`` seconds; the same arguments give the same bytes, however many threads run."""
    renderer = EchoRenderer(section, placement, device, seed, image_shape)
    rendered = list(renderer.frames(times))
    return RenderedClip(
        frames=np.stack([frame for frame, _ in rendered]),
        labels=np.stack([labels for _, labels in rendered]),
        spacing=renderer.spacing,
    )


def render_frame(
    section: Section,
    placement: Placement,
    device: Device,
    time: float,
    seed: int,
    image_shape: tuple[int, int] = (512, 512),
) -> tuple[np.ndarray, np.ndarray]:
    """(frame, labels) at ``time`` seconds, equal to the frame of a clip with the same arguments."""
    return EchoRenderer(section, placement, device, seed, image_shape).render(time)


class EchoRenderer:
    """One case under one device; renders any moment independently of the others.

    All that does not move (geometry, maternal tissue, clutter, overlay, noise) is prepared here, so that a frame costs
    about 25 ms of processor time. ``render`` may be called from several threads.

    bare    leave out maternal tissue, clutter, noise and grain (for measuring the speckle itself)
    """

    def __init__(
        self,
        section: Section,
        placement: Placement,
        device: Device,
        seed: int,
        image_shape: tuple[int, int] = (512, 512),
        bare: bool = False,
    ) -> None:
        self.section, self.placement, self.device, self.seed, self.bare = section, placement, device, seed, bare
        self.geometry = SectorGeometry.plan(device, placement, image_shape)
        self.spacing = (self.geometry.spacing, self.geometry.spacing)
        rng = np.random.default_rng([seed, 1])
        self._tables = _tissue_tables(rng)
        self._shadow_floor = float(rng.uniform(16, 24))
        self._phase = float(rng.uniform(0, 2 * np.pi))
        self._offset = rng.uniform(0, 100, size=2)
        self._pulse = _PointSpread(device, self.geometry)
        self._prepare_maps()
        geometry = self.geometry
        self._background = maternal_background(geometry, placement, rng)
        if bare:
            self._background[:] = Maternal.AMNIOTIC_FLUID
        else:
            self._lay_fluid_crescent(rng)
        still = material_maps((geometry.polar_points() + rng.uniform(0, 100, size=2)).astype(np.float32))
        self._still_field = sample_scatterers(*still, np.array([0.0, 1.0]), self._phase, device.looks)
        self._still_grain = sample_grain(*still)
        self._clutter, self._line_gain = self._prepare_clutter(rng)
        self._noise = noise_bank(rng, (geometry.n_range, geometry.n_lines), self._pulse.axial_sigma)
        self._noise_power = self._prepare_noise()
        self._overlay = draw_overlay(device, geometry, seed)
        self._tint = _tint_table(device.tint)

    def frames(
        self, times: Sequence[float] | np.ndarray, workers: int | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(frame, labels) for each time, in order; ``workers`` threads (all cores unless told)."""
        workers = workers or min(os.cpu_count() or 1, 8)
        if workers == 1:
            yield from map(self.render, times)
            return
        with ThreadPoolExecutor(workers) as pool:
            yield from pool.map(self.render, [float(t) for t in times])

    def render(self, time: float) -> tuple[np.ndarray, np.ndarray]:
        """Frame, (H, W) or (H, W, 3) uint8, and labels (H, W) uint8 at ``time`` seconds."""
        layers = self.section.layers(time)
        labels = rasterise_labels(layers, self.placement, self.geometry, time)
        grey = self.geometry.scan_convert(self._compress(self._power(layers, time)))
        frame = grey if self._tint is None else _colored(grey, self._tint)
        self._overlay.burn_into(frame)
        return _jpeg_round_trip(frame, self.device.jpeg_quality), labels

    def power(self, time: float) -> np.ndarray:
        """Echo power (n_range, n_lines) float32 before compression; its square root is the envelope."""
        return self._power(self.section.layers(time), time)

    # --- the chain ---------------------------------------------------------------------------------------------

    def _power(self, layers: list[Layer], time: float) -> np.ndarray:
        import cv2

        body = list(itertools.dropwhile(_is_fluid, layers))  # what is outside the skin belongs to the background
        tissue = rasterise_tissue(body, self.placement, self.geometry, time, self._background)
        field, grain = self._material(tissue, time)
        radial, across = self._impedance_slopes(tissue)
        level = _look_up(self._tables.backscatter, tissue)
        if not self.bare:
            grain *= _look_up(self._tables.grain, tissue)
            level += grain
        alignment = self._alignment(radial, across)
        lost = 1 - alignment
        lost *= _look_up(self._tables.dropout, tissue)
        lost *= 16.0 * self.device.dropout
        level -= lost
        gain_db = self._gain_along_beam(tissue)
        level += gain_db
        # Partial volume: an edge that runs along the beam must not jump from line to line.
        amplitude = cv2.GaussianBlur(_from_db(level), (5, 1), sigmaX=0.6, sigmaY=0.01)
        specular = np.abs(radial)
        specular *= alignment
        specular *= _from_db(gain_db)
        field *= amplitude[..., None]
        specular *= _SPECULAR_GAIN * self._pulse.specular_weight
        field[..., 0::2] += specular[..., None]
        self._pulse.blur(field)
        power = _power_of(field)
        if self.bare:
            return power
        power += self._side_lobes(power)
        power += self._clutter
        power += self._receiver_noise(time)
        return power

    def _material(self, tissue: np.ndarray, time: float) -> tuple[np.ndarray, np.ndarray]:
        """Scatterer field (R, L, 2·looks) and grain (R, L): the fetus moves, what lies around it rests."""
        import cv2

        field, grain = self._still_field.copy(), self._still_grain.copy()
        fetal = (tissue < _FIRST_MATERNAL).view(np.uint8)
        left, top, width, height = cv2.boundingRect(fetal)
        if width == 0:
            return field, grain
        rows, lines = slice(top, top + height), slice(left, left + width)
        shift = self.placement.to_anatomy(self._reference, time) - self.placement.to_anatomy(self._reference, 0.0)
        coarse = self.placement.to_anatomy(self._coarse_points, time)
        size = (self.geometry.n_lines, self.geometry.n_range)
        moved = (self.section.displacement(coarse, time) - shift - self._offset).astype(np.float32)
        moved = cv2.resize(moved, size, interpolation=cv2.INTER_LINEAR)[rows, lines]
        map_x, map_y = material_maps(self._base_maps[rows, lines] - moved)
        phase = self._phase + self.device.decorrelation * time
        inside = fetal[rows, lines]
        cv2.copyTo(sample_scatterers(map_x, map_y, self._beam, phase, self.device.looks), inside, field[rows, lines])
        cv2.copyTo(sample_grain(map_x, map_y), inside, grain[rows, lines])
        return field, grain

    def _impedance_slopes(self, tissue: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Slope of impedance along and across the beam, per mm."""
        import cv2

        geometry = self.geometry
        impedance: np.ndarray = cv2.GaussianBlur(
            self._tables.impedance[tissue], (0, 0), sigmaX=0.9, sigmaY=0.16 / geometry.range_step
        )
        none, difference = np.ones(1, np.float32), np.array([-0.5, 0, 0.5], np.float32)
        radial = cv2.sepFilter2D(impedance, -1, none, difference / np.float32(geometry.range_step))
        across: np.ndarray = cv2.sepFilter2D(impedance, -1, difference, none)
        across /= geometry.line_pitch.astype(np.float32)[:, None]
        return radial, across

    def _alignment(self, radial: np.ndarray, across: np.ndarray) -> np.ndarray:
        """|cos|² of the angle between beam and surface normal: 1 on a surface across the beam, 0 along it."""
        import cv2

        along, beside = np.square(radial), np.square(across)
        sigma = (1.2, 0.35 / self.geometry.range_step)
        along = cv2.GaussianBlur(along, (0, 0), sigmaX=sigma[0], sigmaY=sigma[1])
        beside = cv2.GaussianBlur(beside, (0, 0), sigmaX=sigma[0], sigmaY=sigma[1])
        rest = np.float32(4e-4)  # (per mm)²: without a boundary nearby nothing is lost
        return (along + rest) / (along + beside + rest)

    def _gain_along_beam(self, tissue: np.ndarray) -> np.ndarray:
        """Decibels by which time-gain compensation over- or under-corrects what the path above took away."""
        import cv2

        geometry, device = self.geometry, self.device
        size = (geometry.n_lines, geometry.n_range // 4)  # sums along the beam need no finer rows
        step = geometry.range_step * geometry.n_range / size[1]
        excess: np.ndarray = cv2.resize(_look_up(self._tables.attenuation, tissue), size, interpolation=cv2.INTER_AREA)
        excess -= TGC_ATTENUATION
        excess *= -2 * device.frequency * step / 10
        excess += device.tgc_error * step / 10
        path = np.cumsum(excess, axis=0, dtype=np.float32) - excess / 2
        np.clip(path, -16, 7, out=path)  # operators set the sliders so that nothing burns out
        hard = (tissue == Tissue.BONE).astype(np.float32)
        solid: np.ndarray = cv2.resize(hard, size, interpolation=cv2.INTER_AREA)
        solid *= _BONE_LOSS * step
        bone: np.ndarray = np.minimum(np.cumsum(solid, axis=0, dtype=np.float32) - solid / 2, self._shadow_floor)
        # The aperture looks past the edge of a small bone: the flanks of a shadow are soft.
        path -= cv2.GaussianBlur(bone, (0, 0), sigmaX=1.8, sigmaY=0.3)
        path += self._line_gain
        return cv2.resize(path, (geometry.n_lines, geometry.n_range), interpolation=cv2.INTER_LINEAR)

    def _side_lobes(self, power: np.ndarray) -> np.ndarray:
        """Clutter that side lobes carry from bright tissue into blood, speckled like everything else."""
        import cv2

        geometry = self.geometry
        small = (max(8, geometry.n_lines // 3), max(8, geometry.n_range // 6))
        coarse = cv2.resize(np.minimum(power, 3.0), small, interpolation=cv2.INTER_AREA)
        wide = 5.0 / (3 * float(geometry.line_pitch.mean()))
        coarse = cv2.GaussianBlur(coarse, (0, 0), sigmaX=wide, sigmaY=1.0 / (6 * geometry.range_step))
        spread = cv2.resize(coarse, (geometry.n_lines, geometry.n_range), interpolation=cv2.INTER_LINEAR)
        spread *= np.float32(10 ** (self.device.haze / 10))
        spread *= self._clutter_speckle
        return spread

    def _receiver_noise(self, time: float) -> np.ndarray:
        rng = np.random.default_rng([self.seed, 3, round(time * 1e6) & 0xFFFFFFFF])
        row = int(rng.integers(self._noise.shape[0] - self.geometry.n_range))
        column = int(rng.integers(self._noise.shape[1] - self.geometry.n_lines))
        part = self._noise[row : row + self.geometry.n_range, column : column + self.geometry.n_lines]
        power = _power_of(part)
        power *= self._noise_power
        return power

    def _compress(self, power: np.ndarray) -> np.ndarray:
        """Echo power to grey levels (n_range, n_lines) uint8: log compression, S-curve, gamma, post-filter."""
        device = self.device
        level = np.log10(np.maximum(power, 1e-12), dtype=np.float32)
        level *= 10 / device.dynamic_range
        level += 1 + (device.gain - _WHITE_LEVEL) / device.dynamic_range
        np.clip(level, 0, 1, out=level)
        level += device.curve * (level * level * (3 - 2 * level) - level)
        if device.gamma != 1:
            level = np.power(level, np.float32(device.gamma))
        return _post_filter((level * 255 + 0.5).astype(np.uint8), device.post_filter)

    # --- what does not move ------------------------------------------------------------------------------------

    def _prepare_maps(self) -> None:
        geometry = self.geometry
        self._reference = np.zeros(2)
        down = np.array([0.0, 1.0])
        self._beam = self.placement.to_anatomy(down, 0.0) - self.placement.to_anatomy(self._reference, 0.0)
        self._base_maps = self.placement.to_anatomy(geometry.polar_points(), 0.0).astype(np.float32)
        rows, lines = max(2, geometry.n_range // 8), max(2, geometry.n_lines // 3)
        # Centres of the coarse cells in the sense of cv2.resize, so that upsampling does not shift the tissue.
        row = (np.arange(rows) + 0.5) * geometry.n_range / rows - 0.5
        line = (np.arange(lines) + 0.5) * geometry.n_lines / lines - 0.5
        ranges = geometry.range_start + geometry.range_step * row
        angles = geometry.angle_start + geometry.angle_step * line
        self._coarse_points = geometry.from_polar(ranges[:, None], angles[None, :])

    def _lay_fluid_crescent(self, rng: np.random.Generator) -> None:
        """Fluid around the fetus, pushed aside: a fetus rests against the uterus and never floats in an even halo."""
        bearing = rng.uniform(0, 2 * np.pi)
        aside = rng.uniform(2, 7) * np.array([np.cos(bearing), np.sin(bearing)])
        for layer in itertools.takewhile(_is_fluid, self.section.layers(0.0)):
            contour = self.placement.to_probe(layer.contour, 0.0) + aside
            fill_touched(self._background, self.geometry.to_grid(contour), int(Maternal.AMNIOTIC_FLUID))

    def _prepare_clutter(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Power of near-field reverberation (R, L), and gain in dB of each line (1, L): contact is never even."""
        geometry, device = self.geometry, self.device
        field = rng.standard_normal((geometry.n_range, geometry.n_lines, 2), dtype=np.float32) / np.float32(np.sqrt(2))
        self._pulse.blur(field, white=True)
        self._clutter_speckle = 0.4 + 0.6 * _power_of(field)
        ranges = geometry.ranges[:, None]
        fade = 10 ** ((device.near_field - 1.1 * ranges) / 10)
        echoes = 1 + 0.8 * np.cos(2 * np.pi * ranges / rng.uniform(2.5, 5.0))
        clutter = (fade * echoes * self._clutter_speckle).astype(np.float32)
        along = np.linspace(-1, 1, geometry.n_lines)[None, :]
        uneven = sum(
            rng.uniform(0.2, 1.0) * np.sin(along * np.pi * rng.uniform(0.5, 5) + rng.uniform(0, 6.3)) for _ in range(4)
        )
        if self.bare:
            return clutter, np.zeros((1, geometry.n_lines), np.float32)
        return clutter, np.asarray(uneven, dtype=np.float32)

    def _prepare_noise(self) -> np.ndarray:
        growth = 2 * TGC_ATTENUATION * self.device.frequency * (self.geometry.ranges - 100) / 10
        return (10 ** ((self.device.noise + np.maximum(growth, -20)) / 10)).astype(np.float32)[:, None]


def _is_fluid(layer: Layer) -> bool:
    return layer.tissue == Tissue.FLUID


@dataclass(frozen=True)
class _TissueTables:
    """Acoustic properties indexed by tissue class, float32."""

    backscatter: np.ndarray
    impedance: np.ndarray
    attenuation: np.ndarray
    grain: np.ndarray
    dropout: np.ndarray


def _tissue_tables(rng: np.random.Generator) -> _TissueTables:
    """Tables of one case: patients differ by a few dB in every tissue."""
    size = 256  # cv2.LUT wants every value of a byte
    columns = np.zeros((5, size), dtype=np.float32)
    for tissue, a in ACOUSTICS.items():
        columns[:, int(tissue)] = (a.backscatter, a.impedance, a.attenuation, a.grain, a.dropout)
    columns[0] += rng.uniform(-2, 2, size=size).astype(np.float32)
    columns[1] *= rng.uniform(0.8, 1.2, size=size).astype(np.float32)
    return _TissueTables(*columns)


class _PointSpread:
    """Separable point-spread of pulse and beam: axial Gaussian, lateral Gaussian that widens off the focus.

    Its gain is set so that scatterers of unit power keep unit power at every depth, whatever the beam width and grid.
    """

    def __init__(self, device: Device, geometry: SectorGeometry) -> None:
        step = geometry.range_step
        self.axial_sigma = _rest(device.axial_fwhm / FWHM, AXIAL_SIGMA) / step
        width = device.lateral_fwhm * np.sqrt(
            1 + np.square((geometry.ranges - device.focus_depth) / device.depth_of_field)
        )
        lateral = np.sqrt(np.maximum(np.square(width / FWHM) - LATERAL_SIGMA**2, 0)) / geometry.line_pitch
        edges = np.linspace(0, geometry.n_range, _BANDS + 1).round().astype(int)
        self._bands = [
            (slice(a, b), max(float(lateral[a:b].mean()), 0.05), float(geometry.line_pitch[a:b].mean()))
            for a, b in itertools.pairwise(edges)
        ]
        self._gain = np.empty((geometry.n_range, 1, 1), np.float32)
        self._white_gain = np.empty_like(self._gain)
        for rows, sigma, pitch in self._bands:
            axial = _power_after_blur(self.axial_sigma, step, AXIAL_SIGMA)
            self._gain[rows] = 1 / np.sqrt(axial * _power_after_blur(sigma, pitch, LATERAL_SIGMA))
            white = _power_after_blur(self.axial_sigma, step, 0.0) * _power_after_blur(sigma, pitch, 0.0)
            self._white_gain[rows] = 1 / np.sqrt(white)
        # A wall is one coherent line, not scatterers: it must not gain from the normalisation.
        self.specular_weight = 1 / self._gain[:, :, 0]

    def blur(self, field: np.ndarray, white: bool = False) -> None:
        """Convolve (R, L, 2) in place; ``white`` when neighbouring samples are independent."""
        import cv2

        if self.axial_sigma > 0.05:
            field[:] = cv2.GaussianBlur(field, _kernel(0, self.axial_sigma), sigmaX=0.01, sigmaY=self.axial_sigma)
        for rows, sigma, _ in self._bands:
            field[rows] = cv2.GaussianBlur(field[rows], _kernel(sigma, 0), sigmaX=sigma, sigmaY=0.01)
        field *= self._white_gain if white else self._gain


def _rest(total: float, part: float) -> float:
    """Standard deviation that is missing when ``part`` is already there."""
    return float(np.sqrt(max(total**2 - part**2, 0.0)))


def _kernel(sigma_x: float, sigma_y: float) -> tuple[int, int]:
    return 2 * int(np.ceil(4 * sigma_x)) + 1, 2 * int(np.ceil(4 * sigma_y)) + 1


def _power_after_blur(sigma: float, step: float, texture_sigma: float) -> float:
    """Power left of a unit-power field with Gaussian correlation after a sampled Gaussian blur of ``sigma`` samples."""
    half = int(np.ceil(4 * sigma))
    offsets = np.arange(-half, half + 1)
    kernel = np.exp(-0.5 * np.square(offsets / max(sigma, 1e-3)))
    kernel /= kernel.sum()
    distance = (offsets[:, None] - offsets[None, :]) * step
    if texture_sigma > 0:
        correlation = np.exp(-np.square(distance / (2 * texture_sigma)))
    else:
        correlation = (distance == 0).astype(float)
    return float(kernel @ correlation @ kernel)


def _power_of(field: np.ndarray) -> np.ndarray:
    """Power (R, L) of a field (R, L, 2·looks), averaged over its looks as spatial compounding does."""
    power = np.square(field[..., 0])
    for channel in range(1, field.shape[-1]):
        power += np.square(field[..., channel])
    if field.shape[-1] > 2:
        power *= 2 / field.shape[-1]
    return power


def _from_db(level: np.ndarray) -> np.ndarray:
    """Decibels to amplitude."""
    return np.exp(level * np.float32(np.log(10) / 20), dtype=np.float32)


def _look_up(table: np.ndarray, tissue: np.ndarray) -> np.ndarray:
    """``table[tissue]`` as float32, several times faster for 8-bit indices."""
    import cv2

    return cv2.LUT(tissue, table)


def _post_filter(grey: np.ndarray, kind: str) -> np.ndarray:
    import cv2

    if kind == "median":
        return cv2.medianBlur(grey, 3)
    if kind == "smooth":
        return cv2.GaussianBlur(grey, (0, 0), sigmaX=0.7, sigmaY=1.1)
    if kind == "adaptive":
        return cv2.bilateralFilter(grey, 5, 40, 2.0)
    if kind == "sharpen":
        return cv2.addWeighted(grey, 1.4, cv2.GaussianBlur(grey, (0, 0), 1.6), -0.4, 0)
    return grey


def _tint_table(tint: str) -> np.ndarray | None:
    """(256, 3) uint8 RGB of a colour map, or None for grey frames."""
    strengths = {"cool": (0.90, 0.97, 1.06), "sepia": (1.06, 0.96, 0.80), "cyan": (0.72, 1.0, 1.02)}
    if tint == "grey":
        return None
    ramp = np.arange(256)[:, None] / 255
    curve = 255 * ramp ** (1 / np.asarray(strengths[tint]))
    return np.clip(curve + 0.5, 0, 255).astype(np.uint8)


def _colored(grey: np.ndarray, tint: np.ndarray) -> np.ndarray:
    import cv2

    return cv2.LUT(cv2.merge([grey, grey, grey]), tint[:, None, :])


def _jpeg_round_trip(frame: np.ndarray, quality: int) -> np.ndarray:
    import cv2

    if quality <= 0:
        return frame
    color = frame.ndim == 3
    encoded = cv2.imencode(".jpg", frame[..., ::-1] if color else frame, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    decoded = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR if color else cv2.IMREAD_GRAYSCALE))
    return np.ascontiguousarray(decoded[..., ::-1]) if color else decoded
