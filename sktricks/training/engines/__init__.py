"""Engines that train a run."""
