"""The station: readings from the link to a decision about a paddock."""

__version__ = "0.1.0"
