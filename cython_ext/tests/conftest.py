"""What all tests of the filters share."""

from hypothesis import settings

# A busy machine is not a failure.
settings.register_profile("suat", deadline=None)
settings.load_profile("suat")
