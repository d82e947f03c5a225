"""Clips as files, for what begins with a folder."""

from pathlib import Path

import soundfile

from edge_app.formats.desed_tsv import write_events
from tests.train.noise_clips import SAMPLE_RATE, STRONG_SETS
from train.data.clips import ClipSet
from train.data.desed import SPLITS, DesedSet

COUNTS = {"synthetic": 3, "weak": 2, "unlabelled": 2, "development": 2, "validation": 2}
"""Clips of each set of a very small run."""


def write_layout(clips: ClipSet, folder: Path) -> None:
    """The clips as files in the layout of own mixes, with what each set's table says."""
    for name in dict.fromkeys(clips.sets):
        place = DesedSet.named(folder, SPLITS[name], name)
        place.audio.mkdir(parents=True)
        place.table.parent.mkdir(parents=True, exist_ok=True)
        rows = clips.indices(name)
        for row in rows:
            waveform = clips.waveforms[row, : clips.n_samples[row]]
            soundfile.write(place.audio / clips.filenames[row], waveform, SAMPLE_RATE)
        if name in STRONG_SETS:
            write_events(place.table, clips.reference(name))
        else:
            tags = [[clips.filenames[row], *(clips.given_tags[row] or ())] for row in rows]
            head = ["filename", "event_labels"][: len(tags[0])]
            place.table.write_text("".join("\t".join(line) + "\n" for line in [head, *tags]))
