"""The queries of Nexmark as pipelines, the events that they read, and what they must give."""
