"""The radio chip's driver; air times and channel plans are `suat_wire`'s."""
