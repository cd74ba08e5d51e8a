"""Damage ultrasound files in every way and see that the readers answer with a clip or with one sentence.

    python Testing/benchmarks/fuzz_readers.py --count 2000 --seed 0
    python Testing/benchmarks/fuzz_readers.py --seed 0 --replay 1234 --keep offenders

Small files of every format are made, pydicom's own real files join them, and each of ``count`` mutants is opened and
decoded in a worker process. Anything but a clip or a FetalEchoError is a failure: another exception, a message that
does not name the file or has more than a line, ten seconds without an answer, a process that dies, memory beyond the
limit. Prints the counts and the numbers of the failures (for --replay); exit code 1 if there is any.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import re
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))

SECONDS = 10.0
CLIP_BYTES = 256 << 20  # what a clip may take
PROCESS_GROWTH = 1 << 30  # what a process may grow by while reading mutants
ADDRESS_SPACE = 12 << 30
LARGEST_ORIGINAL = 300_000
REAL_FILES = (
    "examples_ybr_color.dcm",
    "examples_palette.dcm",
    "examples_rgb_color.dcm",
    "examples_jpeg2k.dcm",
    "ExplVR_BigEnd.dcm",
    "SC_rgb_jls_lossy_line.dcm",
    "SC_rgb_jpeg_gdcm.dcm",
    "SC_rgb_rle_2frame.dcm",
    "SC_rgb_small_odd_jpeg.dcm",
    "SC_ybr_full_422_uncompressed.dcm",
    "badVR.dcm",
    "no_meta.dcm",
    "priv_SQ.dcm",
)


@dataclass(frozen=True)
class Outcome:
    """What became of one mutant: "read", "refused", or the kind of failure with its text."""

    number: int
    original: str
    kind: str
    text: str = ""

    @property
    def failed(self) -> bool:
        return self.kind not in ("read", "refused")


# Originals -----------------------------------------------------------------------------------------------------------


def make_corpus(folder: Path) -> list[Path]:
    """Small intact files of every format."""
    from dicom_files import (
        BIG_ENDIAN,
        EXPLICIT,
        IMPLICIT,
        JPEG,
        JPEG_2000_LOSSLESS,
        JPEG_LS,
        RLE,
        picture,
        region,
        rgb_to_ybr,
        write_dicom,
    )
    from FetalEchoSegLib.anatomy import View
    from FetalEchoSegLib.fetus_layout import write_image
    from test_readers_dicom_pixels import palette_elements
    from test_readers_formats import write_metaimage, write_nrrd, write_video

    clip, grey = picture(3, 24, 32), picture(3, 24, 32, color=False)
    known = {"regions": [region(x=(0, 31), y=(0, 23))], "FrameTime": 33.3}
    for syntax, name in ((IMPLICIT, "implicit"), (EXPLICIT, "explicit"), (BIG_ENDIAN, "big"), (RLE, "rle")):
        write_dicom(folder / f"rgb_{name}.dcm", clip, syntax=syntax, **known)
    write_dicom(folder / "planar.dcm", clip, planar=1, elements={"FrameTimeVector": [0, 30, 40]})
    write_dicom(folder / "ybr.dcm", rgb_to_ybr(clip), "YBR_FULL", **known)
    write_dicom(folder / "ybr422.dcm", rgb_to_ybr(clip), "YBR_FULL_422", **known)
    write_dicom(folder / "jpeg.dcm", clip, "YBR_FULL_422", JPEG, **known)
    write_dicom(folder / "jpeg_pieces.dcm", clip, "YBR_FULL_422", JPEG, fragments_per_frame=3)
    write_dicom(folder / "jpegls.dcm", grey, "MONOCHROME2", JPEG_LS, **known)
    write_dicom(folder / "jpeg2000.dcm", picture(2, 48, 64), "YBR_RCT", JPEG_2000_LOSSLESS, **known)
    deep = grey.astype(np.uint16) * 16
    write_dicom(folder / "twelve_bits.dcm", deep, "MONOCHROME1", bits_stored=12, WindowCenter=900, WindowWidth=700)
    write_dicom(folder / "palette.dcm", grey, "PALETTE COLOR", elements=palette_elements()[0])
    write_image(folder / "fetus.h5", clip[0], View.RVOT, {"spacing_mm": np.array([0.3, 0.2]), "source": "phantom"})
    write_image(folder / "fetus_gzip.h5", clip[0], View.LVOT, compress=True)
    timed = ('units: "" "" "" "s"', "axis 3 index values:=0 0.03 0.07")
    space = "space directions: (0.2,0,0) (0,0.3,0) (0,0,1) none"
    kinds = ("domain", "domain", "domain", "list")
    for encoding in ("raw", "gzip"):
        write_nrrd(folder / f"{encoding}.seq.nrrd", grey, (32, 24, 1, 3), kinds, encoding, lines=(*timed, space))
    write_nrrd(folder / "float.nrrd", grey.astype("<f4"), (32, 24, 3), typename="float", endian="little")
    write_metaimage(folder / "grey.mha", grey)
    write_metaimage(folder / "rgb_packed.mha", clip, vector=True, compress=True)
    _write_images(folder, clip, grey)
    video = np.repeat(np.repeat(clip, 2, axis=1), 2, axis=2)
    videos = (("a.mp4", "libx264", "yuv420p"), ("b.avi", "mjpeg", "yuvj420p"), ("c.mp4", "mpeg4", "yuv420p"))
    for name, codec, pixels in videos:
        write_video(folder / name, video, codec, pixels)
    _add_real_files(folder)
    return sorted(path for path in folder.iterdir() if path.is_file())


def _write_images(folder: Path, clip: np.ndarray, grey: np.ndarray) -> None:
    from PIL import Image

    Image.fromarray(clip[0]).save(folder / "rgb.png")
    Image.fromarray(grey[0].astype(np.uint16) * 16).save(folder / "deep.png")
    Image.fromarray(clip[0]).quantize(16).save(folder / "indexed.png")
    Image.fromarray(clip[0]).save(folder / "rgb.jpg", exif=_turned())
    Image.fromarray(clip[0]).save(folder / "rgb.bmp")
    pages = [Image.fromarray(frame) for frame in clip]
    for compression in ("raw", "tiff_lzw", "jpeg", "tiff_deflate"):
        path = folder / f"{compression}.tif"
        pages[0].save(path, save_all=True, append_images=pages[1:], compression=compression)
    Image.fromarray(grey[0].astype(np.float32)).save(folder / "float.tif")


def _turned() -> object:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def _add_real_files(folder: Path) -> None:
    import pydicom

    packaged = Path(pydicom.__file__).parent / "data" / "test_files"
    for name in REAL_FILES:
        if (packaged / name).is_file():
            data = (packaged / name).read_bytes()
            (folder / f"real_{name}").write_bytes(data[:LARGEST_ORIGINAL])


# Mutants -------------------------------------------------------------------------------------------------------------


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """One to three random injuries of the kinds files suffer and the kinds that parsers fear."""
    for _ in range(int(rng.integers(1, 4))):
        injury = _INJURIES[int(rng.integers(len(_INJURIES)))]
        data = injury(data, rng) if len(data) > 16 else data
    return data


def _place(data: bytes, rng: np.random.Generator) -> int:
    """A position, half the time in the first kilobyte where headers are."""
    top = min(len(data), 1024) if rng.random() < 0.5 else len(data)
    return int(rng.integers(top))


def _flip_bits(data: bytes, rng: np.random.Generator) -> bytes:
    result = bytearray(data)
    for _ in range(int(2 ** rng.uniform(0, 6))):
        result[_place(data, rng)] ^= 1 << int(rng.integers(8))
    return bytes(result)


def _overwrite(data: bytes, rng: np.random.Generator) -> bytes:
    start, length = _place(data, rng), int(2 ** rng.uniform(0, 9))
    kind = int(rng.integers(3))
    filler = rng.bytes(length) if kind == 2 else (b"\0", b"\xff")[kind] * length
    return data[:start] + filler[: max(0, len(data) - start)] + data[start + length :]


def _truncate(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: int(rng.integers(1, len(data)))]


def _cut(data: bytes, rng: np.random.Generator) -> bytes:
    start = _place(data, rng)
    return data[:start] + data[start + int(2 ** rng.uniform(0, 10)) :]


def _splice(data: bytes, rng: np.random.Generator) -> bytes:
    source, target, length = _place(data, rng), _place(data, rng), int(2 ** rng.uniform(2, 12))
    end = target if rng.random() < 0.5 else target + length  # insert, or replace
    return data[:target] + data[source : source + length] + data[end:]


def _damage_length(data: bytes, rng: np.random.Generator) -> bytes:
    """A wrong length or count: after a DICOM value representation, or any two or four bytes."""
    representations = rb"(?:US|UL|SQ|OB|OW|UI|LO|DS|IS|FD|CS)(?=..)"
    marks = [match.end() for match in re.finditer(representations, data[:20000], re.DOTALL)]
    start = marks[int(rng.integers(len(marks)))] if marks and rng.random() < 0.7 else _place(data, rng)
    width = 2 if rng.random() < 0.5 else 4
    choices = (0, 1, 2**15, 2 ** (8 * width) - 1, 2 ** (8 * width - 1), int(rng.integers(2 ** (8 * width))))
    value = choices[int(rng.integers(len(choices)))]
    return data[:start] + value.to_bytes(width, "little" if rng.random() < 0.7 else "big") + data[start + width :]


def _damage_number(data: bytes, rng: np.random.Generator) -> bytes:
    """Another number where the file has one in text."""
    found = list(re.finditer(rb"-?\d+(?:\.\d+)?", data[:20000]))
    if not found:
        return _flip_bits(data, rng)
    match = found[int(rng.integers(len(found)))]
    choices = (b"0", b"-1", b"1", b"99999999999", b"nan", b"inf", b"1e308", b"1e-308", b"65536", b"", b"7" * 5000)
    number = choices[int(rng.integers(len(choices)))]
    if rng.random() < 0.5:  # of the same length, so that binary formats stay in step
        number = number[: len(match[0])].rjust(len(match[0]), b"0")
    return data[: match.start()] + number + data[match.end() :]


_INJURIES = (_flip_bits, _overwrite, _truncate, _cut, _splice, _damage_length, _damage_number)


def make_mutant(corpus: list[Path], seed: int, number: int) -> tuple[Path, bytes]:
    """Original and bytes of mutant ``number``: the same for the same seed."""
    rng = np.random.default_rng([seed, number])
    original = corpus[number % len(corpus)]
    return original, mutate(original.read_bytes(), rng)


# Reading -------------------------------------------------------------------------------------------------------------


def read_mutant(path: Path) -> tuple[str, str]:
    """Open and decode a file completely: ("read", ""), ("refused", sentence) or ("traceback", text)."""
    from FetalEchoSegLib.errors import FetalEchoError
    from FetalEchoSegLib.readers import describe, read_cine

    try:
        try:
            str(describe(path, memory_limit=CLIP_BYTES))
            frames = read_cine(path, memory_limit=CLIP_BYTES).frames
        except FetalEchoError as error:
            sentence = str(error)
            if str(path) not in sentence or "\n" in sentence or len(sentence) > 600:
                return "unclear", sentence
            return "refused", sentence
        return ("read", "") if frames.dtype == np.uint8 else ("traceback", f"frames are {frames.dtype}")
    except Exception:  # noqa: BLE001 (everything that is not ours is what is looked for)
        return "traceback", traceback.format_exc(limit=-6)


def _work(connection: object, corpus: list[Path], seed: int, folder: str) -> None:
    """Worker: numbers come in, outcomes go out."""
    _limit_address_space()
    sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 (libraries write their complaints there)
    os.dup2(sys.stderr.fileno(), 2)
    start = None
    while (number := connection.recv()) is not None:
        original, data = make_mutant(corpus, seed, number)
        path = Path(folder) / f"{number}_{original.name}"
        path.write_bytes(data)
        kind, text = read_mutant(path)
        path.unlink(missing_ok=True)
        peak = _peak_memory()
        start = peak if start is None else start
        if peak - start > PROCESS_GROWTH:
            kind, text = "memory", f"the process grew by {(peak - start) >> 20} MiB"
        connection.send((number, original.name, kind, text))
        if kind == "memory":
            return


def _limit_address_space() -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))


def _peak_memory() -> int:
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class Worker:
    """A process that reads mutants, one at a time, and is replaced when it hangs or dies."""

    def __init__(self, corpus: list[Path], seed: int, folder: Path) -> None:
        self._arguments = (corpus, seed, str(folder))
        self._corpus = corpus
        self.number: int | None = None
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        self._process = context.Process(target=_work, args=(other, *self._arguments), daemon=True)
        self._process.start()
        other.close()
        self._first = True

    def give(self, number: int) -> None:
        self.number, self._given = number, time.monotonic()
        self._connection.send(number)

    def poll(self) -> Outcome | None:
        """The outcome, or None while the mutant is being read."""
        number = self.number
        assert number is not None
        name = self._corpus[number % len(self._corpus)].name
        # A new process needs some seconds for its imports.
        patience = SECONDS + (30 if self._first else 0)
        try:
            if self._connection.poll(0):
                outcome = Outcome(*self._connection.recv())
                self._first = False
                if outcome.kind == "memory":
                    self._replace()
                return outcome
        except (EOFError, OSError):
            code = self._replace()
            return Outcome(number, name, "crash", f"the process died (exit code {code})")
        if time.monotonic() - self._given > patience:
            self._replace()
            return Outcome(number, name, "hang", f"no answer in {patience:.0f} s")
        return None

    def _replace(self) -> int | None:
        self.stop()
        code = self._process.exitcode
        self._start()
        return code

    def stop(self) -> None:
        self._connection.close()
        self._process.join(0.5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def fuzz(count: int, seed: int, workers: int, corpus: list[Path], folder: Path) -> list[Outcome]:
    """Outcomes of mutants 0 to ``count`` - 1."""
    crew = [Worker(corpus, seed, folder) for _ in range(min(workers, count))]
    todo = iter(range(count))
    outcomes: list[Outcome] = []
    for worker in crew:
        worker.give(next(todo))
    while len(outcomes) < count:
        for worker in crew:
            outcome = worker.poll() if worker.number is not None else None
            if outcome is not None:
                outcomes.append(outcome)
                worker.number = None
                if (number := next(todo, None)) is not None:
                    worker.give(number)
        time.sleep(0.0005)
    for worker in crew:
        worker.stop()
    return sorted(outcomes, key=lambda outcome: outcome.number)


def report(outcomes: list[Outcome], seed: int, seconds: float, corpus: list[Path]) -> None:
    """Print the counts by format and every failure."""
    kinds = ("read", "refused", "traceback", "unclear", "hang", "crash", "memory")
    table: dict[str, Counter[str]] = {}
    for outcome in outcomes:
        table.setdefault(Path(outcome.original).suffix.lstrip("."), Counter())[outcome.kind] += 1
    print(f"{'format':8}" + "".join(f"{kind:>11}" for kind in kinds))
    for suffix, counts in [*sorted(table.items()), ("all", sum(table.values(), Counter()))]:
        print(f"{suffix:8}" + "".join(f"{counts[kind]:>11}" for kind in kinds))
    print(f"{len(outcomes)} mutants of {len(corpus)} files in {seconds:.0f} s, seed {seed}")
    for outcome in outcomes:
        if outcome.failed:
            print(f"\n--seed {seed} --replay {outcome.number} ({outcome.original}): {outcome.kind}\n{outcome.text}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=min(8, os.cpu_count() or 1))
    parser.add_argument("--replay", type=int, help="read one mutant in this process and show what happens")
    parser.add_argument("--keep", type=Path, help="folder for the bytes of failing mutants")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        originals, mutants = Path(temporary) / "originals", Path(temporary) / "mutants"
        originals.mkdir()
        mutants.mkdir()
        corpus = make_corpus(originals)
        if options.replay is not None:
            original, data = make_mutant(corpus, options.seed, options.replay)
            folder = options.keep or mutants
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"{options.replay}_{original.name}"
            path.write_bytes(data)
            kind, text = read_mutant(path)
            print(kind, text)
            return int(kind not in ("read", "refused"))
        began = time.monotonic()
        outcomes = fuzz(options.count, options.seed, options.workers, corpus, mutants)
        report(outcomes, options.seed, time.monotonic() - began, corpus)
        failures = [outcome for outcome in outcomes if outcome.failed]
        if options.keep and failures:
            options.keep.mkdir(parents=True, exist_ok=True)
            for outcome in failures:
                original, data = make_mutant(corpus, options.seed, outcome.number)
                (options.keep / f"{outcome.number}_{original.name}").write_bytes(data)
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
