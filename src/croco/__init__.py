"""Holds the address of the optional CUDA kernel, `croco.curope`."""
