"""FetalEcho: read, segment, label and measure fetal heart ultrasound."""

__version__ = "0.1.0"
