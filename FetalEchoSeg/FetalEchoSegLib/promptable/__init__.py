"""Masks from clicks: SAM-Med2D on the classes of ``segment-anything``, its bundles, and the Refiner."""
