"""MLFL: tags by embedding-level attention pooling, and frame scores.

Lin et al., "Specialized decision surface and disentangled feature for weakly-supervised polyphonic sound event
detection" (2020): the attention logit doubles as the frame logit (the specialised decision surface). The
detection branch and the domain projection are those of Huang et al. (2020), as the DCASE 2021 report uses them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from train.models.layers import ConvBlock2d, ValidBatchNorm1d, has_padding


@dataclass(frozen=True)
class MLFLConfig:
    """Size of the model; the defaults are the published widths."""

    n_labels: int = 10
    n_mels: int = 128
    """Bands of the input; neighbouring pairs are averaged, as the model was published on half as many."""
    channels: tuple[int, ...] = (160, 160, 160)
    kernels: tuple[int, ...] = (5, 5, 3)
    """Square kernels (frame and mel)."""
    mel_pool: int = 4
    """Bands pooled after each block; frames are never pooled."""
    projection: int = 64
    """Width of the domain embedding."""
    attended: tuple[int, ...] | None = None
    """Disentangled feature: leading components of the embedding that each label attends to and is tagged by, as
    `disentangled_widths` gives them. None: all components for every label."""
    batch_norm_momentum: float = 0.01
    """Weight of the newest batch in the statistics kept for evaluation: .99 in the sense of the published model's
    framework. Trainings of a few hundred steps need more, or the statistics stay near their start."""

    @classmethod
    def small(cls, n_labels: int) -> "MLFLConfig":
        """About a sixth of the arithmetic, for training on a CPU."""
        return cls(n_labels=n_labels, channels=(64, 64, 64))

    @property
    def receptive_field(self) -> int:
        """Frames that a score depends on, to either side."""
        return sum(kernel // 2 for kernel in self.kernels)


@dataclass(frozen=True)
class MLFLOutput:
    """What MLFL says of a batch, before any sigmoid."""

    frame_logit: Float[Tensor, "batch frame label"]
    """z, the attention logit: its sigmoid is the frame score of the specialised decision surface."""
    logit: Float[Tensor, "batch frame label"]
    """z / k_c, the logit of the attention's softmax over frames."""
    evidence: Float[Tensor, "batch frame label"]
    """u x + v: the tag's logit is its mean under the attention."""
    detection_logit: Float[Tensor, "batch frame label"]
    """Detection branch (SEDB); trained on strong labels, not used to predict."""
    embedding: Float[Tensor, "batch frame channel"]
    """Frame embeddings x."""


class MLFL(nn.Module):
    """Encoder with attention pooling, detection branch and domain projection."""

    def __init__(self, config: MLFLConfig) -> None:
        super().__init__()
        self.config = config
        width = config.channels[-1]
        n_bands = config.n_mels // 2
        momentum = config.batch_norm_momentum
        self.input_norm = ValidBatchNorm1d(n_bands, eps=1e-3, momentum=momentum)
        inputs = (1, *config.channels[:-1])
        self.blocks = nn.ModuleList(
            ConvBlock2d(n_in, n_out, (kernel, kernel), epsilon=1e-3, momentum=momentum)
            for n_in, n_out, kernel in zip(inputs, config.channels, config.kernels, strict=True)
        )
        self.pool = nn.MaxPool2d((1, config.mel_pool))
        if n_bands != config.mel_pool ** len(config.channels):
            raise ValueError(f"n_mels {config.n_mels}: the pools must leave one band")
        self.attention = nn.Linear(width, config.n_labels)
        self.tagger = nn.Linear(width, config.n_labels)
        self.detector = nn.Linear(width, config.n_labels)
        self.projector = nn.Linear(width, config.projection, bias=False)
        attended = attended_widths(config)
        self.temperature: Tensor
        self.register_buffer("temperature", attended)
        self.attended: Tensor | None
        within = torch.arange(width) < attended[:, None]
        self.register_buffer("attended", within.float() if config.attended else None, persistent=False)
        nn.init.zeros_(self.attention.weight)
        nn.init.zeros_(self.attention.bias)

    def encode(
        self, log_mel: Float[Tensor, "batch frame mel"], frame_valid: Float[Tensor, "batch frame"]
    ) -> Float[Tensor, "batch frame channel"]:
        """Frame embeddings; padding frames give zeros."""
        bands = log_mel.unflatten(2, (-1, 2)).mean(3)
        planes = self.input_norm(bands, frame_valid)[:, None]
        padded = has_padding(self, frame_valid)
        for block in self.blocks:
            planes = self.pool(block(planes, frame_valid, padded))
        return planes.squeeze(3).transpose(1, 2)

    def forward(
        self, log_mel: Float[Tensor, "batch frame mel"], frame_valid: Float[Tensor, "batch frame"]
    ) -> MLFLOutput:
        """Everything but the pooling, which `pool_tag_logit` does over whatever frames are at hand."""
        embedding = self.encode(log_mel, frame_valid)
        frame_logit = self._attending(self.attention, embedding)
        return MLFLOutput(
            frame_logit=frame_logit,
            logit=frame_logit / self.temperature,
            evidence=self._attending(self.tagger, embedding),
            detection_logit=self.detector(embedding),
            embedding=embedding,
        )

    def _attending(
        self, head: nn.Linear, embedding: Float[Tensor, "batch frame channel"]
    ) -> Float[Tensor, "batch frame label"]:
        """A head that reads, for each label, the components that the label attends to."""
        if self.attended is None:
            return head(embedding)
        return F.linear(embedding, head.weight * self.attended, head.bias)

    def project(self, embedding: Float[Tensor, "batch frame channel"]) -> Float[Tensor, "batch frame domain"]:
        """Domain embedding e = W x."""
        return self.projector(embedding)


