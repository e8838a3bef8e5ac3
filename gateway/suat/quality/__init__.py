"""Calibrate, clean and summarise what was kept."""
