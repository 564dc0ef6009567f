"""`join`: rows of two streams that belong together."""
