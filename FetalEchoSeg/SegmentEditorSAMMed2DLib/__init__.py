"""The Segment Editor effect "SAM-Med2D"; importing it makes this folder a package before Slicer takes it for a file."""

from .SegmentEditorEffect import SegmentEditorEffect

__all__ = ["SegmentEditorEffect"]
