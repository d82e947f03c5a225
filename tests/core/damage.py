"""Damages recordings and reads them in a process of its own: `python -m tests.core.damage FOLDER FIRST LAST`.

With one file instead it reads just that. A line of JSON a file goes to the standard output before it is read,
and one after; the last line tells the peak of memory. Where one takes too long the process ends itself.
"""

import faulthandler
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from edge_app.core.audio import read_blocks
from edge_app.core.errors import AudioError
from tests.core.media_files import MEDIA, write_media

BANK = Path(__file__).parent.parent / "data" / "bank"
LONGEST_S = 10.0
SOUNDS = {
    "plain.wav": "PCM_16",
    "float.wav": "FLOAT",
    "packed.wav": "IMA_ADPCM",
    "lossless.flac": "PCM_16",
    "vorbis.ogg": "VORBIS",
    "opus.ogg": "OPUS",
    "layer.mp3": "MPEG_LAYER_III",
    "plain.aiff": "PCM_16",
    "plain.caf": "PCM_16",
    "big.w64": "PCM_24",
}
EXTREMES = (
    0,
    1,
    2,
    3,
    255,
    1_000,
    1_024,
    0x7FFF,
    0x8000,
    0xFFFF,
    768_000,
    0x7FFF_FFFF,
    0x8000_0000,
    0xFFFF_FFFF,
)
FIELDS = {
    ".wav": (b"fmt ", b"data", b"RIFF", b"fact"),
    ".flac": (b"fLaC",),
    ".ogg": (b"OggS", b"vorbis", b"OpusHead"),
    ".mp3": (b"Xing", b"Info", b"\xff\xfb"),
    ".aiff": (b"COMM", b"SSND"),
    ".caf": (b"desc", b"data", b"pakt"),
    ".w64": (b"fmt ", b"data"),
    ".avi": (b"strh", b"strf", b"avih", b"idx1", b"movi"),
    ".mkv": (b"\x16\x54\xae\x6b", b"\x15\x49\xa9\x66", b"\x1f\x43\xb6\x75", b"\xe1"),
    ".webm": (b"\x16\x54\xae\x6b", b"OpusHead", b"\x1f\x43\xb6\x75"),
}
BOXES = (
    b"mdhd",
    b"mvhd",
    b"stts",
    b"stsz",
    b"stsc",
    b"stco",
    b"mp4a",
    b"esds",
    b"elst",
    b"trun",
    b"tfhd",
    b"alac",
)
"""Parts of MP4 and its kin; what is not in `FIELDS` is one of those."""


def write_whole_ones(folder: Path) -> list[Path]:
    """Write a real recording of a second and a half in every format."""
    recording = sorted((BANK / "foreground").rglob("*.flac"))[0]
    samples, sample_rate = soundfile.read(recording, dtype="float32", frames=24_000, always_2d=True)
    paths = []
    for name, subtype in SOUNDS.items():
        paths.append(folder / name)
        soundfile.write(paths[-1], samples, sample_rate, subtype=subtype)
    for name in MEDIA:
        channels = 1 if name.endswith(".amr") else 2
        paths.append(write_media(folder / name, np.repeat(samples[:, :1], channels, axis=1)))
    return paths


def flip(content: bytearray, rng: np.random.Generator, suffix: str) -> None:
    """Change some bytes anywhere."""
    for place in rng.integers(len(content), size=rng.integers(1, 40)):
        content[place] ^= int(rng.integers(1, 256))


def flip_head(content: bytearray, rng: np.random.Generator, suffix: str) -> None:
    """Change some bytes near the beginning."""
    for place in rng.integers(min(200, len(content)), size=rng.integers(1, 8)):
        content[place] ^= int(rng.integers(1, 256))


def cut(content: bytearray, rng: np.random.Generator, suffix: str) -> None:
    """Leave out the end."""
    del content[int(rng.integers(len(content))) :]


def leave_out(content: bytearray, rng: np.random.Generator, suffix: str) -> None:
    """Leave out a stretch in the middle."""
    start = int(rng.integers(len(content)))
    del content[start : start + int(rng.integers(1, 3_000))]


def blank(content: bytearray, rng: np.random.Generator, suffix: str) -> None:
    """Set a stretch to one value."""
    start = int(rng.integers(len(content)))
    length = min(int(rng.integers(1, 3_000)), len(content) - start)
    content[start : start + length] = bytes([int(rng.choice([0, 0xFF, 0x55]))]) * length


def lie(content: bytearray, rng: np.random.Generator, suffix: str) -> None:
    """Write extreme numbers where the header tells lengths, rates and channels."""
    for _ in range(rng.integers(1, 4)):
        fields = [field for field in FIELDS.get(suffix, BOXES) if field in content]
        start = content.index(fields[rng.integers(len(fields))]) + 4 if fields else 0
        start = min(start + int(rng.integers(32)), len(content) - 1)
        width = min(int(rng.choice([1, 2, 4, 8])), len(content) - start)
        number = EXTREMES[rng.integers(len(EXTREMES))] % 256**width
        content[start : start + width] = number.to_bytes(width, "big" if rng.integers(2) else "little")


DAMAGES: tuple[Callable[[bytearray, np.random.Generator, str], None], ...] = (
    *(flip, flip_head, cut, leave_out, blank),
    *(lie, lie, lie),
)


def damaged(whole: list[Path], index: int) -> tuple[str, bytes]:
    """Name and contents of the damaged file of that number: the same at every call."""
    rng = np.random.default_rng(index)
    source = whole[index % len(whole)]
    content = bytearray(source.read_bytes())
    damage = DAMAGES[index // len(whole) % len(DAMAGES)]
    damage(content, rng, source.suffix)
    return f"{damage.__name__}-{index}-{source.name}", bytes(content)


def read(path: Path) -> str:
    """What came of reading it: empty where it was read, else the error."""
    try:
        for _ in read_blocks(path):
            pass
    except AudioError as error:
        return str(error)
    return ""


def main(folder: Path, first: int, last: int) -> None:
    """Damage and read the files of those numbers."""
    whole = sorted((folder / "whole").iterdir())
    for index in range(first, last):
        name, content = damaged(whole, index)
        path = folder / name
        path.write_bytes(content)
        print(json.dumps({"index": index, "name": name}), flush=True)
        faulthandler.dump_traceback_later(LONGEST_S, exit=True)
        started = time.perf_counter()
        error = read(path)
        wall_s = time.perf_counter() - started
        faulthandler.cancel_dump_traceback_later()
        print(json.dumps({"index": index, "name": name, "error": error, "wall_s": wall_s}), flush=True)
        path.unlink()


def peak_mb() -> float:
    """The most memory that this process has had; 0 where the system does not tell.

    Not from getrusage: what it tells counts the process that started this one.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        return 0.0
    return next(
        (int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0.0
    )


if __name__ == "__main__":
    if len(sys.argv) == 2:
        print(json.dumps({"error": read(Path(sys.argv[1])), "peak_mb": peak_mb()}))
    else:
        main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
        print(json.dumps({"peak_mb": peak_mb()}))
