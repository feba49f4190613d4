"""Pixel kernels, compiled or in numpy."""
