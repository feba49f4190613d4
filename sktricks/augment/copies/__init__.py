"""Augmented copies and views of rows around any estimator."""
