"""Where this program keeps files of its own, on every system."""

from pathlib import Path

from platformdirs import user_cache_path


def cache_folder() -> Path:
    """What can be made again: the user's cache. Not made here."""
    return user_cache_path("sedge", appauthor=False)


def engine_folder() -> Path:
    """Engines that were compiled for this machine's GPU."""
    return cache_folder() / "engines"
