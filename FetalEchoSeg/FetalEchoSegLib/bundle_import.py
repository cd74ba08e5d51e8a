"""Import of a foreign checkpoint of any kind that FetalEcho knows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from .bundle import Bundle
    from .promptable.bundle import PromptableBundle

ModelKind = Literal["auto", "network", "encoder", "promptable"]


def import_model(path: Path | str, name: str | None = None, kind: ModelKind = "auto") -> Bundle | PromptableBundle:
    """Import a checkpoint into a bundle in the user's model folder.

    name  of the bundle; the file's own name if None
    kind  "network" (FETUS 2026 baseline), "encoder" (EchoCare), "promptable" (SAM-Med2D, Segment Anything); "auto"
          tells by the names of the tensors
    Raises UnusableBundle, listing what did not fit, InvalidRequest, UnwritableOutput, MissingDependency.
    """
    from .dependencies import require_installed

    require_installed()
    from .networks.checkpoints import import_checkpoint, read_checkpoint
    from .promptable.checkpoints import import_promptable, is_promptable

    if kind == "promptable" or (kind == "auto" and is_promptable(read_checkpoint(path))):
        return import_promptable(path, name)
    return import_checkpoint(path, name, kind=kind)
