"""`sedge replay`: a kept session heard once more, and what is not the same as live."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from edge_app.commands.detector import RuntimeOption, open_detector
from edge_app.core.errors import EXIT_DONE, EXIT_SOME_FAILED, SedgeError
from edge_app.sessions.replay import Replay, replay
from edge_app.store.database import Store
from edge_app.store.places import database_path


@dataclass(frozen=True)
class ReplayArgs:
    """Score the sound of a session again and compare the events with those that were found live.

    The sound is the recording that the session listened to, or the one that it kept (`sedge listen --store-sound`).
    Gaps, step and thresholds are the session's. Exit status: 0 the same, 1 differences or a damaged store, 2 wrong
    use or no sound, 3 no model.
    """

    session: Annotated[int, tyro.conf.Positional, tyro.conf.arg(metavar="SESSION")]
    """Number of the session; `sedge export` lists them."""
    store: Annotated[Path | None, tyro.conf.arg(metavar="DB")] = None
    """The file in which it is kept; without it, the app's own."""
    bundle: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Model that it was heard with; without it, the one that comes with the program."""
    runtime: RuntimeOption = "auto"
    threads: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Threads that the model may use."""
    format: Literal["text", "json"] = "text"
    """How to print what came of it: a sentence, or one JSON object."""


def main(argv: list[str]) -> int:
    """Run `sedge replay`. Raises SedgeError for wrong use, no sound, no model and another model."""
    args = tyro.cli(ReplayArgs, args=argv, prog="sedge replay")
    path = database_path() if args.store is None else args.store
    if not path.is_file():
        raise SedgeError(f"{path}: expected a store of sessions, found no file")
    detector = open_detector(args.bundle, args.runtime, "live", args.threads)
    with Store(path) as store:
        result = replay(store, args.session, detector)
    print(as_json(result) if args.format == "json" else result.sentence)
    return EXIT_SOME_FAILED if result.differences else EXIT_DONE


def as_json(result: Replay) -> str:
    """One line of JSON."""
    return json.dumps(asdict(result))
