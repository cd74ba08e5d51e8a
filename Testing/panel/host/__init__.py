"""A host that runs Slicer module code, unchanged, without the Slicer application.

MRML, segmentation and display logic are Slicer's own, from the slicer-core package; Qt is PySide6 made to behave as
Slicer's PythonQt; only thin Qt widgets are written again.

    pythonqt  PythonQt's semantics, patched into PySide6 when ``host.qt`` is imported.
              slot_errors: list of tracebacks that no exception could carry; a test must end with it empty.
              PySignal("valueChanged(double)", ...): class attribute, a signal of a widget written in Python; emit().
              cpp_class: decorator of a class that plays a C++ class but is no widget of .ui files (slicer.app...).
              call_slot(function, arguments), class_name(obj), cpp_classes(), record_error().
              Inside this package plain attributes can be set on such objects; elsewhere that raises, as in Slicer.
              Properties of host widgets: PySide6.QtCore.Property(kind, getter, setter); they read as attributes.
              Remember that Qt's own properties read as attributes too: ``self.width``, ``combo.currentText``.
    qt, ctk   what modules import under these names; importing host.qt, host.ctk registers them in sys.modules.
              ctk.stored(kind, name, default): a property that is only kept.  ctk.row(widget, *children): layout.
    desktop   dialogs.answer(value or function, about="part of its text"), dialogs.log, dialogs.pending,
              dialogs.reset(): the script of modal dialogs. One without an answer raises UnexpectedDialogError and is a
              slot error.
              An answer is what exec_() or the static function returns, or a function of the dialog returning that
              (it may click in the dialog).
              opened_urls: addresses given to QDesktopServices.openUrl. clear_settings(): empties QSettings, which live
              in a temporary folder.
    uiloader  @register: cpp_class for widgets that .ui files name; registry; QUiLoader (also as qt.QUiLoader).
"""
