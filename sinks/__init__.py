"""Rests: ClickHouse migrations, the writer and the typed queries."""
