"""Hands: the carbonflow command."""
