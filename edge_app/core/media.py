"""What FFmpeg reads through PyAV: M4A, AAC, AMR, WMA, and the sound of videos.

Of several sound streams the one that the file marks as the default is taken, else the first. Packets that are
missing for up to a second are filled with silence, so that times stay right: recorders leave out packets of
silence. A raw stream (AAC, AC-3, MPEG) tells no length: cut between two packets it passes for a short
recording. Encoders put up to 50 ms of silence before the sound; raw streams, FLV, AVI, MPEG streams and MP4 in
fragments do not tell how much, and their times are late by it. FFmpeg is given an open file, knows a list of
formats, and may open nothing else: a playlist that calls itself a video stays a file that is no recording.
"""

from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from edge_app.core.errors import AudioError
from edge_app.core.file_ends import matroska_ended, ogg_ended, riff_ended
from edge_app.core.file_handle import FileHandle, reason_of

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.resampler import AudioResampler
    from av.audio.stream import AudioStream

SUFFIXES = (
    *(".m4a", ".m4b", ".aac", ".mp4", ".m4v", ".mov", ".3gp", ".3g2", ".mkv", ".mka", ".webm", ".weba"),
    *(".avi", ".wma", ".wmv", ".asf", ".amr", ".flv", ".mpg", ".mpeg", ".m2ts", ".mts", ".ac3", ".eac3"),
    *(".ape", ".wv", ".tta", ".spx"),
)
"""Suffixes of files that FFmpeg is needed for."""
_DEMUXERS = "mov,matroska,webm,avi,asf,flv,aac,amr,amrnb,amrwb,ogg,caf,wav,mpegts,mpeg,ac3,eac3,ape,wv,tta"
_OPENED_OTHERWISE = ("ogg", "wav", "caf")
_CODECS_READ_OTHERWISE = ("vorbis", "opus", "pcm_", "adpcm_ima", "adpcm_ms")  # wherever the other meets them
_CODECS_WITH_SUMS = ("flac", "ac3", "eac3")  # check sums, which are looked at only when asked
_MOST_PLANES = 7  # a frame has room for eight pointers, of which PyAV wants the last to be none
_GAP_S = 0.1  # less is the rounding of times
_LONGEST_GAP_S = 1.0
_SLACK_S = 0.2  # encoders count what they add at both ends, or not
_EXACT = ("wv", "ape", "tta")
_MAGIC = (b"\x1a\x45\xdf\xa3", b"\x30\x26\xb2\x75", b"FLV", b"#!AMR", b"wvpk")
_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")


