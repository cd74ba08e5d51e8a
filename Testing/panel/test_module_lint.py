"""The lint finds each kind of mistake that Slicer answers with an error or with silence, and none in our modules."""

import textwrap

import pytest

from .host import module_lint

UI = """
<ui version="4.0"><class>Some</class><widget class="qMRMLWidget" name="Some"><layout class="QVBoxLayout" name="rows">
<item><widget class="QPushButton" name="applyButton"/></item>
<item><widget class="QComboBox" name="combo"/></item>
<item><widget class="ctkSliderWidget" name="slider"/></item>
<item><widget class="ctkCollapsibleButton" name="section"/></item>
</layout></widget></ui>"""


@pytest.fixture
def lint(tmp_path):
    """Findings, as texts, in the body of a method of a section with the above .ui file, or in a whole file."""
    (tmp_path / "Resources" / "UI").mkdir(parents=True)
    (tmp_path / "Resources" / "UI" / "Some.ui").write_text(UI, encoding="utf-8")

    def run(code, whole=False):
        file = tmp_path / "panel" / "some_section.py"
        file.parent.mkdir(exist_ok=True)
        body = textwrap.indent(textwrap.dedent(code), " " * 8)
        section = f'class SomeSection(Section):\n    uiName = "Some"\n\n    def setup(self, event=None):\n{body}\n'
        file.write_text(textwrap.dedent(code) if whole else section, encoding="utf-8")
        return [finding.text for finding in module_lint.lint(file)]

    return run


CLEAN = """
import qt
import slicer
from slicer.i18n import tr as _


class Picture(qt.QWidget):
    def __init__(self, parent=None):
        qt.QWidget.__init__(self, parent)
        self.frames = 3

    def paintEvent(self, event):
        painter = qt.QPainter(self)
        painter.fillRect(self.rect, self.palette.color(qt.QPalette.Window))
        painter.drawText(0, 0, str(self.width))
        painter.end()


class SomeSection(Section):
    uiName = "Some"

    def setup(self):
        ui, state = self.ui, self.state
        ui.applyButton.connect("clicked(bool)", self._onApply)
        ui.applyButton.clicked.connect(self._onApply)
        ui.slider.valueChanged.connect(self._onValue)
        ui.slider.maximum = 3.0
        ui.section.collapsed = True
        ui.combo.connect("currentIndexChanged(int)", self._onCombo)
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._onTimer)
        qt.QTimer.singleShot(0, self._onTimer)
        self._text = ui.applyButton.text.strip()
        dialog = qt.QMessageBox(slicer.util.mainWindow())
        dialog.exec_()
        if hasattr(slicer.util, "executePythonModule"):
            slicer.util.executePythonModule("pip", [])
        self.label = _("{count} frames").format(count=3)
        state.anything.connect(print_nothing)
"""


def test_good_code_has_no_finding(lint):
    assert lint(CLEAN, whole=True) == []


