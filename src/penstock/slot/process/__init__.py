"""The worker as a process: its lock, its signals, what ends it, what it leaves to its supervisor."""
