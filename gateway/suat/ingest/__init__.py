"""Receive: what brings frames into the station. One file a source, found by its kind."""
