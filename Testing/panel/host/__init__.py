"""A host for Slicer's scripted modules: real MRML and views on slicer-core, PythonQt's semantics on PySide6.

Used by the tests of Testing/panel alone. Tests talk to ``driver``; its docstring shows how.

    pythonqt, qt, ctk, uiloader, desktop   Qt as PythonQt shows it, CTK's widgets, .ui files, modal dialogs
    boot, application, file_io, modules    slicer.app, slicer.modules, loading of module files
    mrml_widgets, parameter_gui            MRML widgets, parameters connected to widgets
    segment_editor, segment_effects        the Segment Editor and its scripted effects, on Slicer's editor logic
    segment_editor_input, segment_masking  its events and shortcuts, its masking section
    views, layout, plots                   slice views and plots with VTK in them, layout, main window
    surface, module_lint                   no name that Slicer lacks: in the host, and in our modules
    driver                                 the user's hands
"""

import os
import sys

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
sys.pyside6_option_python_enum = 0x02  # read when PySide6 is imported: enums are ints, as PythonQt's
