"""What windows compute of their rows, a file for each kind. `aggregation` is what they have in common."""
