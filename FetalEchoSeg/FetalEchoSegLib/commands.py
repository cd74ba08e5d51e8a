"""The `fetalecho` command line.

Every command ends with exit code 0, or with 1 and one sentence on stderr (2 for wrong arguments, 130 when interrupted);
``--debug`` shows the traceback instead. Heavy packages are imported by the command that needs them.
"""

from __future__ import annotations

import argparse
import logging
import math
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from . import __version__
from .anatomy import Condition, View
from .command_line import (
    Commands,
    add_command,
    add_commands_of_packages,
    count_type,
    path_type,
    positive_type,
    progress_bar,
    say,
)
from .errors import FetalEchoError, InvalidRequest
from .output_files import reason
from .promptable.configuration import ARCHITECTURE as PROMPTABLE

if TYPE_CHECKING:
    from .bundle import Bundle
    from .promptable.bundle import PromptableBundle

AUTO = "auto"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    # What libraries have to say (cache folders, formats on the way out) is for developers.
    logging.basicConfig(level=logging.DEBUG if options.debug else logging.ERROR, format="fetalecho: %(message)s")
    logging.getLogger(__package__).setLevel(logging.DEBUG if options.debug else logging.WARNING)
    try:
        with warnings.catch_warnings():
            if not options.debug:
                warnings.simplefilter("ignore")
            return options.run(options) or 0
    except KeyboardInterrupt:
        say("Interrupted; nothing half-written was kept.", error=True)
        return 130
    except BrokenPipeError:
        return 0
    except (FetalEchoError, OSError, MemoryError) as error:
        if options.debug:
            raise
        say(f"fetalecho: {' '.join(_sentence(error).splitlines())}", error=True)
        return 1


