"""Kernels that find and read the headers of one captured packet."""
