"""Where this program keeps files of its own, on every system."""

from pathlib import Path

from platformdirs import user_cache_path, user_config_path, user_data_path


def cache_folder() -> Path:
    """What can be made again: the user's cache. Not made here."""
    return user_cache_path("sedge", appauthor=False)


def engine_folder() -> Path:
    """Engines that were compiled for this machine's GPU."""
    return cache_folder() / "engines"


def settings_path() -> Path:
    """The user's settings. Not made here."""
    return user_config_path("sedge", appauthor=False) / "settings.json"


def database_path() -> Path:
    """The history of what was heard, where no other is named. Not made here."""
    return user_data_path("sedge", appauthor=False) / "history.sqlite"
