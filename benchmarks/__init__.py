"""Measured: the job on us and on peers, same broker, same records."""
