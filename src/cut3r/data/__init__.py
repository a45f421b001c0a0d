"""Disks, or nothing but a seed, become training samples."""
