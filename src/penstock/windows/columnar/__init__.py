"""Windows over columns: partial results as Arrow tables, and how they are merged. Pure; needs pyarrow where it runs."""
