"""A run over footage: flags, folders, progress, resuming, stopping."""
