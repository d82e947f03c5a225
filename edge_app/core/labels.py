"""Event labels: the ten of DESED, and what a bundle may use as a label."""

import unicodedata
from collections.abc import Sequence

from edge_app.core.errors import SedgeError

DESED_LABELS = (
    "Alarm_bell_ringing",
    "Blender",
    "Cat",
    "Dishes",
    "Dog",
    "Electric_shaver_toothbrush",
    "Frying",
    "Running_water",
    "Speech",
    "Vacuum_cleaner",
)


def check_labels(event_labels: Sequence[str]) -> tuple[str, ...]:
    """Return the labels as a tuple, or raise SedgeError where one cannot stand in a table.

    Labels must be unique, not empty, and free of tabs, line breaks and other control characters, since every
    exchange format is a table with one of them as a column; and Unicode, which halves of a pair are not.
    """
    if not event_labels:
        raise SedgeError("event labels: expected at least one, found none")
    for label in event_labels:
        if not label.strip() or any(unicodedata.category(character) in ("Cc", "Cs") for character in label):
            raise SedgeError(f"event label {label!r}: expected text without tabs or line breaks")
    if len(set(event_labels)) != len(event_labels):
        raise SedgeError(f"event labels: expected no repetition, found {list(event_labels)}")
    return tuple(event_labels)
