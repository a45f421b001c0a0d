"""A finished run becomes what other programs take."""
