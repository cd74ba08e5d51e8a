"""Slicer's terminology of the fourteen structures, generated from ``anatomy``.

``python -m FetalEchoSegLib.scene.terminology`` rewrites Resources/Terminology/FetalEcho.term.json; a test compares
the two. Slicer's own lists lack a "whole heart without its chambers" with our colours, so the extension brings one
list with all of its structures, loaded when the application has started.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from ..anatomy import CATEGORY_CODE, STRUCTURES, TERMINOLOGY_CONTEXT, Code, Structure
from ..errors import FetalEchoError
from ..resources import resource_path

_SCHEMA = "https://raw.githubusercontent.com/qiicr/dcmqi/master/doc/segment-context-schema.json#"


def terminologyDocument() -> dict[str, Any]:
    """Content of the terminology file: one category, one type for each structure, in label order."""
    return {
        "SegmentationCategoryTypeContextName": TERMINOLOGY_CONTEXT,
        "@schema": _SCHEMA,
        "SegmentationCodes": {
            "Category": [
                {
                    **_coded(CATEGORY_CODE),
                    "showAnatomy": False,
                    "Type": [
                        {
                            "recommendedDisplayRGBValue": list(info.color),
                            **_coded(info.type_code),
                            "3dSlicerLabel": info.title,
                        }
                        for info in STRUCTURES.values()
                    ],
                }
            ]
        },
    }


def terminologyEntry(structure: Structure) -> str:
    """Value of a segment's terminology tag.

    Seven parts joined by ``~``: context, category, type, its modifier, region context, region, its modifier; codes are
    scheme^value^meaning.
    """
    parts = (CATEGORY_CODE, structure.info.type_code)
    category, kind = ("^".join((code.scheme, code.value, code.meaning)) for code in parts)
    return f"{TERMINOLOGY_CONTEXT}~{category}~{kind}~^^~~^^~^^"


def structureOfEntry(entry: str) -> Structure | None:
    """Structure that a terminology tag names by scheme and code, None for any other."""
    fields = entry.split("~")
    code = fields[2].split("^") if len(fields) > 2 else []
    for structure, info in STRUCTURES.items():
        if code[:2] == [info.type_code.scheme, info.type_code.value]:
            return structure
    return None


def terminologyPath() -> Path:
    """Where FetalEcho.term.json lies; raises FetalEchoError when the installation is incomplete."""
    return resource_path("Terminology", f"{TERMINOLOGY_CONTEXT}.term.json")


def loadTerminology() -> str:
    """Make the context known to Slicer's terminologies; returns its name, or "" where that cannot be done.

    Segments keep their terminology without it, because the tag holds codes and meanings; only the terminology
    selector needs the list. So a missing module or file is a warning.
    """
    import slicer

    module = getattr(slicer.modules, "terminologies", None)
    if module is None:
        logging.warning("FetalEcho terminology is not offered: this application has no Terminologies module")
        return ""
    try:
        path = terminologyPath()
    except FetalEchoError as error:
        logging.warning("%s", error)
        return ""
    return module.logic().LoadTerminologyFromFile(str(path)) or ""


def _coded(code: Code) -> dict[str, str]:
    return {"CodeMeaning": code.meaning, "CodingSchemeDesignator": code.scheme, "CodeValue": code.value}


def documentText() -> str:
    """The terminology file as text, the same on every machine."""
    return json.dumps(terminologyDocument(), indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Rewrite the file in the source tree."""
    path = Path(__file__).resolve().parents[3] / "Resources" / "Terminology" / f"{TERMINOLOGY_CONTEXT}.term.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(documentText(), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
