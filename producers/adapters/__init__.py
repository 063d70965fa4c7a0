"""Adapters: documents of other standards become our records, or a refusal that says why."""
