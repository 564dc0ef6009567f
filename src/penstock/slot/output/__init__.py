"""Where a slot's rows go: queues, sinks, and what is too large for either."""
