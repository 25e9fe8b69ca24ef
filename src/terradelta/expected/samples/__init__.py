"""Samples to train on and to judge by: from cubes, from files, from records, to networks."""
