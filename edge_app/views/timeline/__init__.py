"""Spectrogram and lanes on one axis of time."""
