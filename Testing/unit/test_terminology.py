"""The terminology file is the one that anatomy gives, and its codes are SNOMED's."""

from __future__ import annotations

import json

import pytest
from FetalEchoSegLib.anatomy import CATEGORY_CODE, STRUCTURES, Structure
from FetalEchoSegLib.scene.terminology import (
    documentText,
    structureOfEntry,
    terminologyDocument,
    terminologyEntry,
    terminologyPath,
)


def test_file_is_the_generated_one():
    assert terminologyPath().read_text(encoding="utf-8") == documentText()


def test_every_structure_has_its_type_and_colour():
    (category,) = terminologyDocument()["SegmentationCodes"]["Category"]
    assert category["CodeValue"] == CATEGORY_CODE.value
    found = {t["CodeValue"]: (t["3dSlicerLabel"], tuple(t["recommendedDisplayRGBValue"])) for t in category["Type"]}
    assert found == {info.type_code.value: (info.title, info.color) for info in STRUCTURES.values()}
    assert json.loads(documentText()) == terminologyDocument()


def test_entry_has_seven_parts_and_leads_back_to_its_structure():
    for structure in Structure:
        entry = terminologyEntry(structure)
        assert len(entry.split("~")) == 7
        assert structureOfEntry(entry) is structure


@pytest.mark.parametrize("entry", ["", "~", "a~b~c", "FetalEcho~SCT^1^a~DCM^87878005^Left ventricle~^^~~^^~^^"])
def test_other_entries_are_no_structure(entry):
    assert structureOfEntry(entry) is None


def test_codes_are_those_of_dicom():
    concepts = pytest.importorskip("pydicom.sr._concepts_dict").concepts["SCT"]
    codes = {code for meanings in concepts.values() for code in meanings}
    for info in STRUCTURES.values():
        assert info.type_code.value in codes, info.title
    assert CATEGORY_CODE.value in codes
