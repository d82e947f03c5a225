"""The plan of the copies that keep a stream's tag memory on the device.

The memory holds `slots` frames per member, oldest first, in an array (member, slot, label). The graph takes the
newest `past` of them as one contiguous array (member, past, label), and gives its frames' two numbers as
(member, frame, label). A copy of rows, one row per member, moves any run of slots between such arrays.
Before the step `gather_copy` fills the graph's input; after it `append_copies` take the pooled frames in.
"""

from dataclasses import dataclass
from typing import Literal

Room = Literal["memory", "input", "output"]
"""The memory itself, the graph's input, the graph's output."""


@dataclass(frozen=True, slots=True)
class RowsCopy:
    """`height` rows of `width` elements from one room to another; rows begin `pitch` elements apart."""

    source: Room
    source_offset: int
    source_pitch: int
    destination: Room
    destination_offset: int
    destination_pitch: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class MemorySize:
    """Lengths of the memory's axes."""

    members: int
    slots: int
    labels: int


def gather_copy(size: MemorySize, past: int) -> RowsCopy:
    """The newest `past` slots into the graph's input."""
    return _slots_copy(size, ("memory", size.slots, size.slots - past), ("input", past, 0), past)


def append_copies(size: MemorySize, frames: int, past: int, pooled: slice) -> tuple[RowsCopy, ...]:
    """Take the `pooled` of the call's frames into the memory, forgetting as many of the oldest.

    Ranges of one copy may not overlap, so what stays goes through the graph's input, which must have room for
    all slots: the newest `past` slots are there already.
    """
    new = min(pooled.stop - pooled.start, size.slots)
    kept = size.slots - new
    copies = []
    held = past
    if kept > held:
        copies.append(gather_copy(size, kept))
        held = kept
    if kept:
        copies.append(_slots_copy(size, ("input", held, held - kept), ("memory", size.slots, 0), kept))
    if new:
        newest = pooled.stop - new
        copies.append(_slots_copy(size, ("output", frames, newest), ("memory", size.slots, kept), new))
    return tuple(copies)


def _slots_copy(
    size: MemorySize, source: tuple[Room, int, int], destination: tuple[Room, int, int], count: int
) -> RowsCopy:
    """`count` slots of every member; a place is a room, its slots per member, and the first slot meant."""
    (source_room, source_slots, source_first), (room, slots, first) = source, destination
    labels = size.labels
    return RowsCopy(
        source_room,
        source_first * labels,
        source_slots * labels,
        room,
        first * labels,
        slots * labels,
        count * labels,
        size.members,
    )
