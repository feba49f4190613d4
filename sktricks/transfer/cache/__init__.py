"""Cache the features of frozen nets, so that each image is encoded once."""
