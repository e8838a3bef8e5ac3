"""The board page: what a herder sees on the tablet. cards.py says what is shown, templates/ how."""
