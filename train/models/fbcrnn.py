"""FBCRNN: tags from a forward and a backward recurrent branch, and events from short windows of both.

Ebbers and Haeb-Umbach, "Forward-backward convolutional recurrent neural networks and tag-conditioned
convolutional neural networks for weakly labeled semi-supervised sound event detection" (DCASE 2020). Trained on
tags alone; each branch says at each frame what has sounded so far, from its own end of the clip.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from train.models.layers import ConvBlock1d, InputNormalisation, SpectrumStack, has_padding, row_blocks
from train.models.recurrent import (
    full_precision,
    gru_step,
    n_valid_frames,
    project_inputs,
    reversed_within,
    start_with_memory,
)

_NORM = {"epsilon": 1e-5, "momentum": 0.05}
_FLAT_LAYERS = (2, 4, 6, 8, 9)


@dataclass(frozen=True)
class FBCRNNConfig:
    """Size of the model; the defaults are the published widths."""

    n_labels: int = 10
    n_mels: int = 128
    channels: tuple[int, ...] = (16, 16, 32, 32, 64, 64, 128, 128, 256)
    """2-D convolutions."""
    pool_after: tuple[int, ...] = (2, 4, 6, 8, 9)
    """2-D convolutions, counted from 1, after which mel bands are max-pooled by 2; frames are never pooled."""
    kernels: Literal["3x3", "3x1"] = "3x3"
    """`3x1`: layers 2, 4, 6, 8 and 9 span three bands but one frame, as in the code released with the paper. The
    logs of the models that made the released labels count the parameters of `3x3`."""
    row_channels: tuple[int, ...] = (256, 256, 256)
    """1-D convolutions over frames, 3 wide."""
    gru_width: int = 256
    gru_layers: int = 2
    memory_frames: int = 0
    """Longest memory, in frames, that the GRUs' update gates start with (Tallec and Ollivier 2018); 0 for torch's own
    start, which forgets within some frames, and is long in learning what was heard seconds ago."""

    def __post_init__(self) -> None:
        if self.kernels not in ("3x3", "3x1"):
            raise ValueError(f"kernels: expected 3x3 or 3x1, found {self.kernels!r}")

    @classmethod
    def small(cls, n_labels: int) -> "FBCRNNConfig":
        """About a sixth of the arithmetic, for training on a CPU, where the first layers' wide planes cost most."""
        channels, pool_after = (16, 16, 16, 16, 32, 32, 64, 64, 128), (1, 2, 4, 6, 8)
        return cls(
            n_labels=n_labels,
            channels=channels,
            pool_after=pool_after,
            row_channels=(128, 128, 128),
            gru_width=64,
            gru_layers=1,  # steps over time cost the same however narrow they are
        )

    @property
    def kernel_sizes(self) -> tuple[tuple[int, int], ...]:
        """(frame, mel) size of each 2-D convolution."""
        flat = _FLAT_LAYERS if self.kernels == "3x1" else ()
        return tuple((1 if number in flat else 3, 3) for number in range(1, len(self.channels) + 1))

    @property
    def receptive_field(self) -> int:
        """Frames that an embedding depends on, to either side: one for each convolution 3 frames wide."""
        return sum(frames // 2 for frames, _ in self.kernel_sizes) + len(self.row_channels)


@dataclass(frozen=True)
class FBCRNNOutput:
    """Both branches' logits, before the sigmoid, float32."""

    forward_logit: Float[Tensor, "batch frame label"]
    """What sounded from the clip's start to this frame."""
    backward_logit: Float[Tensor, "batch frame label"]
    """What sounds from this frame to the clip's last valid one."""


class RecurrentHead(nn.Module):
    """GRU layers, a 1x1 convolution block, and a 1x1 convolution to the labels; always in float32."""

    def __init__(self, n_in: int, width: int, n_layers: int, n_labels: int, memory_frames: int) -> None:
        super().__init__()
        self.gru = nn.GRU(n_in, width, n_layers, batch_first=True)
        if memory_frames:
            start_with_memory(self.gru, memory_frames)
        self.hidden = ConvBlock1d(width, width, 1, **_NORM)
        self.output = nn.Conv1d(width, n_labels, 1)

    def forward(
        self, rows: Float[Tensor, "batch frame channel"], frame_valid: Float[Tensor, "batch frame"]
    ) -> Float[Tensor, "batch frame label"]:
        """Logits at each frame, from the frames up to it."""
        with full_precision(rows.device):
            return self._logits(self.gru(rows)[0], frame_valid)

    def window_logits(
        self, projected: Float[Tensor, "row gate"], starts: Int[Tensor, " window"], offsets: Sequence[int]
    ) -> Float[Tensor, "window label"]:
        """Logits after reading the rows `starts + offset`, offset by offset, from a zero state.

        `projected` is the first layer's projection of the rows: neighbouring windows share it. A loop of single steps
        takes two thirds of nn.GRU's time on gathered windows (one core, 21 frames, 64 to 256 units).
        """
        n_layers = self.gru.num_layers
        states = [projected.new_zeros(len(starts), self.gru.hidden_size)] * n_layers
        for offset in offsets:
            gates = projected[starts + offset]
            for layer in range(n_layers):
                if layer > 0:
                    gates = project_inputs(self.gru, layer, states[layer - 1])
                states[layer] = gru_step(self.gru, layer, gates, states[layer])
        return self._logits(states[-1][None], projected.new_ones(1, len(starts)))[0]

    def _logits(
        self, states: Float[Tensor, "batch frame channel"], frame_valid: Float[Tensor, "batch frame"]
    ) -> Float[Tensor, "batch frame label"]:
        hidden = self.hidden(states.transpose(1, 2), frame_valid, has_padding(self, frame_valid))
        return self.output(hidden).transpose(1, 2)


class FBCRNN(nn.Module):
    """Convolutions, then a forward and a backward head that share nothing."""

    def __init__(self, config: FBCRNNConfig) -> None:
        super().__init__()
        self.config = config
        self.input_norm = InputNormalisation(config.n_mels)
        self.blocks = SpectrumStack(1, config.channels, config.kernel_sizes, config.pool_after, **_NORM)
        n_bands = config.n_mels // 2 ** len(config.pool_after)
        self.rows = row_blocks(config.channels[-1] * n_bands, config.row_channels, 3, **_NORM)
        widths = (config.row_channels[-1], config.gru_width, config.gru_layers, config.n_labels)
        head = (*widths, config.memory_frames)
        self.forward_head = RecurrentHead(*head)
        self.backward_head = RecurrentHead(*head)

    def encode(
        self, log_mel: Float[Tensor, "batch frame mel"], frame_valid: Float[Tensor, "batch frame"]
    ) -> Float[Tensor, "batch frame channel"]:
        """Frame embeddings, float32; padding frames give zeros, as what lies outside a clip does."""
        spectrum = self.input_norm(log_mel) * frame_valid[:, :, None]
        padded = has_padding(self, frame_valid)
        rows = self.blocks(spectrum[:, None], frame_valid, padded)
        for row in self.rows:
            rows = row(rows, frame_valid, padded)
        return rows.transpose(1, 2).to(self.forward_head.output.weight.dtype)

    def forward(
        self, log_mel: Float[Tensor, "batch frame mel"], frame_valid: Float[Tensor, "batch frame"]
    ) -> FBCRNNOutput:
        """Logits of both branches; the valid frames of a clip come first, padding after them."""
        embedding, n_valid = self.encode(log_mel, frame_valid), n_valid_frames(frame_valid)
        mirrored = self.backward_head(reversed_within(embedding, n_valid), frame_valid)
        return FBCRNNOutput(
            forward_logit=self.forward_head(embedding, frame_valid),
            backward_logit=reversed_within(mirrored, n_valid),
        )


def clip_tag_scores(
    output: FBCRNNOutput, frame_valid: Float[Tensor, "batch frame"]
) -> Float[Tensor, "batch label"]:
    """Scores of the tags: mean of the forward branch at the last valid frame and the backward one at the first."""
    last = (n_valid_frames(frame_valid) - 1).clamp(min=0)
    heard = torch.take_along_dim(output.forward_logit, last[:, None, None], 1)[:, 0]
    return (torch.sigmoid(heard) + torch.sigmoid(output.backward_logit[:, 0])) / 2


@torch.no_grad()
def window_scores(
    model: FBCRNN,
    embedding: Float[Tensor, "batch frame channel"],
    frame_valid: Float[Tensor, "batch frame"],
    context: int,
    rows: int = 4096,
) -> Float[Tensor, "batch frame label"]:
    """Scores of each frame from the window of `context` frames to either side of it; zeros in padding.

    Both heads read the window alone, from a zero state, with zeros for what lies outside the clip; the score is the
    mean of the forward head at the window's end and the backward head at its start. `embedding` is `encode`'s, the
    model is in evaluation mode, and windows of all clips are taken `rows` at a time (on a processor, 512 is fastest).
    However long the window, this is not the clip's tag: the heads run on over the zeros outside the clip.
    """
    batch, n_frames, _ = embedding.shape
    padded = F.pad(embedding * frame_valid[:, :, None], (0, 0, context, context))
    clip_starts = torch.arange(batch, device=embedding.device)[:, None] * (n_frames + 2 * context)
    valid = frame_valid > 0
    starts = (clip_starts + torch.arange(n_frames, device=embedding.device))[valid]
    offsets = range(2 * context + 1)
    scores = embedding.new_zeros(batch, n_frames, model.config.n_labels)
    with full_precision(embedding.device):
        found = [_window_half(model.forward_head, padded, starts, offsets, rows)]
        found.append(_window_half(model.backward_head, padded, starts, offsets[::-1], rows))
    scores[valid] = (found[0] + found[1]) / 2
    return scores


def _window_half(
    head: RecurrentHead,
    padded: Float[Tensor, "batch frame channel"],
    starts: Int[Tensor, " window"],
    offsets: Sequence[int],
    rows: int,
) -> Float[Tensor, "window label"]:
    """One head's scores of the windows that start at these rows of all clips joined."""
    projected = project_inputs(head.gru, 0, padded.flatten(0, 1))
    logits = [head.window_logits(projected, some, offsets) for some in starts.split(rows)]
    return torch.sigmoid(torch.cat(logits))
