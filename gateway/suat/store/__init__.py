"""Keep: the journal, and what is forwarded out of it."""
