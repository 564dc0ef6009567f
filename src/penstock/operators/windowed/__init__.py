"""The verbs over windows: what is computed of the rows of a key and window, and what stands for it in a worker."""
