"""Echo formation: speckle statistics, point-spread, levels, motion, masks, overlays, devices, determinism."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from FetalEchoSegLib.phantom.devices import NEW_DEVICES, SAME_DEVICES, sample_device
from FetalEchoSegLib.phantom.echo import ACOUSTICS, FWHM, TGC_ATTENUATION, EchoRenderer, render_clip, render_frame
from FetalEchoSegLib.phantom.overlay import draw_overlay
from FetalEchoSegLib.phantom.raster import fill_centres, fill_touched, rasterise_labels
from FetalEchoSegLib.phantom.section import Layer, Placement, Tissue
from FetalEchoSegLib.phantom.sector import SectorGeometry

PLACEMENT = Placement(center=(0.0, 55.0), rotation=0.0)
# Speckle is measured with one look: compounding two makes it smoother on purpose.
DEVICE = replace(SAME_DEVICES[0], looks=1, dropout=0.0)


def ellipse(center, a, b, degrees=0.0, count=360):
    p = np.linspace(0, 2 * np.pi, count, endpoint=False)
    t = np.deg2rad(degrees)
    return np.stack([a * np.cos(p), b * np.sin(p)], axis=1) @ np.array(
        [[np.cos(t), np.sin(t)], [-np.sin(t), np.cos(t)]]
    ) + np.asarray(center)


def everywhere(tissue, label=None):
    """A layer that fills the whole fan without enclosing the centre of the transducer's arc."""
    t = np.linspace(0, 1, 200, endpoint=False)[:, None]
    corners = np.array([(-150.0, 85.0), (150.0, 85.0), (150.0, -200.0), (-150.0, -200.0), (-150.0, 85.0)])
    sides = [a + t * (b - a) for a, b in itertools.pairwise(corners)]
    return Layer("all", tissue, label, np.concatenate(sides))


class Stack:
    """A section made of given layers that moves rigidly by ``velocity`` mm per second."""

    def __init__(self, layers, velocity=(0.0, 0.0)):
        self._layers = layers
        self._velocity = np.asarray(velocity, float)

    def layers(self, time):
        return [replace(x, contour=x.contour + self._velocity * time) for x in self._layers]

    def displacement(self, points, time):
        return np.broadcast_to(self._velocity * time, points.shape)


def uniform(tissue=Tissue.LUNG, velocity=(0.0, 0.0)):
    return Stack([everywhere(tissue)], velocity)


def chest():
    return Stack(
        [
            Layer("skin", Tissue.SKIN, None, ellipse((0, 0), 27, 25)),
            Layer("thorax", Tissue.LUNG, 7, ellipse((0, 0), 25, 23)),
            Layer("spine", Tissue.BONE, None, ellipse((0, -21), 3, 2)),
            Layer("heart", Tissue.MYOCARDIUM, 5, ellipse((4, 1), 14, 11, 45)),
            Layer("left ventricle", Tissue.BLOOD, 2, ellipse((9, 2), 7, 4, 45)),
            Layer("leaflet", Tissue.VALVE, None, ellipse((5, -1), 0.3, 2)),
            Layer("hole", Tissue.SOFT_TISSUE, 0, ellipse((-15, 0), 2, 2)),
        ]
    )


