"""Sedge on a device: detects domestic sound events in files and on a live microphone, without torch and Qt."""

__version__ = "0.1.0"
