"""Overlapping events of one label are one event: tables have such rows, and metrics count them twice."""

from collections.abc import Iterable

from edge_app.core.events import Event


def merged(events: Iterable[Event], touching: bool = False) -> list[Event]:
    """Overlapping events of one label made one, sorted by onset, then label; `touching` merges touching ones too."""
    last: dict[str, Event] = {}
    done: list[Event] = []
    for later in sorted(events, key=lambda event: (event.onset, event.offset)):
        event, before = later, last.get(later.event_label)
        # events of no length overlap what begins with them
        is_over = before is not None and (event.onset < before.offset or event.onset == before.onset)
        if before and (is_over or (touching and event.onset == before.offset)):
            offset, score = max(before.offset, event.offset), max(before.score, event.score)
            event = Event(before.onset, offset, before.event_label, score)
        elif before:
            done.append(before)
        last[event.event_label] = event
    return sorted([*done, *last.values()], key=lambda event: (event.onset, event.event_label))
