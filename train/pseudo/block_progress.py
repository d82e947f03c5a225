"""Progress of work that is done in blocks of clips: a bar on a terminal, a line for each block elsewhere."""

from collections.abc import Iterator, Sequence, Sized
from typing import TypeVar

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

Block = TypeVar("Block", bound=Sized)


def track_blocks(blocks: Sequence[Block], what: str) -> Iterator[Block]:
    """The blocks one after the other, counting their clips."""
    total, done = sum(map(len, blocks)), 0
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, TimeRemainingColumn()) as progress:
        task = progress.add_task(what, total=total)
        for block in blocks:
            yield block
            done += len(block)
            progress.update(task, completed=done)
            if not progress.console.is_terminal:
                print(f"{what}: clip {done}/{total}", flush=True)
