"""FetalEcho training: from corrected frames to a new model."""
