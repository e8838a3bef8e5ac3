"""The commands of `suat`, one file a subject."""
