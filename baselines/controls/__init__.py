"""Trivial controls: rows that stand beside every method."""
