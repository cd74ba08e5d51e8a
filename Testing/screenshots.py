"""The README's pictures, made again: ``python Testing/screenshots.py`` writes Resources/Screenshots/*.jpg.

overview.jpg  a synthetic clip of each view, and what the demo model finds in it
phantom.jpg   one example of each condition, with a healthy heart beside it

It also writes the pictures of the two samples, FetalEchoSeg/Resources/Icons/Sample*.png.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from FetalEchoSegLib.anatomy import Condition, Structure, View
from FetalEchoSegLib.bundle import DEFAULT_BUNDLE, find_bundle
from FetalEchoSegLib.output_files import write_bytes
from FetalEchoSegLib.overlay_pictures import overlay
from FetalEchoSegLib.phantom.clip import make_named_clip
from FetalEchoSegLib.scene.sample_data import SAMPLES
from FetalEchoSegLib.segmentation import Segmenter
from PIL import Image, ImageDraw, ImageFont

SCREENSHOTS = Path(__file__).resolve().parents[1] / "Resources" / "Screenshots"
ICONS = SCREENSHOTS.parents[1] / "FetalEchoSeg" / "Resources" / "Icons"
TILE, GAP, LINE = 340, 6, 26
EXAMPLES = (
    (View.FOUR_CHAMBER, None),
    (View.FOUR_CHAMBER, Condition.VSD),
    (View.FOUR_CHAMBER, Condition.AV_VALVE_STENOSIS),
    (View.LVOT, Condition.AORTIC_VALVE_STENOSIS),
    (View.THREE_VESSEL_TRACHEA, Condition.AORTIC_HYPOPLASIA),
    (View.RVOT, Condition.DORV),
    (View.RVOT, Condition.PULMONARY_VALVE_STENOSIS),
    (View.THREE_VESSEL_TRACHEA, Condition.RIGHT_AORTIC_ARCH),
)


def overview() -> Image.Image:
    segmenter = Segmenter(find_bundle(DEFAULT_BUNDLE), "cpu", "fp32")
    above, below, found = [], [], set()
    for view in View:
        cine = make_named_clip(view, seed=30 + view, frames=12, frame_rate=30).cine
        prediction = segmenter.segment(without_view(cine))
        probability = prediction.view_probabilities[prediction.view.index]
        frame, labels = cine.frame(4), prediction.labels[4]
        above.append((rgb(frame), view.title.split(" (")[0]))
        below.append((overlay(frame, labels, 0.45), f"found as {prediction.view.short}, probability {probability:.2f}"))
        found |= {Structure(int(value)) for value in np.unique(labels) if value}
    sheet = grid([*above, *below], columns=4)
    return with_legend(sheet, sorted(found), "Synthetic phantom. Demo model, trained on synthetic data only.")


def write_sample_pictures() -> None:
    """260 x 280 pixels, as the Sample Data module shows them."""
    for view, seed, name in SAMPLES.values():
        frame = make_named_clip(view, seed=seed, frames=12).cine.frame(0)
        picture = Image.fromarray(frame).convert("L").resize((280, 280)).crop((10, 0, 270, 280))
        data = io.BytesIO()
        picture.quantize(64).save(data, "png", optimize=True)
        write_bytes(ICONS / name, data.getvalue())


def without_view(cine):
    cine.view = None
    return cine


def phantom() -> Image.Image:
    tiles = []
    for number, (view, condition) in enumerate(EXAMPLES):
        made = make_named_clip(
            view, conditions=[] if condition is None else [condition], seed=50 + number, frames=8, frame_rate=20
        )
        text = f"{view.short}: {'no condition' if condition is None else condition.title}"
        tiles.append((rgb(made.cine.frame(3)), text))
    return grid(tiles, columns=4)


def rgb(frame: np.ndarray) -> np.ndarray:
    return np.repeat(frame[..., np.newaxis], 3, axis=2) if frame.ndim == 2 else frame


def grid(tiles: list[tuple[np.ndarray, str]], columns: int) -> Image.Image:
    rows = -(-len(tiles) // columns)
    sheet = Image.new("RGB", (columns * (TILE + GAP) + GAP, rows * (TILE + LINE + GAP) + GAP), (16, 18, 22))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for number, (picture, text) in enumerate(tiles):
        x = GAP + (number % columns) * (TILE + GAP)
        y = GAP + (number // columns) * (TILE + LINE + GAP)
        sheet.paste(Image.fromarray(picture).resize((TILE, TILE), Image.Resampling.LANCZOS), (x, y))
        draw.text((x + 2, y + TILE + 4), text, fill=(232, 234, 238), font=font)
    return sheet


def with_legend(sheet: Image.Image, structures: list[Structure], notice: str) -> Image.Image:
    font = ImageFont.load_default(14)
    whole = Image.new("RGB", (sheet.width, sheet.height + 54), (16, 18, 22))
    whole.paste(sheet, (0, 0))
    draw, x = ImageDraw.Draw(whole), GAP
    for structure in structures:
        draw.rounded_rectangle((x, sheet.height + 6, x + 13, sheet.height + 19), radius=3, fill=structure.info.color)
        draw.text((x + 18, sheet.height + 3), structure.info.short, fill=(232, 234, 238), font=font)
        x += 18 + int(font.getlength(structure.info.short)) + 18
    draw.text((GAP, sheet.height + 28), notice, fill=(150, 155, 165), font=font)
    return whole


def main() -> None:
    for name, make in (("overview", overview), ("phantom", phantom)):
        data = io.BytesIO()
        make().save(data, "JPEG", quality=87, optimize=True)
        write_bytes(SCREENSHOTS / f"{name}.jpg", data.getvalue())
    write_sample_pictures()


if __name__ == "__main__":
    main()
