"""The page of documentation, and its start."""