@pytest.mark.parametrize(
    ("code", "finding"),
    [
        ("qt.QLable()", "qt.QLable: not in Slicer"),
        ("ctk.ctkRuler()", "ctk.ctkRuler: not in Slicer"),
        ("slicer.qMRMLMagicWidget()", "slicer.qMRMLMagicWidget: not in Slicer"),
        ("qt.QMessageBox.Perhaps", "QMessageBox has no 'Perhaps'"),
        ("qt.Qt.AlignmentFlag.AlignLeft", "qt.Qt.AlignmentFlag.AlignLeft: enum values"),
        ("codec = qt.QTextCodec", "qt.QTextCodec: not in Qt 6"),
        ("qt.QRegExp('a')", "qt.QRegExp: not in Qt 6"),
        ("qt.QDesktopWidget()", "qt.QDesktopWidget: not in Qt 6"),
        ("slicer.util.loadUi('x')", "slicer.util.loadUi: not in Slicer"),
        ("slicer.util.executePythonModule('pip', [])", "slicer.util.executePythonModule: not in every Slicer"),
        ("from slicer.util import LazyImport", "slicer.util.LazyImport: not in every Slicer"),
        ("slicer.packaging.pip_ensure([])", "slicer.packaging: only in Slicer 5.12"),
        ("self.ui.cancelButton.setEnabled(False)", "self.ui.cancelButton: no such widget"),
        ("self.ui.slider.setRange(0, 1)", "ctkSliderWidget has no 'setRange'"),
        ("ui = self.ui\nui.slider.setRange(0, 1)", "ctkSliderWidget has no 'setRange'"),
        ("label = qt.QLabel('x')\nlabel.setTitle('y')", "QLabel has no 'setTitle'"),
        ("self.box = qt.QSpinBox()\nself.box.setText('y')", "QSpinBox has no 'setText'"),
        ("box = self.ui.combo\nbox.addEntry('y')", "QComboBox has no 'addEntry'"),
        ("press = qt.QMouseEvent()\npress.position()", "QMouseEvent has no 'position'"),
        ("slicer.app.layoutMaster()", "qSlicerApplication has no 'layoutMaster'"),
        ("self.ui.applyButton.connect('clickd(bool)', self.f)", "QPushButton has no signal clickd(bool)"),
        ("self.ui.slider.connect('valueChanged(int)', self.f)", "ctkSliderWidget has no signal valueChanged(int)"),
        ("self.ui.slider.rangeChanged.connect(self.f)", "ctkSliderWidget has no signal rangeChanged"),
        ("self.ui.applyButton.text.connect(self.f)", "QPushButton has no signal text"),
        ("self.ui.combo.currentIndexChanged.connect(self.f)", "QComboBox.currentIndexChanged is overloaded"),
        ("self.ui.applyButton.text()", "'text' of QPushButton is a value in PythonQt"),
        ("table = qt.QTableWidget()\ntable.rowCount()", "'rowCount' of QTableWidget is a value in PythonQt"),
        ("qt.QPushButton('x', clicked=self.f)", "qt.QPushButton(): PythonQt takes no keyword arguments"),
        ("qt.QFileDialog.getOpenFileName(None, dir='x')", "PythonQt takes no keyword arguments"),
        ("isinstance(event, qt.QWidget)", "isinstance(…, qt.QWidget): true for the exact class only"),
        ("isinstance(event, (str, ctk.ctkComboBox))", "isinstance(…, ctk.ctkComboBox): true for the exact class only"),
        ("_(f'{event} frames')", "_(): translates texts that are known beforehand"),
        ("_('{n} frames'.format(n=3))", "_(): translates texts that are known beforehand"),
        ("_('Frame ' + event)", "_(): translates texts that are known beforehand"),
        ("print('x')", "print: use logging"),
        ("self.ui.applyButton.text = 'x'", "self.ui.applyButton.text = …: call setText"),
        ("self.ui.applyButton.frames = 3", "self.ui.applyButton.frames = …: no property of QPushButton"),
        ("label = qt.QLabel()\nlabel.node = event", "label.node = …: no property of QLabel"),
    ],
)  # fmt: skip
def test_each_mistake_is_found(lint, code, finding):
    assert any(finding in text for text in lint(code)), lint(code)


@pytest.mark.parametrize(
    ("code", "finding"),
    [
        ("import torch", "import of torch"),
        ("from matplotlib import pyplot", "import of matplotlib"),
        ("try:\n    import monai\nexcept ImportError:\n    monai = None", "import of monai"),
        ("class Logic:\n    import pydicom", "import of pydicom"),
        ("from FetalEchoSegLib.networks import echocare", "import of FetalEchoSegLib.networks"),
        (
            "class Strip(qt.QWidget):\n    def paintEvent(self, event):\n        self.width()",
            "'width' of QWidget is a value",
        ),
    ],
)
def test_each_mistake_of_a_file_is_found(lint, code, finding):
    assert any(finding in text for text in lint(code, whole=True)), lint(code, whole=True)


