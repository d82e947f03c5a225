"""Media files as cameras, phones and browsers write them, made with PyAV for tests."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MEDIA = {
    "phone.m4a": ("aac", "ipod", 44_100, {}),
    "lossless.m4a": ("alac", "ipod", 44_100, {}),
    "fast.mp4": ("aac", "mp4", 48_000, {"movflags": "faststart"}),
    "pieces.mp4": ("aac", "mp4", 48_000, {"movflags": "frag_keyframe+empty_moov+default_base_moof"}),
    "camera.mov": ("pcm_s16be", "mov", 48_000, {}),
    "video.mkv": ("aac", "matroska", 48_000, {}),
    "exact.mka": ("pcm_s24le", "matroska", 44_100, {}),
    "browser.webm": ("libopus", "webm", 48_000, {}),
    "old.avi": ("mp3", "avi", 44_100, {}),
    "old.flv": ("aac", "flv", 44_100, {}),
    "raw.aac": ("aac", "adts", 44_100, {}),
    "dvd.mpg": ("mp2", "mpeg", 48_000, {}),
    "phone.amr": ("libopencore_amrnb", "amr", 8_000, {}),
    "disc.ac3": ("ac3", "ac3", 48_000, {}),
    "pack.wv": ("wavpack", "wv", 44_100, {}),
    "dictated.wav": ("libmp3lame", "wav", 44_100, {}),
    "lossless.oga": ("flac", "ogg", 44_100, {}),
    "lossless.caf": ("alac", "caf", 44_100, {}),
}
"""Codec, container, sample rate and options by name."""
WITH_PICTURES = ("fast.mp4", "video.mkv", "old.avi", "dvd.mpg")


def write_media(path: Path, samples: NDArray[np.float32]) -> Path:
    """Write samples (sample, channel) of 1, 2 or 8 channels as the kind of `MEDIA` that the name asks for."""
    import av

    codec, container, rate, options = MEDIA[path.name]
    layout = {1: "mono", 2: "stereo", 8: "7.1"}[samples.shape[1]]
    with av.open(str(path), "w", format=container, options=options) as output:
        sound: Any = output.add_stream(codec, rate=rate, layout=layout)
        pictures: Any = output.add_stream("mpeg4", rate=25) if path.name in WITH_PICTURES else None
        if pictures:
            pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
            for index in range(len(samples) * 25 // rate):
                output.mux(pictures.encode(_picture(index)))
            output.mux(pictures.encode(None))
        length = sound.codec_context.frame_size or 1024
        resampler = av.AudioResampler(format=sound.codec_context.format, layout=layout, rate=rate)
        for start in range(0, len(samples), length):
            frame = av.AudioFrame.from_ndarray(
                samples[start : start + length].reshape(1, -1), format="flt", layout=layout
            )
            frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            for part in resampler.resample(frame):
                output.mux(sound.encode(part))
        output.mux(sound.encode(None))
    return path


def _picture(index: int) -> Any:
    import av

    colours = np.random.default_rng(index).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    frame = av.VideoFrame.from_ndarray(colours, format="rgb24")
    frame.pts, frame.time_base = index, Fraction(1, 25)
    return frame


def tone_for(path: Path, seconds: float) -> NDArray[np.float32]:
    """440 Hz at 0.25, shape (sample, channel), at the rate that a name of `MEDIA` asks for."""
    _, _, rate, _ = MEDIA[path.name]
    wave = 0.25 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)
    return np.repeat(wave[:, None].astype(np.float32), 1 if path.suffix == ".amr" else 2, axis=1)
