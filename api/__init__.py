"""Asked: read-only HTTP over the store."""
