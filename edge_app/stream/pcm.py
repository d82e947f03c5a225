"""Samples as bytes: the header of a WAV stream, and the bytes that follow it."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge_app.core.audio import LOUDEST, SAMPLE_RATES_HZ, UNKNOWN_BYTES
from edge_app.core.errors import AudioError

ReadBytes = Callable[[int], bytes]
"""Gives at most so many bytes, and none only at the end."""

WAV_MAGIC = (b"RIFF", b"RF64")
FILE_MAGIC = (b"fLaC", b"OggS", b"ID3", b"FORM", b"caff")
"""How recordings begin that are neither WAV nor raw samples: FLAC, Ogg, MP3 with a title, AIFF, CAF."""
_INTEGER, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_MOST_CHANNELS = 1024


@dataclass(frozen=True)
class PcmFormat:
    """How samples lie in a stream of bytes, little-endian, channels interleaved."""

    sample_rate: int
    n_channels: int = 1
    encoding: Literal["integer", "float"] = "integer"
    sample_bytes: int = 2
    total_bytes: int | None = None
    """Bytes of all samples, where it is known."""

    @property
    def moment_bytes(self) -> int:
        """Bytes of one sample of all channels."""
        return self.n_channels * self.sample_bytes


def read_exactly(read: ReadBytes, count: int, where: str) -> bytes:
    """`count` bytes. Raises AudioError where the stream ends before."""
    parts = []
    missing = count
    while missing:
        part = read(min(missing, 65_536))
        if not part:
            raise AudioError(f"{where}: expected a WAV header, found the end of the stream within it")
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def read_wav_header(read: ReadBytes, where: str) -> PcmFormat:
    """The format of a WAV stream whose first four bytes have been read; stops at its first sample.

    Raises AudioError where the header is cut or describes samples that are not plain integers or floats.
    """
    _, wave = struct.unpack("<I4s", read_exactly(read, 8, where))
    if wave != b"WAVE":
        raise AudioError(f"{where}: expected WAVE in the header, found {wave!r}")
    described: PcmFormat | None = None
    while True:
        chunk, size = struct.unpack("<4sI", read_exactly(read, 8, where))
        if chunk == b"data":
            break
        body = read_exactly(read, size + size % 2, where)
        if chunk == b"fmt ":
            described = _parse_format(body, where)
    if described is None:
        raise AudioError(f"{where}: expected a format before the samples, found none")
    total = size if 0 < size < UNKNOWN_BYTES else None
    return PcmFormat(
        described.sample_rate, described.n_channels, described.encoding, described.sample_bytes, total
    )


def _parse_format(body: bytes, where: str) -> PcmFormat:
    if len(body) < 16:
        raise AudioError(f"{where}: expected a format of 16 bytes or more, found {len(body)}")
    tag, n_channels, sample_rate, _, moment_bytes, bits = struct.unpack("<HHIIHH", body[:16])
    if tag == _EXTENSIBLE and len(body) >= 26:
        (tag,) = struct.unpack("<H", body[24:26])
    low, high = SAMPLE_RATES_HZ
    if not (0 < n_channels <= _MOST_CHANNELS and low <= sample_rate <= high):
        raise AudioError(
            f"{where}: expected 1 to {_MOST_CHANNELS} channels at {low} to {high} Hz, "
            f"found {n_channels} at {sample_rate} Hz"
        )
    sample_bytes = moment_bytes // n_channels
    known = {_INTEGER: (1, 2, 3, 4), _FLOAT: (4, 8)}.get(tag, ())
    if sample_bytes not in known:
        raise AudioError(
            f"{where}: expected integers of 8, 16, 24 or 32 bits or floats of 32 or 64, "
            f"found format {tag} with {bits} bits"
        )
    return PcmFormat(sample_rate, n_channels, "integer" if tag == _INTEGER else "float", sample_bytes)


def decode(content: bytes, pcm: PcmFormat, where: str) -> NDArray[np.float32]:
    """Whole moments of bytes to the mean of the channels, shape (sample,), full scale 1.

    Raises AudioError for samples that are not finite.
    """
    samples = _floats(content, pcm).reshape(-1, pcm.n_channels)
    if not (np.abs(samples) < LOUDEST).all():
        raise AudioError(f"{where}: expected finite samples, found others")
    return samples[:, 0] if pcm.n_channels == 1 else samples.mean(axis=1)


def _floats(content: bytes, pcm: PcmFormat) -> NDArray[np.float32]:
    if pcm.encoding == "float":
        return np.frombuffer(content, f"<f{pcm.sample_bytes}").astype(np.float32)
    if pcm.sample_bytes == 1:  # the only one without a sign
        return (np.frombuffer(content, np.uint8).astype(np.float32) - 128) / np.float32(128)
    if pcm.sample_bytes == 3:
        widened = np.zeros((len(content) // 3, 4), np.uint8)
        widened[:, 1:] = np.frombuffer(content, np.uint8).reshape(-1, 3)
        return widened.view("<i4")[:, 0].astype(np.float32) / np.float32(2**31)
    scale = np.float32(2 ** (8 * pcm.sample_bytes - 1))
    return np.frombuffer(content, f"<i{pcm.sample_bytes}").astype(np.float32) / scale