EFFECT = """
import qt
import slicer
import vtk
from SegmentEditorEffects import AbstractScriptedSegmentEditorEffect
from slicer.i18n import tr as _


class SomeEffect(AbstractScriptedSegmentEditorEffect):
    def __init__(self, scriptedEffect):
        scriptedEffect.name = "Some"
        scriptedEffect.title = _("Some")
        AbstractScriptedSegmentEditorEffect.__init__(self, scriptedEffect)

    def clone(self):
        import qSlicerSegmentationsEditorEffectsPythonQt as effects

        clonedEffect = effects.qSlicerSegmentEditorScriptedEffect(None)
        clonedEffect.setPythonSource(__file__)
        return clonedEffect

    def setupOptionsFrame(self):
        self.scriptedEffect.addOptionsWidget(qt.QPushButton("Apply"))

    def updateMRMLFromGUI(self):
        self.scriptedEffect.setParameter("Invert", 1 if self.box.checked else 0)

    def processInteractionEvents(self, callerInteractor, eventId, viewWidget):
        if self.scriptedEffect.parameterSetNode() is None:
            return False
        modes = slicer.qSlicerSegmentEditorAbstractEffect
        image = self.scriptedEffect.defaultModifierLabelmap()
        self.scriptedEffect.modifySelectedSegmentByLabelmap(image, modes.ModificationModeAdd)
        return True
"""


@pytest.fixture
def lint_effect(tmp_path):
    """Findings, as texts, in the effect above, with one text replaced by another."""

    def run(right="", wrong=""):
        assert EFFECT.count(right) == 1 or not right
        file = tmp_path / "SegmentEditorSomeLib" / "SomeEffect.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(EFFECT.replace(right, wrong) if right else EFFECT, encoding="utf-8")
        return [finding.text for finding in module_lint.lint(file)]

    return run


def test_a_good_effect_has_no_finding(lint_effect):
    assert lint_effect() == []


@pytest.mark.parametrize(
    ("right", "wrong", "finding"),
    [
        ("class SomeEffect", "class OtherEffect", "the effect in SomeEffect.py has to be called SomeEffect"),
        ("def clone(self)", "def copy(self)", "an effect has to have a method clone"),
        ("import vtk", "from .brush import Brush", "relative import"),
        ("import vtk", "import torch", "import of torch"),
        ('name = "Some"', 'name = _("Some")', "the name of an effect is written into scenes"),
        ("1 if self.box.checked else 0", "self.box.checked", "a bool becomes one text or another"),
        ("1 if self.box.checked else 0", "not self.box.checked", "a bool becomes one text or another"),
        ("eventId, viewWidget", "eventId", "processInteractionEvents(): Slicer calls it with 3 arguments"),
        ("updateMRMLFromGUI(self)", "updateMRMLFromGUI(self, value)", "Slicer calls it with 0 arguments"),
        ("updateMRMLFromGUI", "referenceGeometryChanged", "no Slicer from 5.10 on calls it"),
        ("            return False", "            return", "has to return a bool"),
        ("        return True", "        self.done = True", "has to return a bool"),
        ("addOptionsWidget", "addOptions", "qSlicerSegmentEditorScriptedEffect has no 'addOptions'"),
        ("return clonedEffect", "self.scriptedEffect.box = clonedEffect", "scriptedEffect.box = …"),
        ("modes = slicer.qSlicerSegmentEditorAbstractEffect", "slicer.qSlicerSegmentEditorAbstractEffect.Add",
         "qSlicerSegmentEditorAbstractEffect has no 'Add'"),
        ("modes = ", "slicer.qSlicerSegmentEditorEffectFactory.instance().connect('registered()', 1); modes = ",
         "qSlicerSegmentEditorEffectFactory has no signal registered()"),
    ],
)  # fmt: skip
def test_each_mistake_of_an_effect_is_found(lint_effect, right, wrong, finding):
    assert any(finding in text for text in lint_effect(right, wrong)), lint_effect(right, wrong)


def test_imports_in_functions_and_for_types_are_free(lint):
    code = """
        from typing import TYPE_CHECKING
        if TYPE_CHECKING:
            import torch

        def run():
            import monai
    """
    assert lint(code, whole=True) == []


def test_a_variable_of_several_classes_is_of_none(lint):
    assert lint("box = qt.QLabel()\nbox = self.make()\nbox.setTitle('x')") == []
    assert lint("for box in (qt.QLabel(), 3):\n    box.setTitle('x')") == []


@pytest.mark.parametrize("path", module_lint.module_files(), ids=lambda path: path.name)
def test_our_modules_use_only_what_slicer_has(path):
    assert list(map(str, module_lint.lint(path))) == []
