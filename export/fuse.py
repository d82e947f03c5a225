"""The fused graph: K members (MLFL, tags, tag-conditioned CNN) and their weighted mean, as one module.

The tag is the mean of `evidence` under the softmax of `logit` over frames, so it needs two numbers per frame,
member and label. A clip gives all its frames at once (`past` = 0); a live stream keeps the two numbers of
the trailing window and gives each hop only its new frames with the convolutions' context.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from edge_app.core.runtime import EMPTY_LOGIT
from train.models.mlfl import MLFL
from train.models.tag_cnn import TAG_LOGIT_LIMIT, TagCNN

Gate = Literal["none", "soft"]


class FusedMember(nn.Module):
    """One member: MLFL gives the tags that condition its tag-conditioned CNN."""

    def __init__(self, mlfl: MLFL, tag_cnn: TagCNN, gate: Gate) -> None:
        super().__init__()
        self.mlfl = mlfl
        self.tag_cnn = tag_cnn
        self.gate = gate

    def forward(
        self,
        log_mel: Float[Tensor, "batch frame mel"],
        frame_valid: Float[Tensor, "batch frame"],
        frame_pooled: Float[Tensor, "batch frame"],
        memory_logit: Float[Tensor, "batch past label"],
        memory_evidence: Float[Tensor, "batch past label"],
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Scores (batch frame label), tags (batch label), logit and evidence (batch frame label)."""
        output = self.mlfl(log_mel, frame_valid)
        pooled = frame_pooled[:, :, None]
        # not where(): an empty slot must weigh exactly nothing, which exp(EMPTY_LOGIT) does in float32
        new_logit = output.logit * pooled + (1 - pooled) * EMPTY_LOGIT
        logit = torch.cat([memory_logit, new_logit], 1)
        evidence = torch.cat([memory_evidence, output.evidence * pooled], 1)
        tag_logit = (torch.softmax(logit, 1) * evidence).sum(1)
        tags = torch.sigmoid(tag_logit.clamp(-TAG_LOGIT_LIMIT, TAG_LOGIT_LIMIT))
        tag_rows = tags[:, None].expand(-1, log_mel.shape[1], -1)
        scores = torch.sigmoid(self.tag_cnn(log_mel, tag_rows, frame_valid))
        if self.gate == "soft":
            scores = scores * tags[:, None]
        return scores, tags, output.logit, output.evidence


class FusedEnsemble(nn.Module):
    """The weighted mean of members, with the inputs and outputs of the exported graph."""

    def __init__(
        self, members: Sequence[tuple[MLFL, TagCNN]], weights: Sequence[float], gate: Gate = "none"
    ) -> None:
        super().__init__()
        if len(members) != len(weights):
            raise ValueError(f"{len(members)} members need as many weights, found {len(weights)}")
        self.members = nn.ModuleList(FusedMember(mlfl, tag_cnn, gate) for mlfl, tag_cnn in members)
        self.n_labels = members[0][1].config.n_labels
        self.n_mels = members[0][1].config.n_mels
        self.weights = tuple(weights)

    def forward(
        self,
        log_mel: Float[Tensor, "batch frame mel"],
        frame_valid: Float[Tensor, "batch frame"],
        frame_pooled: Float[Tensor, "batch frame"],
        memory_logit: Float[Tensor, "batch member past label"],
        memory_evidence: Float[Tensor, "batch member past label"],
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Scores (batch frame label), tags (batch member label), logit, evidence (batch member frame label)."""
        results = [
            member(log_mel, frame_valid, frame_pooled, memory_logit[:, number], memory_evidence[:, number])
            for number, member in enumerate(self.members)
        ]
        scores = sum(weight * result[0] for weight, result in zip(self.weights, results, strict=True))
        tags, logit, evidence = (torch.stack([result[part] for result in results], 1) for part in (1, 2, 3))
        return scores, tags, logit, evidence