def _sentence(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "There is not enough memory: use a smaller --batch or fewer frames, or close other programs."
    if isinstance(error, OSError):
        return f"{error.filename or 'A file or the output'} cannot be used: {reason(error)}."
    return str(error)


class _Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line instead of after a screen of options."""

    def error(self, message: str) -> NoReturn:
        """Exit with 2 and one sentence."""
        self.exit(2, f"fetalecho: {message[:1].upper()}{message[1:].rstrip('.')}. See {self.prog} --help.\n")


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands; also the source of the README's table of options."""
    parser = _Parser(
        prog="fetalecho",
        description="Fetal heart ultrasound: segment, label and measure. Research software, not for diagnosis.",
    )
    parser.add_argument("--version", action="version", version=f"fetalecho {__version__}")
    parser.add_argument("--debug", action="store_true", help="show tracebacks and debug messages")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_segment(commands)
    _add_info(commands)
    _add_phantom(commands)
    _add_predict(commands)
    _add_evaluate(commands)
    _add_models(commands)
    _add_demo(commands)
    add_commands_of_packages(commands)
    return parser


def _add_segment(commands: Commands) -> None:
    parser = add_command(
        commands, "segment", _segment, "Segment a clip: Slicer scene, masks, tables, pictures, report."
    )
    parser.add_argument(
        "input", type=path_type, help="DICOM, FETUS .h5, .seq.nrrd, .nrrd, .mha, image, folder or video"
    )
    parser.add_argument("--out", type=path_type, required=True, metavar="DIR", help="folder for the results")
    parser.add_argument(
        "--view",
        type=_view_or_auto,
        metavar="VIEW",
        help=f"{_views()}, or auto: found by the model (default: the file's, else auto)",
    )
    parser.add_argument("--model", metavar="MODEL", help="bundle name or folder (default: the demo bundle)")
    parser.add_argument("--refine", metavar="MODEL", help="refine outlines by a bundle that answers clicks")
    parser.add_argument("--frames", type=_frame_range, metavar="A-B", help="first and last frame, counted from 0")
    parser.add_argument(
        "--weeks", type=_weeks, metavar="WEEKS", help="gestational age, 14 to 40; z-scores need it (default: none)"
    )
    parser.add_argument(
        "--spacing", type=_spacing, metavar="MM[,MM]", help="mm per pixel (row,column) if the file does not state it"
    )
    parser.add_argument("--pdf", action="store_true", help="write the report as PDF, too")
    _add_device(parser)


def _add_info(commands: Commands) -> None:
    parser = add_command(
        commands, "info", _info, "Say what a file holds: frames, times, calibration, what is measurable."
    )
    parser.add_argument("input", type=path_type, help="file or folder, as for segment")


def _add_phantom(commands: Commands) -> None:
    parser = add_command(commands, "phantom", _phantom, "Make a synthetic clip with its truth, or a whole data set.")
    parser.add_argument(
        "--out", type=path_type, required=True, metavar="DIR", help="folder for the clip or the data set"
    )
    parser.add_argument("--seed", type=count_type, default=0, metavar="N", help="same seed, same bytes (default: 0)")
    clip = parser.add_argument_group("clip")
    clip.add_argument("--view", type=_view, metavar="VIEW", help=f"{_views()} (default: 4CH)")
    clip.add_argument(
        "--condition",
        type=_condition,
        action="append",
        metavar="NAME",
        help=f"repeatable; one of {', '.join(c.short for c in Condition)} that the view can show (default: none)",
    )
    clip.add_argument("--frames", type=positive_type, metavar="N", help="frames of the clip (default: 60)")
    clip.add_argument("--rate", type=float, metavar="HZ", help="frames per second (default: 50)")
    clip.add_argument("--new-device", action="store_true", help="image it with a device kept out of training sets")
    dataset = parser.add_argument_group("data set in FETUS layout")
    dataset.add_argument("--dataset", action="store_true", help="write images/, labels/ and a list for each part")
    for part, count in _PARTS.items():
        dataset.add_argument(f"--{part}", type=count_type, metavar="N", help=f"frames (default: {count})")
    dataset.add_argument("--per-case", type=positive_type, metavar="N", help="frames of each fetus (default: 3)")
    dataset.add_argument("--size", type=_size, metavar="PX", help="side of the frames in pixels (default: 512)")
    dataset.add_argument(
        "--even", action="store_true", help="deal out views and conditions in their shares instead of drawing them"
    )


# Frames in each part of the data set, as in the FETUS 2026 challenge; options of one kind that the other ignores.
_PARTS = {"labelled": 391, "unlabelled": 2409, "validation": 200, "calibration": 0, "same": 200, "new": 200}
_CLIP_OPTIONS = ("view", "condition", "frames", "rate", "new_device")
_DATASET_OPTIONS = (*_PARTS, "per_case", "size", "even")


def _add_predict(commands: Commands) -> None:
    parser = add_command(commands, "predict", _predict, "Segment a FETUS data set into the official submission format.")
    parser.add_argument("dataset", type=path_type, help="folder with images/")
    parser.add_argument(
        "--out", type=path_type, required=True, metavar="DIR", help="folder for N.h5 with mask and label"
    )
    parser.add_argument("--list", type=path_type, metavar="FILE", help="JSON list of the images (default: all)")
    parser.add_argument("--model", metavar="MODEL", help="bundle name or folder (default: the demo bundle)")
    _add_device(parser)


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps (default: auto)")
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16", "fp16"], help="default: auto")
    parser.add_argument("--batch", type=positive_type, metavar="N", help="frames per forward pass")


def _add_evaluate(commands: Commands) -> None:
    parser = add_command(commands, "evaluate", _evaluate, "DSC, NSD and macro-F1 as the FETUS 2026 evaluator computes.")
    parser.add_argument("predictions", type=path_type, help="folder of N.h5 with mask and label")
    parser.add_argument("dataset", type=path_type, help="folder with images/ and labels/")
    parser.add_argument(
        "--list", type=path_type, metavar="FILE", help="JSON list of the images to evaluate (test_new.json)"
    )
    parser.add_argument("--json", type=path_type, metavar="FILE", help="write all figures as JSON")
    parser.add_argument("--csv", type=path_type, metavar="FILE", help="write a table of all classes and views")


def _add_models(commands: Commands) -> None:
    parser = add_command(commands, "models", _models, "List, show, check, install and import models.")
    actions = parser.add_mutually_exclusive_group()
    actions.add_argument("--show", metavar="MODEL", help="print a bundle's card")
    actions.add_argument("--verify", metavar="MODEL", help="check a bundle's weights against their SHA-256")
    actions.add_argument("--install", metavar="SOURCE", help="bundle folder, .zip or https address")
    parser.add_argument("--sha256", metavar="HASH", help="with --install: expected hash of the .zip")
    actions.add_argument(
        "--import-checkpoint",
        type=path_type,
        metavar="FILE",
        help="best.pth, echocare_encoder.pth, sam-med2d_b.pth or sam_vit_b; becomes the bundle --name",
    )
    parser.add_argument("--name", help="with --import-checkpoint: name of the new bundle (default: the file's)")


def _add_demo(commands: Commands) -> None:
    parser = add_command(commands, "demo", _demo, "The whole path on a synthetic clip of each view and on a real clip.")
    parser.add_argument("--out", type=path_type, default=Path("demo_output"), metavar="DIR")
    parser.add_argument("--frames", type=positive_type, default=60, help="frames of each synthetic clip (default: 60)")


# ---------------------------------------------------------------------------------------------------- the commands


def _segment(options: argparse.Namespace) -> None:
    from .workflow import SegmentRequest, segment_file

    result = segment_file(
        SegmentRequest(
            input=options.input,
            out=options.out,
            view=None if options.view == AUTO else options.view,
            find_view=options.view == AUTO,
            model=options.model,
            frames=options.frames,
            gestational_age=options.weeks,
            pdf=options.pdf,
            spacing=options.spacing,
            device=options.device,
            precision=options.precision,
            batch_size=options.batch,
            refine_with=options.refine,
        ),
        progress=progress_bar("segmenting"),
    )
    say(result.summary)


def _info(options: argparse.Namespace) -> None:
    from .readers import describe

    say(str(describe(options.input)))


def _phantom(options: argparse.Namespace) -> None:
    from .output_files import require_writable
    from .phantom import clip, dataset

    given = {name for name, value in vars(options).items() if value is not None and value is not False}
    if stray := sorted(given.intersection(_CLIP_OPTIONS if options.dataset else _DATASET_OPTIONS)):
        kind = "a single clip: leave out --dataset" if options.dataset else "a data set: add --dataset"
        raise InvalidRequest(f"--{stray[0].replace('_', '-')} is for {kind}, or leave out this option.")
    require_writable(options.out)
    if options.dataset:
        counts = {
            part: count if getattr(options, part) is None else getattr(options, part) for part, count in _PARTS.items()
        }
        dataset.write_dataset(
            options.out,
            labelled=counts["labelled"],
            unlabelled=counts["unlabelled"],
            validation=counts["validation"],
            test_same=counts["same"],
            test_new=counts["new"],
            calibration=counts["calibration"],
            seed=options.seed,
            image_shape=(options.size or 512, options.size or 512),
            frames_per_case=options.per_case or 3,
            even=options.even,
            progress=progress_bar("frames"),
        )
        say(f"Data set in {options.out}")
        return
    made = clip.make_named_clip(
        options.view or View.FOUR_CHAMBER,
        conditions=options.condition or [],
        seed=options.seed,
        frames=options.frames or 60,
        frame_rate=50.0 if options.rate is None else options.rate,
        new_device=options.new_device,
    )
    from .workflow import write_phantom_clip

    say("\n".join(str(file) for file in write_phantom_clip(made, options.out)))


def _predict(options: argparse.Namespace) -> None:
    from .bundle import DEFAULT_BUNDLE, find_bundle
    from .fetus_layout import read_list
    from .segmentation import Segmenter
    from .submission import write_submission

    segmenter = Segmenter(
        find_bundle(options.model or DEFAULT_BUNDLE), options.device, options.precision, options.batch
    )
    images = [entry.image for entry in read_list(options.list)] if options.list else None
    written = write_submission(segmenter, options.dataset, options.out, images, progress_bar("frames"))
    say(f"{len(written)} predictions in {options.out}")


def _evaluate(options: argparse.Namespace) -> None:
    from .evaluation import evaluate

    evaluation = evaluate(options.predictions, options.dataset, progress_bar("frames"), list_file=options.list)
    if options.json:
        evaluation.to_json(options.json)
    if options.csv:
        evaluation.to_csv(options.csv)
    say(str(evaluation))


def _models(options: argparse.Namespace) -> None:
    from . import bundle

    if options.sha256 and not options.install:
        raise InvalidRequest("--sha256 is the hash of a model to --install: give both or neither.")
    if options.name and not options.import_checkpoint:
        raise InvalidRequest("--name is the name of a checkpoint to --import-checkpoint: give both or neither.")
    if options.show:
        say(str(_find_model(options.show)))
    elif options.verify:
        _find_model(options.verify).verify()
        say(f"{options.verify}: weights match their SHA-256")
    elif options.install:
        installed = bundle.install_bundle(options.install, sha256=options.sha256, progress=progress_bar("bytes"))
        say(f"Installed {_listed(installed)}")
    elif options.import_checkpoint:
        from .bundle_import import import_model

        found = import_model(options.import_checkpoint, options.name)
        say(f"Imported {_listed(found)}")
    else:
        from .promptable.bundle import list_promptables

        models: list[Bundle | PromptableBundle] = [*bundle.list_bundles(), *list_promptables()]
        say("\n".join(map(_listed, models)) or "No model is installed; install one with --install.")


def _find_model(name: str) -> Bundle | PromptableBundle:
    """A model of either kind by name or folder."""
    from .bundle import find_bundle
    from .bundle_card import CARD_FILE, OtherKindOfModel
    from .promptable.bundle import list_promptables, load_promptable

    if (Path(name) / CARD_FILE).is_file():
        try:
            return find_bundle(name)
        except OtherKindOfModel:
            return load_promptable(name, verify=False)
    return next((model for model in list_promptables() if model.name == name), None) or find_bundle(name)


def _listed(bundle: Bundle | PromptableBundle) -> str:
    kind = " (answers clicks)" if bundle.card.architecture.name == PROMPTABLE else ""
    notice = f"\n{'':20} {bundle.notice}" * bool(bundle.notice)
    return f"{bundle.name:20} {bundle.version:8} {bundle.path}{kind}{notice}"


def _demo(options: argparse.Namespace) -> None:
    from .workflow import run_demo

    run_demo(options.out, options.frames, say, progress_bar("segmenting"))
    say(f"Open {options.out} and look at */report.html, or load */scene.mrb in 3D Slicer.")


# ------------------------------------------------------------------------------------------- arguments and printing


def _view(text: str) -> View:
    try:
        return View.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _view_or_auto(text: str) -> View | str:
    return AUTO if text.casefold() == AUTO else _view(text)


def _views() -> str:
    return ", ".join(view.short for view in View)


def _condition(text: str) -> Condition:
    for condition in Condition:
        if text.casefold() in (condition.short.casefold(), condition.title.casefold()):
            return condition
    raise argparse.ArgumentTypeError(f"unknown condition '{text}': {', '.join(c.short for c in Condition)}")


def _size(text: str) -> int:
    if not text.isdecimal() or not 64 <= int(text) <= 2048:
        raise argparse.ArgumentTypeError(f"'{text}' is not a size in pixels, 64 to 2048")
    return int(text)


def _frame_range(text: str) -> range:
    first, _, last = text.partition("-")
    if not first.isdecimal() or (last and not last.isdecimal()) or int(last or first) < int(first):
        raise argparse.ArgumentTypeError(f"'{text}' is not a frame range such as 0-59")
    return range(int(first), int(last or first) + 1)


def _weeks(text: str) -> float:
    try:
        weeks = float(text)
    except ValueError:
        weeks = math.nan
    if not 14 <= weeks <= 40:
        raise argparse.ArgumentTypeError(f"'{text}' is not a gestational age in weeks, 14 to 40, such as 22.5")
    return weeks


def _spacing(text: str) -> tuple[float, float]:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) not in (1, 2):
        raise argparse.ArgumentTypeError(f"'{text}' is not a spacing in mm per pixel such as 0.19 or 0.19,0.21")
    from .readers.common import user_spacing

    try:
        return user_spacing((values[0], values[-1]))
    except InvalidRequest as error:
        raise argparse.ArgumentTypeError(str(error)) from None


if __name__ == "__main__":
    sys.exit(main())
