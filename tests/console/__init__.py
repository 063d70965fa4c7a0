"""Tests of the console in a browser; a package, so that its browser ends with its last test."""
