"""What of FetalEcho Training works on the scene."""
