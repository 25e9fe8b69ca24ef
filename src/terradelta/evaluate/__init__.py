"""Scores and experiments."""
