"""Bytes and arrays: one module per format, reader and writer side by side."""
