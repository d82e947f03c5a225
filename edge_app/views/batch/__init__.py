"""Recordings scored beside the window."""
