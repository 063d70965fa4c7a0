"""Happens: Faust fed with slices, the pure step, the book of a partition, delivery."""
