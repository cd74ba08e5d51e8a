"""The synthetic fetal heart: geometry, motion and echo formation. Sample data and test bed, never patient data."""
