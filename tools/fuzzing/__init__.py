"""Hostile input for each door of the station; `tools/fuzz.py` runs it."""