def attended_widths(config: MLFLConfig) -> Float[Tensor, " label"]:
    """k_c, the number of components that each label attends to; ValueError where they do not fit the model."""
    width = config.channels[-1]
    widths = (width,) * config.n_labels if config.attended is None else config.attended
    if len(widths) != config.n_labels or not all(1 <= k <= width for k in widths):
        raise ValueError(f"attended: expected {config.n_labels} numbers from 1 to {width}, found {widths}")
    return torch.tensor(widths, dtype=torch.float32)


def disentangled_widths(n_single: Sequence[float], d: int, m: float) -> tuple[int, ...]:
    """Components k_c of an embedding of width d for each label: floor(d ((1 - m) f_c + m)), f_c = F_c / max F.

    Lin et al. (2020), disentangled feature; `n_single` is F_c, the label's clips that carry no other label (or more
    generally the sum of N_ci / i over clips of i labels), and m in 0 ... 1 the share that every label gets. Raises
    ValueError for a label that would be left without a component.
    """
    counts, share = [Fraction(count) for count in n_single], Fraction(str(m))
    largest = max(counts, default=Fraction(0)) or Fraction(1)
    widths = tuple(math.floor(d * ((1 - share) * count / largest + share)) for count in counts)
    for label, width in enumerate(widths):
        if width < 1:
            raise ValueError(
                f"label {label}: {n_single[label]:g} clips and m = {m:g} leave it no component of {d}"
            )
    return widths


def pool_tag_logit(
    logit: Float[Tensor, "batch frame label"],
    evidence: Float[Tensor, "batch frame label"],
    frame_valid: Float[Tensor, "batch frame"],
) -> Float[Tensor, "batch label"]:
    """Logit of the tags: evidence averaged under the softmax of the logits over valid frames.

    Equal to u (sum_t a_t x_t) + v, the embedding-level pooling of the paper, since the weights sum to one.
    """
    weight = torch.softmax(logit + (frame_valid[:, :, None] - 1) * 1e4, dim=1)
    return (weight * evidence).sum(1)


def trailing_tag_logit(
    logit: Float[Tensor, "batch frame label"],
    evidence: Float[Tensor, "batch frame label"],
    frame_valid: Float[Tensor, "batch frame"],
    hop: int,
    ahead: int,
) -> Float[Tensor, "batch frame label"]:
    """Logit of the tags that live detection has at each frame of a clip no longer than the tag window.

    The frames of hop [a, a + hop) see the pool over [0, a + hop + ahead), cut at the clip's end.
    """
    weight = torch.exp(logit - logit.amax(1, keepdim=True)) * frame_valid[:, :, None]
    total = torch.cumsum(weight, 1).clamp(min=1e-30)
    mean = torch.cumsum(weight * evidence, 1) / total
    n_frames = logit.shape[1]
    frames = torch.arange(n_frames, device=logit.device)
    last = torch.clamp((frames // hop + 1) * hop + ahead - 1, max=n_frames - 1)
    return mean[:, last]
