"""The console: a page to look at the pipeline with, and what it asks beyond the rest of the API."""
