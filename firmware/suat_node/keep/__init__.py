"""What must survive: counters and samples on flash."""
