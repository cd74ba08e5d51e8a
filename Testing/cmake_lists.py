"""Every Python file and resource of the two modules, as their CMakeLists.txt must list them.

A file that is not listed works in the source tree and is missing in the installed extension.

    python Testing/cmake_lists.py            show what differs (exit code 1 if anything does)
    python Testing/cmake_lists.py --write    write the lists
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
MODULES = ("FetalEchoSeg", "FetalEchoTrain")
LISTS = ("MODULE_PYTHON_SCRIPTS", "MODULE_PYTHON_RESOURCES")


def files_of(module: str) -> dict[str, list[str]]:
    """Files of ``module`` by CMake list, relative to its folder, sorted; the module file comes first."""
    folder = REPOSITORY / module
    found: dict[str, list[str]] = {name: [] for name in LISTS}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        hidden = any(part.startswith(".") or part == "__pycache__" for part in relative.parts)
        if path.is_dir() or hidden or path.suffix == ".pyc" or path.name == "CMakeLists.txt":
            continue
        name = LISTS[0] if path.suffix == ".py" else LISTS[1]
        found[name].append(relative.as_posix())
    found[LISTS[0]].sort(key=lambda name: (name != f"{module}.py", name))
    return found


def listed(module: str) -> dict[str, list[str]]:
    """Files that the module's CMakeLists.txt lists."""
    text = (REPOSITORY / module / "CMakeLists.txt").read_text(encoding="utf-8")
    return {name: _block(name).search(text)[1].split() for name in LISTS}  # type: ignore[index]


def write(module: str) -> None:
    """Bring the lists of the module's CMakeLists.txt up to date."""
    path = REPOSITORY / module / "CMakeLists.txt"
    text = path.read_text(encoding="utf-8")
    for name, files in files_of(module).items():
        lines = "".join(f"  {file}\n" for file in files)
        text = _block(name).sub(f"set({name}\n{lines}  )", text)
    path.write_text(text, encoding="utf-8", newline="\n")


def _block(name: str) -> re.Pattern[str]:
    return re.compile(rf"set\({name}\n(.*?)  \)", re.DOTALL)


def main() -> int:
    """Exit code: whether something differs."""
    if "--write" in sys.argv[1:]:
        for module in MODULES:
            write(module)
    differs = False
    for module in MODULES:
        for name, files in files_of(module).items():
            present = listed(module)[name]
            for word, names in (
                ("not listed", set(files) - set(present)),
                ("does not exist", set(present) - set(files)),
            ):
                for file in sorted(names):
                    sys.stdout.write(f"{module}/{file} {word} in {module}/CMakeLists.txt\n")
                    differs = True
    return int(differs)


if __name__ == "__main__":
    raise SystemExit(main())
