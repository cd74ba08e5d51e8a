"""Installing a bundle in two steps: fetch and check it, then, once its licence was accepted, put it in its place."""

from __future__ import annotations

import weakref
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from .bundle_folders import place_bundle, user_bundle_folder
from .bundle_install import Cancelling, Progress, install_into
from .errors import UnusableBundle

if TYPE_CHECKING:
    from .bundle import Bundle
    from .promptable.bundle import PromptableBundle

_MAX_LICENCE_CHARACTERS = 200_000


class StagedBundle:
    """A bundle that lies whole and verified in a temporary folder, and is not in use.

    bundle    what would be installed
    replaces  whether a bundle of its name is installed in the same folder
    The temporary folder goes away with ``install``, ``discard``, or this object.
    """

    def __init__(self, bundle: Bundle | PromptableBundle, target: Path, temporary: ExitStack) -> None:
        self.bundle = bundle
        self._final = target / bundle.name
        self._discard = weakref.finalize(self, temporary.close)

    @property
    def replaces(self) -> bool:
        """Whether installing would put another bundle away."""
        return self._final.exists()

    def licence_text(self) -> str:
        """The licence as the bundle brings it in full, "" if it does not."""
        for path in sorted(self.bundle.path.iterdir()):
            if path.name.lower().split(".")[0] in ("license", "licence"):
                return path.read_text(encoding="utf-8", errors="replace")[:_MAX_LICENCE_CHARACTERS]
        return ""

    def install(self) -> Bundle | PromptableBundle:
        """Put the bundle in its place; raises UnwritableOutput, and an earlier one stays then."""
        try:
            with place_bundle(self._final) as temporary:
                for path in self.bundle.path.iterdir():
                    path.replace(temporary / path.name)
        finally:
            self.discard()
        return replace(self.bundle, path=self._final)

    def discard(self) -> None:
        """Forget the bundle; nothing was installed."""
        self._discard()


def stage_bundle(
    source: str | Path,
    sha256: str | None = None,
    progress: Progress | None = None,
    cancelled: Cancelling | None = None,
    folder: Path | None = None,
) -> StagedBundle:
    """Fetch a bundle from a folder, a .zip file or an https address and verify it, ready to be installed.

    Arguments and errors are those of ``bundle.install_bundle``.
    """
    from .bundle import load_any_kind

    target = user_bundle_folder() if folder is None else folder
    with ExitStack() as stack:
        unpacked = stack.enter_context(install_into(target, source, sha256, progress, cancelled))
        try:
            bundle = load_any_kind(unpacked)
        except UnusableBundle as error:
            # The temporary name means nothing to the user.
            raise UnusableBundle(str(error).replace(str(unpacked), str(source))) from error
        return StagedBundle(bundle, target, stack.pop_all())
