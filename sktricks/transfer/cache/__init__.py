"""Features of frozen nets, encoded once."""
