"""Expecting whole scenes: in blocks, within a memory bound, resumable; also under other conditions."""
