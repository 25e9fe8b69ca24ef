"""Difference images: to an expected image or to previous ones."""
