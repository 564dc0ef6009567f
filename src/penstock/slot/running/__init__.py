"""How a stage works through its input: row after row, gathered, in flight, and retries that are due."""
