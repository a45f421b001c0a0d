"""Files that exist completely or not at all, and folders that one run owns."""
