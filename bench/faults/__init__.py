"""What `kill_matrix.py` and `recovery.py` run and shoot at."""
