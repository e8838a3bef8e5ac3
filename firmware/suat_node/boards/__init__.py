"""One file a board: pins, radio wiring, power, with the source of each. `template.py` says what each name means."""
