"""Files that ship with FetalEcho: models, configurations, terminology."""

from __future__ import annotations

from pathlib import Path

from .errors import FetalEchoError

_LIBRARY = Path(__file__).resolve().parent


def resource_path(*parts: str) -> Path:
    """Path of a shipped file or folder, for example ``resource_path("Models", "demo-tiny")``.

    Looks in the folder ``Resources`` of the source tree, of an installed Slicer module, and of the pip package.
    Raises FetalEchoError when none has it.
    """
    folders = resource_folders()
    for folder in folders:
        path = folder.joinpath(*parts)
        if path.exists():
            return path
    looked = ", ".join(str(folder) for folder in folders) or str(_LIBRARY)
    raise FetalEchoError(f"FetalEcho's own file {'/'.join(parts)} is missing (looked in {looked}): install it again.")


def resource_folders() -> list[Path]:
    """The ``Resources`` folders that exist, nearest first."""
    candidates = [
        _LIBRARY.parent.parent / "Resources",  # source tree: repository/FetalEchoSeg/FetalEchoSegLib
        _LIBRARY.parent / "Resources",  # Slicer: qt-scripted-modules/FetalEchoSegLib
        *_packaged(),
    ]
    return list(dict.fromkeys(folder for folder in candidates if folder.is_dir()))


def _packaged() -> list[Path]:
    """Where pip put the package ``FetalEchoResources``; it holds data only and has no code to import."""
    from importlib.util import find_spec

    spec = find_spec("FetalEchoResources")
    return [Path(place) for place in (spec.submodule_search_locations or [])] if spec else []
