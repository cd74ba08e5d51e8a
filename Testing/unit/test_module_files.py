"""What Slicer's build needs to know about the extension's files."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "Testing"))

from cmake_lists import LISTS, MODULES, files_of, listed


@pytest.mark.parametrize("module", MODULES)
def test_cmake_lists_every_file_once_and_no_other(module):
    hint = "run: python Testing/cmake_lists.py --write"
    for name in LISTS:
        assert listed(module)[name] == files_of(module)[name], hint


@pytest.mark.parametrize("module", MODULES)
def test_only_the_module_file_lies_beside_its_packages(module):
    # Slicer takes every other .py file there for a module.
    assert [path.name for path in (REPOSITORY / module).glob("*.py")] == [f"{module}.py"]


@pytest.mark.parametrize("module", MODULES)
def test_icon_is_found_by_its_name(module):
    icon = ElementTree.parse(REPOSITORY / module / "Resources" / "Icons" / f"{module}.svg").getroot()
    assert (icon.get("width"), icon.get("height")) == ("128", "128")


def test_extension_icon_is_128_pixels():
    image = pytest.importorskip("PIL.Image")
    assert image.open(REPOSITORY / "FetalEcho.png").size == (128, 128)


PANEL_FILES = sorted(REPOSITORY.glob("FetalEcho*/Resources/UI/*.ui"))
_INTERACTIVE = re.compile(r"Button$|ComboBox$|CheckBox$|SpinBox$|Slider\w*$|LineEdit$|TableWidget$|TextEdit$")


@pytest.mark.parametrize("path", PANEL_FILES, ids=lambda path: path.stem)
def test_panel_file_declares_what_it_uses_and_explains_itself(path):
    root = ElementTree.parse(path).getroot()
    assert root.find("widget").get("name") == path.stem
    declared = {c.findtext("class") for c in root.iter("customwidget")}
    foreign = {w.get("class") for w in root.iter("widget") if w.get("class").startswith(("ctk", "qMRML", "qSlicer"))}
    assert foreign == declared
    names = [widget.get("name") for widget in root.iter("widget")]
    assert len(names) == len(set(names))
    for widget in root.iter("widget"):
        interactive = _INTERACTIVE.search(widget.get("class")) and widget.get("class") != "ctkCollapsibleButton"
        tips = [p for p in widget.findall("property") if p.get("name") == "toolTip"]
        assert tips or not interactive, widget.get("name")


@pytest.mark.parametrize("module", MODULES)
def test_module_file_uses_widgets_of_its_panel_file(module):
    root = ElementTree.parse(REPOSITORY / module / "Resources" / "UI" / f"{module}.ui").getroot()
    names = {widget.get("name") for widget in root.iter("widget")}
    used = set(re.findall(r"self\.ui\.(\w+)", (REPOSITORY / module / f"{module}.py").read_text(encoding="utf-8")))
    assert used <= names


def test_every_section_has_its_panel_file_and_every_file_its_section():
    sources = REPOSITORY.glob("FetalEcho*/FetalEcho*Lib/panel/*_section.py")
    named = (re.search(r'uiName = "(\w+)"', path.read_text(encoding="utf-8")) for path in sources)
    sections = {found.group(1) for found in named if found}  # one that extends another has its file
    assert sections == {path.stem for path in PANEL_FILES} - set(MODULES)


def test_parameters_that_widgets_follow_exist():
    source = (REPOSITORY / "FetalEchoSeg" / "FetalEchoSeg.py").read_text(encoding="utf-8")
    body = source[source.index("class FetalEchoSegParameterNode") : source.index("class FetalEchoSegWidget")]
    parameters = set(re.findall(r"^    (\w+): ", body, flags=re.MULTILINE))
    assert {"browser", "view"} <= parameters
    for path in PANEL_FILES:
        root = ElementTree.parse(path).getroot()
        bound = {p.findtext("string") for p in root.iter("property") if p.get("name") == "SlicerParameterName"}
        assert bound <= parameters, path.name


_STUB = """
set(Slicer_USE_FILE "${CMAKE_CURRENT_LIST_DIR}/use.cmake")
set(Slicer_EXTENSION_GENERATE_CONFIG "${CMAKE_CURRENT_LIST_DIR}/nothing.cmake")
set(Slicer_EXTENSION_CPACK "${CMAKE_CURRENT_LIST_DIR}/nothing.cmake")
set(Slicer_QTSCRIPTEDMODULES_LIB_DIR "lib/Slicer-5.12/qt-scripted-modules")
set(Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR "lib/Slicer-5.12/qt-scripted-modules")
"""
_USE = """
set(BUILD_TESTING ON)
function(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(M "WITH_GENERIC_TESTS" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  foreach(file IN LISTS M_SCRIPTS M_RESOURCES)
    if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${file}")
      message(FATAL_ERROR "${file} does not exist")
    endif()
    get_filename_component(folder "${file}" DIRECTORY)
    install(FILES "${file}" DESTINATION "${Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR}/${folder}")
  endforeach()
endfunction()
function(slicer_add_python_unittest)
  cmake_parse_arguments(M "" "SCRIPT" "" ${ARGN})
  if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${M_SCRIPT}")
    message(FATAL_ERROR "${M_SCRIPT} does not exist")
  endif()
endfunction()
"""


@pytest.mark.skipif(shutil.which("cmake") is None, reason="needs cmake")
def test_cmake_builds_and_installs_against_a_double_of_slicers_macros(tmp_path):
    """Not Slicer's own build, but the same language, files and folders."""
    (tmp_path / "SlicerConfig.cmake").write_text(_STUB)
    (tmp_path / "use.cmake").write_text(_USE)
    (tmp_path / "nothing.cmake").write_text("")
    build, prefix = tmp_path / "build", tmp_path / "prefix"
    configure = ["cmake", "-S", REPOSITORY, "-B", build, f"-DSlicer_DIR={tmp_path}", f"-DCMAKE_INSTALL_PREFIX={prefix}"]
    for command in (configure, ["cmake", "--build", build], ["cmake", "--install", build]):
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
    for root in (build, prefix):
        scripted = root / "lib" / "Slicer-5.12" / "qt-scripted-modules"
        assert (scripted / "Resources" / "Terminology" / "FetalEcho.term.json").is_file()
    # The installed library finds what it needs beside it, without the source tree.
    code = "from FetalEchoSegLib.scene.terminology import terminologyPath; print(terminologyPath())"
    installed = prefix / "lib" / "Slicer-5.12" / "qt-scripted-modules"
    done = subprocess.run([sys.executable, "-c", code], cwd=installed, capture_output=True, text=True, timeout=60)
    assert Path(done.stdout.strip()) == installed / "Resources" / "Terminology" / "FetalEcho.term.json", done.stderr
