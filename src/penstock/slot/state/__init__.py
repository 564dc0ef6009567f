"""The state of keyed stages in a slot: shelves of values by key, and the log that each commit adds to."""
