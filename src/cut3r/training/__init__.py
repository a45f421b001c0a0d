"""Samples become weights."""
