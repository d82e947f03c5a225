"""When a recording began, as its name says it: the clock of the recorder, whatever its time zone was."""

import re
from datetime import datetime

FIRST_YEAR, LAST_YEAR = 1980, 2099
_MOMENT = re.compile(
    r"(?<!\d)(\d{4})([-_.]?)(\d\d)\2(\d\d)"  # the separators of a date agree
    r"(?:[T _$/-]+|(?=\d{6}(?!\d)))"  # or none, where the time has its seconds
    r"(\d\d)([-_.:h]?)(\d\d)(?:[-_.:m]?(\d\d))?(?!\d)"
)


def start_in_name(filename: str) -> datetime | None:
    """The moment in a filename such as `garden_20260131_235959.wav`, `2026-01-31T23-59-59.flac` or
    `2026-01-31/23.59.wav`; None where there is none. Where there are several, the last one, without a time zone.
    """
    found = None
    for match in _MOMENT.finditer(filename):
        year, _, month, day, hour, _, minute, second = match.groups()
        if not FIRST_YEAR <= int(year) <= LAST_YEAR:
            continue
        try:
            found = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second or 0))
        except ValueError:  # digits that are no date
            continue
    return found
