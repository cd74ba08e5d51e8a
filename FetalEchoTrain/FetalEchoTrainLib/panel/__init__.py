"""The panel of FetalEcho Training, section by section."""
