"""MP4, AVI and other video files through PyAV, with the presentation times of the file.

Opening reads the packets' times and decodes nothing. Frames read in order are decoded once in one pass; going back
starts again at the key frame before.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from ..cine import Cine, Origin
from ..errors import MissingDependency, UnreadableInput
from .common import (
    DAMAGE,
    MOST_FRAMES,
    MemoryLimit,
    Opened,
    assumed_times,
    frame_error,
    guarded,
    increasing,
    size_notes,
)

SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".wmv", ".mpg", ".mpeg")


class VideoFrames:
    """Frames of a video stream.

    shape        (T, H, W) for grey streams, (T, H, W, 3) otherwise
    frame_pts    (T,) presentation time stamp of every frame, increasing, in the stream's time base
    keys         increasing frame numbers at which decoding can start
    """

    def __init__(self, path: Path, shape: tuple[int, ...], frame_pts: list[int], keys: list[int]) -> None:
        self.shape = shape
        self._path = path
        self._pts = frame_pts
        self._keys = keys
        self._next = 0
        self._lock = Lock()
        self._decoder: Iterator[Any] | None = None
        self._container: Any = None

    def read(self, index: int) -> np.ndarray:
        """Decode frame ``index``, (H, W) or (H, W, 3) uint8; raises UnreadableInput naming a damaged one."""
        import av

        with self._lock, guarded(self._path, "the video"):
            try:
                frame = self._advance(index)
            except (av.FFmpegError, *DAMAGE) as error:
                self.close()
                raise frame_error(self._path, index, self.shape[0], str(error)) from error
        if frame is None:
            self.close()
            raise frame_error(self._path, index, self.shape[0], "the decoder gives no picture for it")
        pixels = frame.to_ndarray(format="gray" if len(self.shape) == 3 else "rgb24")
        if pixels.shape != self.shape[1:]:
            raise frame_error(self._path, index, self.shape[0], "its size differs from that of the clip")
        if index == self.shape[0] - 1:
            self.close()
        return pixels

    def close(self) -> None:
        """Let go of the file; the next ``read`` opens it again."""
        if self._container is not None:
            self._container.close()
        self._container, self._decoder, self._next = None, None, 0

    def _advance(self, index: int) -> Any:
        """The decoded frame ``index``, None when the stream ends or passes it by."""
        import av

        key = max((k for k in self._keys if k <= index), default=0)
        if self._decoder is None or index < self._next or key > self._next:
            if self._container is None:
                self._container = av.open(str(self._path))
            stream = self._container.streams.video[0]
            if key or self._next:
                self._container.seek(self._pts[key], stream=stream, backward=True)
            self._decoder = self._container.decode(stream)
        wanted = self._pts[index]
        for frame in self._decoder:
            if frame.pts is None or frame.pts < wanted:
                continue
            if frame.pts > wanted:
                return None
            self._next = index + 1
            return frame
        return None


def open_video(path: Path, limit: MemoryLimit) -> Opened:
    """Open a video file; raises UnreadableInput, or MissingDependency when PyAV is not installed."""
    try:
        import av
    except ImportError as error:
        raise MissingDependency(
            f"{path}: reading video needs the package PyAV; install it with: pip install av"
        ) from error

    with guarded(path, "the video"):
        try:
            with av.open(str(path)) as container:
                if not container.streams.video:
                    raise UnreadableInput(f"{path}: it holds no video; choose another file.")
                stream = container.streams.video[0]
                context = stream.codec_context
                width, height = context.width, context.height
                is_gray = (context.pix_fmt or "").startswith("gray")
                pts, keys, guessed = _index(container, stream, path)
                base = float(stream.time_base or 0)
                rate = float(stream.average_rate) if stream.average_rate else 0.0
                codec = context.name
        except av.FFmpegError as error:
            raise UnreadableInput(f"{path}: it is no readable video; export or copy it again.") from error
        shape = (len(pts), height, width) + (() if is_gray else (3,))
        limit.check(path, shape)
        times = (np.array(pts, dtype=np.float64) - pts[0]) * base
        timing = "video time stamps"
        notes: tuple[str, ...] = ()
        if len(pts) == 1:
            times, timing = np.zeros(1), "still"
        elif not increasing(times):
            times, timing = assumed_times(len(pts), "the video's time stamps do not increase")
            notes = ("The frame times are unknown: the video's time stamps do not increase.",)
        elif guessed:
            notes = ("The video has no presentation times; those of decoding were used.",)
        cine = Cine(
            source=VideoFrames(path, shape, pts, keys),
            times=times,
            timing=timing,
            calibration="unknown: video files carry no pixel size",
            origin=Origin(path=path),
            notes=(*notes, *size_notes(shape)),
        )
    details = (("codec", codec), ("stated rate", f"{rate:g} frames/s" if rate else ""))
    return Opened(cine, "video", tuple((name, text) for name, text in details if text))


def _index(container: Any, stream: Any, path: Path) -> tuple[list[int], list[int], bool]:
    """Time stamps of all frames in order of presentation, the key frames' numbers, and whether times were guessed."""
    stamps: list[tuple[int, bool]] = []
    guessed = False
    for packet in container.demux(stream):
        if packet.size == 0:
            continue  # the flush at the end
        if packet.is_discard:
            continue
        stamp = packet.pts
        if stamp is None:
            stamp, guessed = packet.dts, True
        if stamp is None:
            raise UnreadableInput(f"{path}: its frames have no times; convert it to MP4.")
        stamps.append((int(stamp), bool(packet.is_keyframe)))
        if len(stamps) > MOST_FRAMES:
            raise UnreadableInput(f"{path}: it holds more than {MOST_FRAMES} frames; cut the clip.")
    if not stamps:
        raise UnreadableInput(f"{path}: it holds no frame; export the clip again.")
    stamps.sort()
    return [stamp for stamp, _ in stamps], [number for number, (_, key) in enumerate(stamps) if key], guessed
