"""Weight files: read safely, understood, written, downloaded."""
