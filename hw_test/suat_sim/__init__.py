"""The bench without hardware: real node code and a real gateway over simulated radio waves, pins, clocks and power."""
