"""Catalogues and archives: what they offer for a place and a time, and how it is read."""
