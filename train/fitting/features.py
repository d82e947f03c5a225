"""The features on the training device: torch and torchaudio, equal to `edge_app.core.logmel` to rounding."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchaudio.transforms import Spectrogram

from edge_app.core.logmel import LogMelConfig, mel_filters


class LogMel(nn.Module):
    """Log-mel spectrogram of a batch of clips."""

    def __init__(self, config: LogMelConfig | None = None, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.config = config = config or LogMelConfig()
        self.spectrogram = Spectrogram(
            n_fft=config.n_fft,
            win_length=config.window_length,
            hop_length=config.hop_length,
            window_fn=torch.blackman_window,
            wkwargs={"dtype": dtype},
            power=2.0,
            center=False,
        )
        self.filters: Tensor
        self.register_buffer("filters", torch.tensor(mel_filters(config), dtype=dtype))

    def forward(self, waveform: Float[Tensor, "batch sample"]) -> Float[Tensor, "batch frame mel"]:
        """Frames of whole clips with zeros outside them."""
        config = self.config
        n_frames = config.frames_in(waveform.shape[1])
        # torch centres the window within the transform; the power does not see that shift
        slack = (config.n_fft - config.window_length) // 2
        left = config.margin + slack
        # a signal shorter than a frame is still one transform long, or torch refuses it
        last = max(0, n_frames - 1) * config.hop_length + config.n_fft
        right = max(0, last - left - waveform.shape[1])
        power = self.spectrogram(nn.functional.pad(waveform, (left, right)))[:, :, :n_frames]
        return torch.log(power.transpose(1, 2) @ self.filters + config.log_offset)
