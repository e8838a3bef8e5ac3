"""What the bench can do, one file a verb."""
