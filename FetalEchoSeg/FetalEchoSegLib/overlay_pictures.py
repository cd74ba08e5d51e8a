"""Pictures of a segmented clip: overlay, montage, animation. They show the frames; `charts` shows the numbers."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .anatomy import Structure, color_table
from .cine import Cine
from .errors import InvalidRequest, MissingDependency
from .metrics import structure_surfaces
from .output_files import replacing, write_bytes
from .prediction import Prediction

if TYPE_CHECKING:
    from PIL import Image, ImageFont

_PAPER, _INK, _FAINT = (16, 18, 22), (232, 234, 238), (150, 155, 165)
_PLAYBACK_HZ = 25.0  # fast enough for a fetal heart at 110 to 180 beats per minute


def overlay(frame: np.ndarray, labels: np.ndarray, opacity: float = 0.35, outline: bool = True) -> np.ndarray:
    """Frame with its structures in colour, (H, W, 3) uint8.

    frame    (H, W) or (H, W, 3) uint8
    labels   (H, W) uint8, structure ids
    opacity  of the fill, 0 to 1; the large surroundings (whole heart, thorax) get a third of it, so that the tissue
             stays readable; the outline is drawn almost opaque on the structures' own edge pixels
    """
    rgb = np.repeat(frame[..., np.newaxis], 3, axis=2) if frame.ndim == 2 else frame
    if labels.shape != rgb.shape[:2]:
        raise ValueError(f"frame {rgb.shape[:2]} and labels {labels.shape} differ in size")
    fill = np.full(15, opacity, dtype=np.float32)
    fill[0] = 0
    fill[[Structure.WHOLE_HEART, Structure.THORAX]] = opacity / 3
    alpha = fill[labels]
    if outline:
        alpha = np.where(structure_surfaces(labels) > 0, np.float32(0.85), alpha)
    alpha = alpha[..., np.newaxis]
    return (rgb * (1 - alpha) + color_table()[labels] * alpha + 0.5).astype(np.uint8)


def structures_present(prediction: Prediction) -> tuple[Structure, ...]:
    """Structures with at least one pixel in any segmented frame, in id order."""
    present = np.zeros(15, dtype=bool)
    for k in np.flatnonzero(prediction.done):  # frame by frame: counting needs eight bytes per pixel
        present |= np.bincount(prediction.labels[k].ravel(), minlength=15) > 0
    return tuple(s for s in Structure if present[s])


def montage(
    cine: Cine,
    prediction: Prediction,
    columns: int = 4,
    tiles: int = 8,
    tile_width: int = 320,
    opacity: float = 0.35,
) -> np.ndarray:
    """Evenly spaced segmented frames with their times, a legend, and the model's name and notice; RGB uint8.

    A still shows the plain image beside its overlay. Pixels are drawn in their physical proportion when calibrated.
    """
    from PIL import Image, ImageDraw

    done = np.flatnonzero(prediction.done)
    if not done.size:
        raise InvalidRequest("No frame was segmented: there is nothing to show.")
    chosen = done[np.unique(np.linspace(0, done.size - 1, min(tiles, done.size)).round().astype(int))]
    size = tile_size(cine, tile_width)
    pictures = [(_tile(cine, prediction, int(k), size, opacity), _frame_text(cine, int(k))) for k in chosen]
    if len(pictures) == 1:
        pictures.insert(0, (_tile(cine, None, int(chosen[0]), size, opacity), "image"))

    gap, caption, font, small = 8, 24, _font(15), _font(13)
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    width = max(480, columns * (size[0] + gap) + gap)
    legend = _legend_lines(structures_present(prediction), width - 2 * gap, font)
    notice = _wrap(model_line(prediction), width - 2 * gap, small)
    height = rows * (size[1] + caption + gap) + gap + 26 * len(legend) + 20 * len(notice) + gap
    sheet = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for k, (picture, text) in enumerate(pictures):
        x = gap + (k % columns) * (size[0] + gap)
        y = gap + (k // columns) * (size[1] + caption + gap)
        sheet.paste(picture, (x, y))
        draw.text((x, y + size[1] + 3), text, fill=_INK, font=font)
    y = gap + rows * (size[1] + caption + gap)
    for line in legend:
        for structure, x in line:
            draw.rounded_rectangle((gap + x, y + 4, gap + x + 14, y + 18), radius=3, fill=structure.info.color)
            draw.text((gap + x + 20, y + 2), structure.info.title, fill=_INK, font=font)
        y += 26
    for text in notice:
        draw.text((gap, y + 2), text, fill=_FAINT, font=small)
        y += 20
    return np.asarray(sheet)


def animation_frames(cine: Cine, prediction: Prediction, most: int = 60) -> list[int]:
    """Segmented frames to play: in steps of about 1/25 s from the first one on, ``most`` of them.

    The beginning at the clip's own speed, rather than the whole clip in a few pictures: the beat stays visible.
    """
    done = [int(k) for k in np.flatnonzero(prediction.done)]
    step = max(1, round((cine.frame_rate or 0.0) / _PLAYBACK_HZ))
    return done[::step][:most]


def animation(
    cine: Cine,
    prediction: Prediction,
    kind: str = "webp",
    width: int = 480,
    most: int = 60,
    most_bytes: int = 3_000_000,
    opacity: float = 0.35,
) -> bytes:
    """Looping overlay animation at the clip's own speed as the bytes of a file.

    kind        "webp" (small), "gif" (plays anywhere, 256 colours), "png" (exact) or "mp4" (needs PyAV)
    width       in pixels, never more than the clip's; made smaller until the file has at most ``most_bytes``
    Raises InvalidRequest for another kind or when nothing was segmented, MissingDependency for mp4 without PyAV.
    """
    encode = {"webp": _encode_image, "gif": _encode_image, "png": _encode_image, "mp4": _encode_mp4}.get(kind)
    if encode is None:
        raise InvalidRequest(f"Cannot write an animation as '{kind}': choose webp, gif, png or mp4.")
    frames = animation_frames(cine, prediction, most)
    if not frames:
        raise InvalidRequest("No frame was segmented: there is nothing to show.")
    durations = _durations(cine, frames)
    width = max(96, min(width, cine.image_shape[1]))
    while True:
        size = tile_size(cine, width)
        text = model_line(prediction)
        pictures = [_captioned(_tile(cine, prediction, k, size, opacity), [_frame_text(cine, k), text]) for k in frames]
        data = encode(pictures, durations, kind)
        if len(data) <= most_bytes or width <= 96:
            return data
        width = max(96, int(width * max(0.5, 0.95 * (most_bytes / len(data)) ** 0.5)))


def write_animation(path: Path | str, cine: Cine, prediction: Prediction, **options: Any) -> None:
    """Write ``animation`` (its options) in the format of the suffix; also raises UnwritableOutput."""
    path = Path(path)
    write_bytes(path, animation(cine, prediction, kind=path.suffix.lstrip(".").lower(), **options))


def write_picture(path: Path | str, picture: np.ndarray) -> None:
    """Write an (H, W, 3) uint8 picture in the format of the suffix; raises UnwritableOutput."""
    from PIL import Image

    with replacing(path) as temporary:
        Image.fromarray(picture).save(temporary)


def encode_picture(picture: np.ndarray, kind: str = "webp", quality: int = 88) -> bytes:
    """An (H, W, 3) uint8 picture as the bytes of a WebP, JPEG or PNG file."""
    from PIL import Image

    data = io.BytesIO()
    Image.fromarray(picture).save(data, format=kind.upper(), quality=quality)
    return data.getvalue()


def model_line(prediction: Prediction) -> str:
    """Which model made it and what must be said about that model, in one line."""
    return f"{prediction.bundle}. {prediction.bundle.notice}".strip()


def tile_size(cine: Cine, width: int) -> tuple[int, int]:
    """(width, height) in pixels at which a frame has its physical proportion, as far as that is known.

    No tile is taller than twice ``width``: a column of pixels stays a column, not a tower.
    """
    height, columns = cine.image_shape
    aspect = 1.0 if cine.spacing is None else cine.spacing[0] / cine.spacing[1]
    ratio = height * aspect / columns
    return max(2, round(width * min(1.0, 2.0 / ratio))), max(2, round(width * min(2.0, ratio)))


def _tile(cine: Cine, prediction: Prediction | None, index: int, size: tuple[int, int], opacity: float) -> Image.Image:
    """One frame at ``size`` (width, height), with its structures unless ``prediction`` is None."""
    from PIL import Image

    frame = Image.fromarray(cine.frame(index))
    labels = None if prediction is None else Image.fromarray(prediction.labels[index])
    # A frame much larger than its tile is reduced first: 8000 x 8000 must not cost gigabytes.
    before = (min(frame.width, 2 * size[0]), min(frame.height, 2 * size[1]))
    if before != frame.size:
        frame = frame.resize(before, Image.Resampling.BOX)
        labels = labels and labels.resize(before, Image.Resampling.NEAREST)
    pixels = np.asarray(frame)
    picture = Image.fromarray(overlay(pixels, np.asarray(labels), opacity)) if labels else frame.convert("RGB")
    return picture if picture.size == size else picture.resize(size, Image.Resampling.LANCZOS)


def _captioned(picture: Image.Image, paragraphs: Sequence[str]) -> Image.Image:
    """The picture with text below it: a file travels without the report around it."""
    from PIL import Image, ImageDraw

    font = _font(12)
    lines = [line for text in paragraphs for line in _wrap(text, max(picture.width - 8, 60), font)]
    sheet = Image.new("RGB", (picture.width, picture.height + 16 * len(lines) + 6), _PAPER)
    sheet.paste(picture, (0, 0))
    draw = ImageDraw.Draw(sheet)
    for number, line in enumerate(lines):
        draw.text((4, picture.height + 3 + 16 * number), line, fill=_FAINT if number else _INK, font=font)
    return sheet


def _frame_text(cine: Cine, index: int) -> str:
    text = f"frame {index}"
    return f"{text} · {cine.times[index]:.3f} s" if cine.has_known_times and len(cine) > 1 else text


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _legend_lines(
    structures: Sequence[Structure], width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> list[list[tuple[Structure, int]]]:
    """Legend entries with their x, broken into lines."""
    lines: list[list[tuple[Structure, int]]] = [[]]
    x = 0
    for structure in structures:
        needed = 20 + int(font.getlength(structure.info.title)) + 22
        if x and x + needed > width:
            lines.append([])
            x = 0
        lines[-1].append((structure, x))
        x += needed
    return lines if structures else []


def _wrap(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _durations(cine: Cine, frames: Sequence[int]) -> list[int]:
    """Milliseconds each frame stays; browsers slow anything below 20 ms down to 100 ms."""
    if len(frames) < 2 or not cine.has_known_times:
        return [100] * len(frames)
    steps = np.diff(cine.times[list(frames)])
    return [int(np.clip(round(1000 * s), 20, 2000)) for s in [*steps, np.median(steps)]]


def _encode_image(pictures: list[Image.Image], durations: list[int], kind: str) -> bytes:
    data = io.BytesIO()
    special: dict[str, dict[str, Any]] = {"webp": {"quality": 70, "method": 2}, "gif": {"optimize": False}, "png": {}}
    options = {"loop": 0, "duration": durations, "save_all": True, "append_images": pictures[1:], **special[kind]}
    pictures[0].save(data, format=kind.upper(), **options)
    return data.getvalue()


def _encode_mp4(pictures: list[Image.Image], durations: list[int], kind: str) -> bytes:
    try:
        import av
    except ImportError as error:
        raise MissingDependency("Writing MP4 needs the package av (pip install av); or choose GIF or WebP.") from error
    data = io.BytesIO()
    # H.264 in its widest-understood form wants even sizes.
    width, height = (max(2, n - n % 2) for n in pictures[0].size)
    with av.open(data, "w", format=kind) as container:
        rate = Fraction(1000 * len(durations), sum(durations)).limit_denominator(1000)
        stream: Any = container.add_stream("h264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(np.asarray(picture)[:height, :width]), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return data.getvalue()
