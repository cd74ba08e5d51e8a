"""Scene layer: clips, predictions and tables as MRML nodes, in 3D Slicer and headless alike.

``headless`` boots the scene where the application is absent; ``cine_nodes``, ``segmentation_nodes``, ``tables`` and
``io`` translate between the core's types and MRML; ``terminology`` writes Slicer's terminology from ``anatomy``.
Nothing is imported here, so that naming the package costs nothing and needs neither ``slicer`` nor ``vtk``.
"""