class MediaReader:
    """An open file that FFmpeg reads.

    `refused` is why libsndfile does not read it. Raises AudioError where it is no media file, has no sound or is
    damaged, and where PyAV is not installed.
    """

    def __init__(self, path: Path, handle: FileHandle, refused: str) -> None:
        self._path, self._handle, self._done = path, handle, 0
        self._next_s: float | None = None
        self._packing: AudioResampler | None = None
        self.declared_s: float | None = None
        """Seconds that the file says its sound has; None where it does not say."""
        self.sample_rate = 1  # until a frame is decoded: what the header says is not always so
        self._container = self._open(refused)
        try:
            self._stream = self._sound_stream(refused)
            self.declared_s = self._declared_s()
            self._is_whole = self._ended()
            frames = self._frames()
            first = next(frames, None)
            if first is None:
                raise AudioError(f"{path}: expected sound, found no samples")
        except BaseException as error:
            self.close()
            self._reraise(error)
        self._waiting = chain([first], frames)
        self.sample_rate = first.sample_rate
        self.n_channels: int = first.layout.nb_channels

    def close(self) -> None:
        """Let go of the decoder; the file stays open."""
        self._container.close()

    def pieces(self, length: int) -> Iterator[NDArray[np.float32]]:
        """Samples of shape (sample, channel), at most `length` at once. Raises AudioError where it is damaged."""
        for frame in self._waiting:
            if frame.sample_rate != self.sample_rate:
                raise self._error(f"from here on {frame.sample_rate} Hz instead of {self.sample_rate}")
            samples = _samples(frame)
            gap = np.zeros((self._gap(frame), samples.shape[1]), np.float32)
            for part in (gap, samples):
                for start in range(0, len(part), length):
                    piece = part[start : start + length]
                    self._done += len(piece)
                    yield piece

    def check_end(self) -> None:
        """Raise AudioError where less was read than the file should hold."""
        slack_s = 0.01 if self._is_exact else _SLACK_S
        done_s = self._done / self.sample_rate
        short = self.declared_s is not None and done_s < self.declared_s - slack_s
        if short or not self._is_whole:
            raise self._error("the file is truncated")

    def _open(self, refused: str) -> Any:
        try:
            import av
        except ImportError as error:
            raise AudioError(
                f"{self._path}: expected WAV, FLAC, OGG or MP3, found: {refused} "
                "(M4A and the sound of videos need FFmpeg: pip install av)"
            ) from error
        self._handle.seek(0)
        head = self._handle.read(12)
        self._handle.seek(0)
        limits = {"format_whitelist": _DEMUXERS, "protocol_whitelist": "none"}
        try:
            # Its own exceptions are those of the system, of Python and of FFmpeg, as the damage will have it.
            return av.open(
                _Bytes(self._handle), metadata_errors="replace", io_open=_refuse, container_options=limits
            )
        except Exception as error:
            reason = reason_of(self._handle.failure) if self._handle.failure else refused
            if not self._handle.failure and _is_media(head):
                reason = f"a damaged or cut file ({reason_of(error)})"
            raise self._not_audio(reason) from error

    def _not_audio(self, reason: str) -> AudioError:
        return AudioError(
            f"{self._path}: expected audio (WAV, FLAC, OGG, MP3, M4A) or a video with sound, found: {reason}"
        )

    def _sound_stream(self, refused: str) -> "AudioStream":
        streams: tuple[AudioStream, ...] = self._container.streams.audio
        if not streams:
            raise AudioError(f"{self._path}: expected sound, found a file without a sound stream")
        stream = next((stream for stream in streams if _is_default(stream)), streams[0])
        if stream.codec_context is None:
            raise self._not_audio("a sound codec that is not known")
        known = self._container.format.name in _OPENED_OTHERWISE
        if known and stream.codec_context.name.startswith(_CODECS_READ_OTHERWISE):
            raise self._not_audio(refused)  # the other decoder knows this kind: the file is damaged
        stream.codec_context.thread_count = 1
        if stream.codec_context.name in _CODECS_WITH_SUMS:
            stream.codec_context.options = {"err_detect": "crccheck+explode"}
        return stream

    def _declared_s(self) -> float | None:
        """Seconds of sound that the file tells; the length of a whole video says nothing of its sound."""
        stream, kind = self._stream, self._container.format.name
        if kind.startswith("mov") or kind in (*_EXACT, "caf", "ogg"):
            if stream.duration is None or stream.time_base is None:
                return None
            return float(stream.duration * stream.time_base)
        if kind.startswith(("matroska", "flv", "asf")):
            if (told := _seconds(stream.metadata.get("DURATION", ""))) is not None:
                return told
            if len(self._container.streams) == 1 and self._container.duration:
                return float(self._container.duration / 1e6)
        return None

    @property
    def _is_exact(self) -> bool:
        """Whether each sample is accounted for; FLAC in Ogg is passed over where it is damaged, and nothing said."""
        kind = self._container.format.name
        return kind in _EXACT or (kind == "ogg" and self._stream.codec_context.name == "flac")

    def _ended(self) -> bool:
        checks = {"avi": riff_ended, "wav": riff_ended, "matroska,webm": matroska_ended, "ogg": ogg_ended}
        check = checks.get(self._container.format.name)
        if check is None:
            return True
        place = self._handle.tell()
        try:
            return check(self._handle)
        finally:
            self._handle.seek(place)

    def _frames(self) -> Iterator["AudioFrame"]:
        """Decoded frames; raises AudioError where there is damage that the decoder notices."""
        try:
            for packet in self._container.demux(self._stream):
                if packet.is_corrupt:
                    raise self._error("the file is truncated or damaged")
                for frame in packet.decode():
                    if frame.is_corrupt:
                        raise self._error("the sound is damaged")
                    if frame.samples:
                        yield from self._readable(frame)
        except Exception as error:
            self._reraise(error)
        if self._handle.failure:
            raise self._error(reason_of(self._handle.failure)) from self._handle.failure

    def _readable(self, frame: "AudioFrame") -> list["AudioFrame"]:
        """The frame, with its channels in one plane where PyAV would read beyond the last of several: it crashes."""
        if not frame.format.is_planar or frame.layout.nb_channels <= _MOST_PLANES:
            return [frame]
        if self._packing is None:
            from av import AudioResampler

            self._packing = AudioResampler(frame.format.packed, frame.layout, frame.sample_rate)
        return self._packing.resample(frame)

    def _reraise(self, error: BaseException) -> NoReturn:
        if isinstance(error, AudioError) or not isinstance(error, Exception):
            raise error
        raise self._error(reason_of(error)) from error

    def _gap(self, frame: "AudioFrame") -> int:
        """Samples that are missing before a frame. Raises AudioError where they are too many to be silence."""
        if frame.pts is None or frame.time_base is None:
            return 0
        start_s = float(frame.pts * frame.time_base)
        gap_s = 0.0 if self._next_s is None else start_s - self._next_s
        self._next_s = start_s + frame.samples / frame.sample_rate
        if gap_s > (_GAP_S if self._is_exact else _LONGEST_GAP_S):
            raise self._error(f"the next {gap_s:.3f} s are missing")
        return round(gap_s * self.sample_rate) if gap_s > _GAP_S else 0

    def _error(self, reason: str) -> AudioError:
        if self._handle.failure:  # what the decoder makes of it is only what follows
            reason = reason_of(self._handle.failure)
        expected = "sound to the end" if self.declared_s is None else f"{self.declared_s:.3f} s of sound"
        done_s = self._done / self.sample_rate
        return AudioError(f"{self._path}: expected {expected}, found {done_s:.3f} s ({reason})")