def interior(image):
    """Rows and lines away from the borders of the polar grid and from the skin."""
    r, c = image.shape
    return image[r // 6 : -r // 12, c // 8 : -c // 8]


def full_width_at_half(correlation, step):
    """Width of a correlation curve that falls from 1 at index 0, in units of step, both sides together."""
    k = int(np.argmax(correlation < 0.5))
    before, after = correlation[k - 1], correlation[k]
    return 2 * step * (k - 1 + (before - 0.5) / (before - after))


@pytest.fixture(scope="module")
def uniform_powers():
    return [EchoRenderer(uniform(), PLACEMENT, DEVICE, seed, bare=True).power(0.0) for seed in range(6)]


def test_uniform_tissue_has_a_rayleigh_envelope(uniform_powers):
    ratios = []
    for power in uniform_powers:
        envelope = interior(np.sqrt(power))
        # Attenuation is a slow trend along the beam, not speckle.
        envelope = envelope / envelope.mean(axis=1, keepdims=True)
        ratios.append(envelope.mean() / envelope.std())
    assert np.mean(ratios) == pytest.approx(1.91, abs=0.05)


def test_compounding_two_looks_smooths_speckle():
    power = EchoRenderer(uniform(), PLACEMENT, replace(DEVICE, looks=2), 0, bare=True).power(0.0)
    flat = interior(power / power.mean(axis=1, keepdims=True))
    assert flat.mean() / flat.std() == pytest.approx(np.sqrt(2), abs=0.1)  # 1 for one look


def test_speckle_is_as_long_as_the_pulse_and_as_wide_as_the_beam():
    device = replace(DEVICE, depth_of_field=1e6, axial_fwhm=0.5, lateral_fwhm=1.2)
    axial, lateral, pitch, step = [], [], 0.0, 0.0
    for seed in range(6):
        renderer = EchoRenderer(uniform(), PLACEMENT, device, seed, bare=True)
        power = renderer.power(0.0)
        power = power / power.mean(axis=1, keepdims=True) - 1
        geometry = renderer.geometry
        rows = slice(geometry.n_range // 2 - 60, geometry.n_range // 2 + 60)
        pitch, step = float(geometry.line_pitch[rows].mean()), geometry.range_step
        part = power[rows]
        variance = np.mean(part**2)
        axial.append([np.mean(part[:100] * part[k : 100 + k]) / variance for k in range(12)])
        lateral.append([np.mean(part[:, :200] * part[:, k : 200 + k]) / variance for k in range(12)])
    # The intensity correlation of a Gaussian point-spread is as wide as the point-spread itself.
    assert full_width_at_half(np.mean(axial, axis=0), step) == pytest.approx(0.5, rel=0.12)
    assert full_width_at_half(np.mean(lateral, axis=0), pitch) == pytest.approx(1.2, rel=0.12)


def test_the_beam_widens_away_from_its_focus():
    renderer = EchoRenderer(uniform(), PLACEMENT, replace(DEVICE, focus_depth=40.0, depth_of_field=12.0), 1, bare=True)
    power = renderer.power(0.0)
    power = power / power.mean(axis=1, keepdims=True) - 1

    def neighbour_correlation_mm(depth):
        row = int((depth - renderer.geometry.range_start) / renderer.geometry.range_step)
        part = power[row - 40 : row + 40]
        curve = np.array([np.mean(part[:, :200] * part[:, k : 200 + k]) for k in range(14)]) / np.mean(part**2)
        return full_width_at_half(curve, float(renderer.geometry.line_pitch[row]))

    assert neighbour_correlation_mm(75) > 1.8 * neighbour_correlation_mm(40)


def test_speckle_level_does_not_depend_on_beam_width_or_depth():
    device = replace(DEVICE, depth_of_field=15.0)
    tissue = ACOUSTICS[Tissue.LUNG]
    renderer = EchoRenderer(uniform(), PLACEMENT, device, 3, bare=True)
    power = renderer.power(0.0)
    depth_cm = (renderer.geometry.ranges - renderer.geometry.range_start) / 10
    slope = 2 * device.frequency * (TGC_ATTENUATION - tissue.attenuation)
    level = 10 * np.log10(power.mean(axis=1)) - slope * depth_cm
    level = level[60:-64]
    level = level[: level.size // 4 * 4].reshape(-1, 4).mean(axis=1)
    assert np.ptp(level) < 3.0
    assert level.mean() == pytest.approx(tissue.backscatter, abs=2.5)  # patients differ by up to 2 dB


def test_attenuation_beyond_the_compensation_is_a_slope_along_depth(uniform_powers):
    device = replace(DEVICE, tgc_error=-1.0)
    levels = []
    for seed in range(4):
        renderer = EchoRenderer(uniform(), PLACEMENT, device, seed, bare=True)
        levels.append(10 * np.log10(renderer.power(0.0).mean(axis=1)))
    rows = slice(80, -60)
    slope = np.polyfit(renderer.geometry.ranges[rows] / 10, np.mean(levels, axis=0)[rows], 1)[0]
    expected = 2 * device.frequency * (TGC_ATTENUATION - ACOUSTICS[Tissue.LUNG].attenuation) - 1.0
    assert slope == pytest.approx(expected, abs=0.25)


def test_bone_casts_a_shadow_of_15_to_25_dB():
    bone = Layer("bone", Tissue.BONE, None, ellipse((0, 12), 6, 1.2))
    background = everywhere(Tissue.LUNG)
    for seed in range(4):
        renderer = EchoRenderer(Stack([background, bone]), PLACEMENT, DEVICE, seed, bare=True)
        power = renderer.power(0.0)
        geometry = renderer.geometry
        row = int((55 - geometry.range_start) / geometry.range_step)
        middle = geometry.n_lines // 2
        below = power[row - 40 : row + 40, middle - 4 : middle + 4].mean()
        beside = power[row - 40 : row + 40, middle + 60 : middle + 90].mean()
        assert 15 <= 10 * np.log10(beside / below) <= 25


def test_fluid_is_followed_by_enhancement():
    cyst = Layer("cyst", Tissue.FLUID, None, ellipse((0, 8), 8, 8))
    background = everywhere(Tissue.LUNG)
    renderer = EchoRenderer(Stack([background, cyst]), PLACEMENT, DEVICE, 0, bare=True)
    power = renderer.power(0.0)
    geometry = renderer.geometry
    row = int((66 - geometry.range_start) / geometry.range_step)
    middle = geometry.n_lines // 2
    behind = power[row - 40 : row + 40, middle - 8 : middle + 8].mean()
    beside = power[row - 40 : row + 40, middle + 60 : middle + 90].mean()
    assert 3 < 10 * np.log10(behind / beside) < 12


def test_blood_is_far_darker_than_muscle_and_muscle_darker_than_lung():
    levels = {}
    for tissue in (Tissue.BLOOD, Tissue.MYOCARDIUM, Tissue.LUNG):
        powers = [
            EchoRenderer(uniform(tissue), PLACEMENT, DEVICE, s, bare=True).power(0.0)[90:160].mean() for s in range(4)
        ]
        levels[tissue] = 10 * np.log10(np.mean(powers))
    assert levels[Tissue.BLOOD] < levels[Tissue.MYOCARDIUM] - 20
    assert levels[Tissue.MYOCARDIUM] < levels[Tissue.LUNG] - 4


def test_walls_across_the_beam_are_bright_and_walls_along_it_drop_out():
    device = replace(DEVICE, dropout=0.9)
    blood = everywhere(Tissue.BLOOD)

    def wall_power(degrees):
        wall = Layer("wall", Tissue.VESSEL_WALL, None, ellipse((0, 0), 12, 0.4, degrees))
        powers = []
        for seed in range(4):
            renderer = EchoRenderer(Stack([blood, wall]), PLACEMENT, device, seed, bare=True)
            grid = renderer.geometry.to_grid(PLACEMENT.to_probe(ellipse((0, 0), 8, 0.01, degrees, 60), 0.0)).round()
            index = grid.astype(int)
            powers.append(renderer.power(0.0)[index[:, 1], index[:, 0]].mean())
        return 10 * np.log10(np.mean(powers))

    assert wall_power(0) > wall_power(90) + 8


def test_speckle_travels_with_the_tissue():
    renderer = EchoRenderer(uniform(velocity=(0.0, 10.0)), PLACEMENT, replace(DEVICE, decorrelation=0.0), 5, bare=True)
    geometry = renderer.geometry
    # +A is toward the probe: after 0.1 s the tissue is 1 mm shallower.
    middle = slice(geometry.n_lines // 2 - 12, geometry.n_lines // 2 + 12)
    first, second = renderer.power(0.0)[:, middle], renderer.power(0.1)[:, middle]
    first, second = np.sqrt(first), np.sqrt(second)
    rows = slice(250, 450)
    shifts = np.arange(-20, 21)
    scores = [np.corrcoef(first[rows].ravel(), second[rows.start + k : rows.stop + k].ravel())[0, 1] for k in shifts]
    best = int(np.argmax(scores))
    assert shifts[best] * geometry.range_step == pytest.approx(-1.0, abs=geometry.range_step)
    assert scores[best] > 0.9


def test_speckle_travels_sideways_across_the_scan_lines():
    device = replace(DEVICE, decorrelation=0.0, lateral_fwhm=0.9)
    renderer = EchoRenderer(uniform(velocity=(10.0, 0.0)), PLACEMENT, device, 5, bare=True)
    geometry = renderer.geometry
    first, second = np.sqrt(renderer.power(0.0)), np.sqrt(renderer.power(0.1))
    # Where material of each sample has gone: 1 mm to the right.
    import cv2

    grid = geometry.to_grid(geometry.polar_points() + np.array([1.0, 0.0])).astype(np.float32)
    moved = cv2.remap(second, grid[..., 0], grid[..., 1], cv2.INTER_CUBIC)
    middle = (slice(250, 450), slice(geometry.n_lines // 2 - 40, geometry.n_lines // 2 + 40))
    assert np.corrcoef(first[middle].ravel(), moved[middle].ravel())[0, 1] > 0.9
    assert np.corrcoef(first[middle].ravel(), second[middle].ravel())[0, 1] < 0.3


def test_speckle_does_not_flicker_at_sub_sample_shifts():
    renderer = EchoRenderer(uniform(velocity=(0.0, 1.0)), PLACEMENT, replace(DEVICE, decorrelation=0.0), 5, bare=True)
    contrast = []
    for time in np.linspace(0, 0.2, 9):
        envelope = interior(np.sqrt(renderer.power(float(time))))
        contrast.append(envelope.std() / envelope.mean())
    assert np.ptp(contrast) < 0.02 * np.mean(contrast)


def test_speckle_decorrelates_slowly_when_nothing_moves():
    renderer = EchoRenderer(uniform(), PLACEMENT, DEVICE, 5, bare=True)
    first = interior(renderer.power(0.0)).ravel()
    near = np.corrcoef(first, interior(renderer.power(0.03)).ravel())[0, 1]
    far = np.corrcoef(first, interior(renderer.power(0.4)).ravel())[0, 1]
    assert near > 0.97
    assert far < 0.5


@pytest.mark.parametrize(("a", "b"), [(5.0, 5.0), (10.0, 6.0), (40.0, 25.0), (110.0, 90.0)])
def test_area_of_a_mask_equals_the_analytic_ellipse(a, b):
    rng = np.random.default_rng(0)
    areas = []
    for degrees in rng.uniform(0, 180, size=60):
        image = np.zeros((300, 300), np.uint8)
        fill_centres(image, ellipse(rng.uniform(149, 151, size=2), a, b, degrees), 1)
        areas.append(int(image.sum()))
    assert np.mean(areas) == pytest.approx(np.pi * a * b, rel=0.005)


def test_a_pixel_belongs_to_a_contour_when_its_centre_does():
    contour = ellipse((20.3, 17.8), 9.2, 6.1, 30, count=2000)
    image = np.zeros((40, 44), np.uint8)
    fill_centres(image, contour, 3)
    y, x = np.mgrid[:40, :44]
    offset = np.stack([x - 20.3, y - 17.8], axis=-1)
    c, s = np.cos(np.deg2rad(30)), np.sin(np.deg2rad(30))
    inside = ((offset @ (c, s)) / 9.2) ** 2 + ((offset @ (-s, c)) / 6.1) ** 2 <= 1
    np.testing.assert_array_equal(image == 3, inside)


@pytest.mark.parametrize("fill", [fill_centres, fill_touched])
def test_a_contour_partly_or_wholly_outside_the_image_is_clipped(fill):
    image = np.zeros((20, 30), np.uint8)
    fill(image, ellipse((0, 10), 5, 5), 1)
    assert image[10, :5].all()
    assert not image[:, 6:].any()
    image[:] = 0
    fill(image, ellipse((-50, 10), 5, 5), 1)
    fill(image, ellipse((80, 10), 5, 5), 1)
    fill(image, ellipse((10, -40), 5, 5), 1)
    assert not image.any()
    fill(image, ellipse((15, 10), 500, 500), 1)
    assert image.all()


def test_a_leaflet_thinner_than_a_scan_line_stays_one_piece():
    import cv2

    tissue = np.zeros((200, 60), np.uint8)
    fill_touched(tissue, ellipse((30.4, 100), 0.2, 40, 10), 1)
    assert cv2.connectedComponents(tissue)[0] == 2


def test_masks_paint_in_order_keep_where_unlabelled_and_erase_with_zero():
    geometry = SectorGeometry.plan(DEVICE, PLACEMENT)
    mask = rasterise_labels(chest().layers(0.0), PLACEMENT, geometry, 0.0)
    assert set(np.unique(mask)) == {0, 2, 5, 7}

    def at(point):
        column, row = geometry.to_pixels(PLACEMENT.to_probe(np.array(point), 0.0)).round().astype(int)
        return mask[row, column]

    assert at((9, 2)) == 2
    assert at((0, -21)) == 7  # bone without a label leaves the thorax
    assert at((-15, 0)) == 0  # the hole erases it
    pixel = geometry.spacing**2
    assert (mask == 2).sum() * pixel == pytest.approx(np.pi * 7 * 4, rel=0.01)
    assert np.isin(mask, [2, 5]).sum() * pixel == pytest.approx(np.pi * 14 * 11, rel=0.01)


def test_nothing_is_labelled_outside_the_fan():
    geometry = SectorGeometry.plan(replace(DEVICE, crop=1.0), PLACEMENT)
    mask = rasterise_labels([everywhere(Tissue.LUNG, 7)], PLACEMENT, geometry, 0.0)
    np.testing.assert_array_equal(mask == 7, geometry.visible)
    assert 0.3 < geometry.visible.mean() < 0.8


def test_probe_polar_and_pixel_coordinates_agree():
    geometry = SectorGeometry.plan(DEVICE, PLACEMENT)
    points = np.array([[0.0, 0.0], [10.0, 40.0], [-20.0, 70.0]])
    polar = geometry.to_polar(points)
    np.testing.assert_allclose(geometry.from_polar(polar[:, 0], polar[:, 1]), points, atol=1e-9)
    assert polar[0, 0] == pytest.approx(0.0)
    assert polar[1, 0] == pytest.approx(np.hypot(10, 40 + DEVICE.radius) - DEVICE.radius)
    columns_rows = geometry.to_pixels(points)
    back = columns_rows * geometry.spacing + np.array(geometry.origin)
    np.testing.assert_allclose(back, points, atol=1e-9)


def test_scan_conversion_puts_an_echo_where_it_came_from():
    geometry = SectorGeometry.plan(DEVICE, PLACEMENT)
    polar = np.zeros((geometry.n_range, geometry.n_lines), np.float32)
    row, line = geometry.n_range // 2, geometry.n_lines // 3
    polar[row - 3 : row + 4, line - 1 : line + 2] = 1.0
    image = geometry.scan_convert(polar)
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    found = np.array([(x * image).sum(), (y * image).sum()]) / image.sum()
    expected = geometry.to_pixels(geometry.from_polar(geometry.ranges[row], geometry.angles[line]))
    np.testing.assert_allclose(found, expected, atol=0.5)


def test_image_and_mask_show_the_same_ventricle():
    frame, labels = render_frame(chest(), PLACEMENT, replace(DEVICE, overlay="minimal"), 0.0, 11)
    import cv2

    core = cv2.erode((labels == 2).astype(np.uint8), np.ones((9, 9))) > 0
    ring = (cv2.dilate((labels == 2).astype(np.uint8), np.ones((13, 13))) > 0) & (labels == 5)
    assert frame[core].mean() < 0.6 * frame[ring].mean()


@pytest.mark.parametrize("device", [SAME_DEVICES[0], SAME_DEVICES[2]], ids=lambda d: d.name)
def test_the_same_seed_gives_the_same_bytes(device):
    times = [0.0, 0.04, 0.08]
    first = render_clip(chest(), PLACEMENT, device, times, seed=4, image_shape=(256, 256))
    second = render_clip(chest(), PLACEMENT, device, times, seed=4, image_shape=(256, 256))
    assert first.frames.tobytes() == second.frames.tobytes()
    assert first.labels.tobytes() == second.labels.tobytes()
    other = render_clip(chest(), PLACEMENT, device, times[:1], seed=5, image_shape=(256, 256))
    assert other.frames[0].tobytes() != first.frames[0].tobytes()


def test_bytes_do_not_depend_on_the_number_of_threads():
    import cv2

    before = cv2.getNumThreads()
    renderer = EchoRenderer(chest(), PLACEMENT, SAME_DEVICES[1], 4, (256, 256))
    try:
        cv2.setNumThreads(1)
        alone = [frame.tobytes() for frame, _ in renderer.frames([0.0, 0.04, 0.08], workers=1)]
        cv2.setNumThreads(4)
        together = [frame.tobytes() for frame, _ in renderer.frames([0.0, 0.04, 0.08], workers=4)]
    finally:
        cv2.setNumThreads(before)
    assert alone == together


def test_a_frame_alone_equals_the_frame_in_its_clip():
    clip = render_clip(chest(), PLACEMENT, DEVICE, [0.0, 0.05, 0.1], seed=9, image_shape=(256, 256))
    frame, labels = render_frame(chest(), PLACEMENT, DEVICE, 0.05, seed=9, image_shape=(256, 256))
    assert frame.tobytes() == clip.frames[1].tobytes()
    assert labels.tobytes() == clip.labels[1].tobytes()


@pytest.mark.parametrize("device", SAME_DEVICES + NEW_DEVICES, ids=lambda d: d.name)
def test_every_device_renders_frames_masks_and_spacing(device):
    clip = render_clip(chest(), PLACEMENT, device, [0.0], seed=1, image_shape=(200, 240))
    assert clip.frames.dtype == clip.labels.dtype == np.uint8
    assert clip.frames.shape == ((1, 200, 240) if device.tint == "grey" else (1, 200, 240, 3))
    assert clip.labels.shape == (1, 200, 240)
    assert clip.spacing[0] == clip.spacing[1]
    thorax = np.isin(clip.labels, [2, 5, 7]).sum() * clip.spacing[0] * clip.spacing[1]
    assert thorax == pytest.approx(np.pi * 25 * 23 - np.pi * 4, rel=0.03)  # wholly in view, in mm²
    assert 25 < clip.frames.mean() < 140


def test_overlays_do_not_know_what_is_shown():
    # Blank frames differ from the overlay alone by the image only; two different hearts share every graphic.
    device = replace(DEVICE, overlay="dense", jpeg_quality=0)
    empty = Stack([everywhere(Tissue.BLOOD)])
    overlay = draw_overlay(device, SectorGeometry.plan(device, PLACEMENT), seed=3)
    for section in (chest(), empty):
        frame, _ = render_frame(section, PLACEMENT, device, 0.0, seed=3)
        outside = ~SectorGeometry.plan(device, PLACEMENT).visible
        np.testing.assert_array_equal(frame[outside], overlay.color.max(axis=-1)[outside])
        graphics = overlay.opaque
        np.testing.assert_array_equal(frame[graphics], overlay.color.max(axis=-1)[graphics])
    assert overlay.color.any()
    again = draw_overlay(device, SectorGeometry.plan(device, PLACEMENT), seed=4)
    assert not np.array_equal(again.color, overlay.color)


def test_held_out_devices_share_no_combination_with_the_others():
    same = {d.combination for d in SAME_DEVICES}
    new = {d.combination for d in NEW_DEVICES}
    assert len(same) == len(SAME_DEVICES)
    assert len(new) == len(NEW_DEVICES)
    assert not same & new
    known = {(d.overlay, d.post_filter, d.tint) for d in SAME_DEVICES}
    assert not known & {(d.overlay, d.post_filter, d.tint) for d in NEW_DEVICES}
    assert all(abs(a.dynamic_range - b.dynamic_range) >= 4 for a in SAME_DEVICES for b in NEW_DEVICES)


def test_sampled_devices_stay_in_their_domain():
    same = {d.combination for d in SAME_DEVICES}
    new = {d.combination for d in NEW_DEVICES}
    assert {sample_device(s).combination for s in range(60)} == same
    assert {sample_device(s, held_out=True).combination for s in range(60)} == new
    assert sample_device(7) == sample_device(7)
    assert sample_device(7) != sample_device(8)


def test_held_out_devices_look_different():
    def histogram(device):
        renderer = EchoRenderer(chest(), PLACEMENT, device, 2, (200, 200))
        frame = renderer.render(0.0)[0]
        grey = frame if frame.ndim == 2 else frame.mean(axis=-1)
        return np.histogram(grey[renderer.geometry.visible], bins=32, range=(0, 256), density=True)[0] * 8

    known = [histogram(d) for d in SAME_DEVICES]
    for device in NEW_DEVICES:
        assert min(np.abs(histogram(device) - k).sum() / 2 for k in known) > 0.08


def test_psf_widths_are_given_as_full_width_at_half_maximum():
    assert pytest.approx(2 * np.sqrt(2 * np.log(2)), abs=1e-4) == FWHM
