"""Where a slot's rows come from: queues, sources, and what cannot be decoded."""
