"""What was done since the last commit: rows that failed, room for the output, and the commit."""