class _Bytes:
    """An open file without its name, from which FFmpeg could guess."""

    def __init__(self, handle: FileHandle) -> None:
        self.read, self.seek, self.tell, self.seekable = (
            handle.read,
            handle.seek,
            handle.tell,
            handle.seekable,
        )


def _refuse(*_: Any) -> NoReturn:
    """Stands where FFmpeg opens the files that a file names."""
    raise PermissionError(1, "a file that refers to another is not followed")


def _is_media(head: bytes) -> bool:
    return head.startswith(_MAGIC) or head[4:8] in _BOXES or (head[:4] == b"RIFF" and head[8:12] == b"AVI ")


def _is_default(stream: "AudioStream") -> bool:
    from av.stream import Disposition

    return Disposition.default in stream.disposition


def _seconds(text: str) -> float | None:
    """The seconds of `hours:minutes:seconds`."""
    parts = text.split(":")
    if len(parts) == 3:
        with suppress(ValueError):
            hours, minutes, seconds = map(float, parts)
            return 3600 * hours + 60 * minutes + seconds
    return None


def _samples(frame: "AudioFrame") -> NDArray[np.float32]:
    """A frame's samples of shape (sample, channel), full scale 1."""
    values: NDArray[Any] = frame.to_ndarray()
    values = values.T if frame.format.is_planar else values.reshape(-1, frame.layout.nb_channels)
    if values.dtype.kind == "f":
        return values.astype(np.float32)
    if values.dtype.kind == "u":
        return ((values.astype(np.float32) - 128) / 128).astype(np.float32)
    full_scale = 2.0 ** (8 * values.dtype.itemsize - 1)
    return (values / full_scale).astype(np.float32)
