"""The panel of the FetalEchoSeg module: sections over one shared state. Needs ``qt`` and ``slicer``."""
