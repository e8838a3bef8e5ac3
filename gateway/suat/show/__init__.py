"""The station's one HTTP application: board page, health, metrics, status."""
