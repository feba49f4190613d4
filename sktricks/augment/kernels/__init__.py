"""Loops over pixels: compiled, or in numpy."""
