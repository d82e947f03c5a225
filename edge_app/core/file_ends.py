"""Whether a file is there to its end, by what its format tells: decoders take a cut file for a short one."""

import os
import re
import struct
from typing import BinaryIO

UNKNOWN_BYTES = 0x7FFF_0000
"""A size from here on in a header was written by a program that could not know it yet."""
_OGG_PAGE_BYTES = 65_307  # the most that a page has
_OGG_FIRST, _OGG_LAST = 2, 4  # flags of a page: of its stream's first and last
_MP3_HEAD = re.compile(rb"(?=(\xff[\xe2\xe3\xf2\xf3\xfa\xfb][\x10-\xef].))", re.DOTALL)
_MP3_KBITS = {
    1: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""By the version of MPEG, in the order of the header's number for them."""
_MP3_HZ = (44_100, 48_000, 32_000)
_MP3_SEARCHED_BYTES = 1 << 20


def ogg_ended(handle: BinaryIO) -> bool:
    """Whether the last page of an Ogg file is whole and marked as the last."""
    handle.seek(max(0, _size(handle) - 2 * _OGG_PAGE_BYTES))
    tail = handle.read()
    page = tail[max(0, tail.rfind(b"OggS")) :]
    if len(page) < 27 or not page[5] & _OGG_LAST:
        return False
    n_segments = page[26]
    lengths = page[27 : 27 + n_segments]
    return len(lengths) == n_segments and len(page) >= 27 + n_segments + sum(lengths)


def ogg_chained(handle: BinaryIO) -> bool:
    """Whether other streams begin behind the first ones of an Ogg file, as in recordings of Internet radio."""
    handle.seek(0)
    started = False
    while len(head := handle.read(27)) == 27 and head[:4] == b"OggS":
        if started and head[5] & _OGG_FIRST:
            return True
        started |= not head[5] & _OGG_FIRST
        handle.seek(sum(handle.read(head[26])), os.SEEK_CUR)
    return False


def riff_ended(handle: BinaryIO) -> bool:
    """Whether every RIFF chunk of a file (an AVI of hours has several) lies within it."""
    size, start = _size(handle), 0
    while True:
        handle.seek(start)
        head = handle.read(8)
        if head[:4] != b"RIFF" or len(head) < 8:
            return True
        (length,) = struct.unpack("<I", head[4:])
        if not 0 < length < UNKNOWN_BYTES:
            return True
        start += 8 + length + length % 2
        if start > size + 8:  # some writers count the head of the chunk, or a padding byte, too
            return False


def matroska_ended(handle: BinaryIO) -> bool:
    """Whether the segment of a Matroska or WebM file lies within it; true where it tells no size."""
    handle.seek(4)
    header = _ebml_size(handle)
    if header is None:
        return True
    handle.seek(header, os.SEEK_CUR)
    if handle.read(4) != b"\x18\x53\x80\x67":
        return True
    segment = _ebml_size(handle)
    return segment is None or handle.tell() + segment <= _size(handle)


def mp3_first_frame(handle: BinaryIO) -> bytes:
    """The first bytes of an MP3 after its tags, of which some programs write several."""
    start = 0
    handle.seek(start)
    while len(head := handle.read(10)) == 10 and head[:3] == b"ID3":
        start += 10 + sum(
            (byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True)
        )
        handle.seek(start)
    handle.seek(start)
    following = handle.read(4096)
    return following[max(0, following.find(b"\xff")) :]


def mp3_goes_on(handle: BinaryIO) -> bool:
    """Whether three frames of an MP3, one behind the other, follow where a file stands."""
    following = handle.read(_MP3_SEARCHED_BYTES)
    for match in _MP3_HEAD.finditer(following):
        place = match.start()
        for _ in range(3):
            length = _mp3_frame_bytes(following[place : place + 4])
            place += length
            if not length:
                break
        else:
            return True
    return False


def mp3_tells_length(first_frame: bytes) -> bool:
    """Whether the first frame of an MP3 tells how many follow."""
    return any(mark in first_frame[:256] for mark in (b"Xing", b"Info", b"VBRI"))


def _mp3_frame_bytes(head: bytes) -> int:
    """Length of the frame of layer III that a head begins (ISO/IEC 11172-3, section 2.4.3.1); 0 if it is none."""
    if not _MP3_HEAD.match(head) or head[2] >> 2 & 3 == 3:
        return 0
    version = 1 if head[1] & 8 else 2
    halved = 0 if version == 1 else 1 if head[1] & 16 else 2
    sample_rate = _MP3_HZ[head[2] >> 2 & 3] >> halved
    return 144_000 // version * _MP3_KBITS[version][head[2] >> 4] // sample_rate + (head[2] >> 1 & 1)


def _size(handle: BinaryIO) -> int:
    return os.fstat(handle.fileno()).st_size


def _ebml_size(handle: BinaryIO) -> int | None:
    """A size as Matroska writes it (RFC 8794, section 4): leading zeros count its bytes; all ones: not known."""
    first = handle.read(1)
    if not first or not first[0]:
        return None
    n_more = 8 - first[0].bit_length()
    rest = handle.read(n_more)
    number = int.from_bytes(bytes([first[0] & (0x7F >> n_more)]) + rest)
    return None if len(rest) < n_more or number == (1 << 7 * (n_more + 1)) - 1 else number
