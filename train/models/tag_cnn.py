"""Tag-conditioned CNN: final frame scores from the log-mel spectrogram and the tags.

Ebbers and Haeb-Umbach, "Forward-backward convolutional recurrent neural networks and tag-conditioned
convolutional neural networks for weakly labeled semi-supervised sound event detection" (DCASE 2020). The tags
enter as constant maps beside the spectrogram and once more before the 1-D convolutions; all kernels are 3 x 3.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from train.models.layers import InputNormalisation, SpectrumStack, has_padding, row_blocks

TAG_LOGIT_LIMIT = 10.0
"""Tags are clamped to this logit before they condition the model, in training and in the fused graph alike."""


@dataclass(frozen=True)
class TagCNNConfig:
    """Size of the model; the defaults are the published widths."""

    n_labels: int = 10
    n_mels: int = 128
    channels: tuple[int, ...] = (16, 16, 32, 32, 64, 64, 128, 128, 256)
    """2-D convolutions."""
    pool_after: tuple[int, ...] = (2, 4, 6, 8, 9)
    """2-D convolutions, counted from 1, after which mel bands are max-pooled by 2; frames are never pooled."""
    row_channels: tuple[int, ...] = (256, 256)
    """Hidden 1-D convolutions; one more gives the labels."""

    @classmethod
    def small(cls, n_labels: int) -> "TagCNNConfig":
        """About a sixth of the arithmetic, for training on a CPU, where the first layers' wide planes cost most."""
        channels, pool_after = (16, 16, 16, 16, 32, 32, 64, 64, 128), (1, 2, 4, 6, 8)
        return cls(n_labels=n_labels, channels=channels, pool_after=pool_after, row_channels=(128, 128))

    @property
    def receptive_field(self) -> int:
        """Frames that a score depends on, to either side: one for each 3-wide convolution."""
        return len(self.channels) + len(self.row_channels) + 1


class TagCNN(nn.Module):
    """Frame logits conditioned on tags."""

    def __init__(self, config: TagCNNConfig) -> None:
        super().__init__()
        self.config = config
        self.input_norm = InputNormalisation(config.n_mels)
        norm = {"epsilon": 1e-5, "momentum": 0.05}
        kernels = [(3, 3)] * len(config.channels)
        n_planes = 1 + config.n_labels
        self.blocks = SpectrumStack(n_planes, config.channels, kernels, config.pool_after, **norm)
        n_bands = config.n_mels // 2 ** len(config.pool_after)
        n_rows = config.channels[-1] * n_bands + config.n_labels
        self.rows = row_blocks(n_rows, config.row_channels, 3, **norm)
        self.output = nn.Conv1d((n_rows, *config.row_channels)[-1], config.n_labels, 3, padding="same")

    def forward(
        self,
        log_mel: Float[Tensor, "batch frame mel"],
        tags: Float[Tensor, "batch frame label"],
        frame_valid: Float[Tensor, "batch frame"],
    ) -> Float[Tensor, "batch frame label"]:
        """Frame logits, before the sigmoid.

        `tags` are 0 ... 1 at each frame: constant over a clip, or as they grow where they are pooled over
        the past. They are zero in padding, or they would leak into the signal through its edges.
        """
        valid = frame_valid[:, :, None]
        spectrum = self.input_norm(log_mel) * valid
        tag_rows = (tags * valid).transpose(1, 2)
        tag_maps = tag_rows[..., None].expand(-1, -1, -1, log_mel.shape[2])
        planes = torch.cat([spectrum[:, None], tag_maps], 1)
        padded = has_padding(self, frame_valid)
        rows = torch.cat([self.blocks(planes, frame_valid, padded), tag_rows], 1)
        for row in self.rows:
            rows = row(rows, frame_valid, padded)
        return self.output(rows).transpose(1, 2)
