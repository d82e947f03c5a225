"""Settings of the MLFL stage: each choice that the report leaves open, and the reason for its default."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

SetName = Literal["synthetic", "weak", "unlabelled"]
ConsistencyOutput = Literal["tag", "detection", "frame"]


class MLFLSettings(BaseModel):
    """Weights and constants of MLFL's losses; a weight of 0 leaves its term out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    clip_weight: float = Field(1.0, ge=0)
    """Weight of the clip loss on weak clips, whose tags people gave."""
    synthetic_clip_weight: float = Field(0.5, ge=0)
    """Weight of the clip loss on synthetic clips. Published: half that of weak ones."""
    unlabelled_clip_weight: float = Field(0.0, ge=0)
    """Weight of the clip loss on pseudo tags of unlabelled clips: none, as the mean teacher covers them."""

    detection: Literal["focal", "bce"] = "focal"
    """Loss of the detection branch: focal as in the report, or plain binary cross-entropy (an ablation). Neither is
    weighted by how frequent a label is."""
    focal_alpha: float = Field(0.25, ge=0, le=1)
    """Weight of active cells, 1 - alpha that of others. The report gives none; this is its source's, Lin et al.; .5
    is the laboratory's in another system."""
    focal_gamma: float = Field(2.0, ge=0)
    """How little well-classified cells count. From Lin et al., as alpha; 1 is the laboratory's elsewhere."""
    detection_weight: float = Field(1.0, ge=0)
    """Weight of the detection loss, a mean over cells. Published: 1."""
    detection_sets: tuple[SetName, ...] = ("synthetic", "weak", "unlabelled")
    """Sets with strong or pseudo-strong labels that the detection branch learns from: all, says the report."""

    ifdc_weight: float = Field(1.0, ge=0)
    """Weight of the inter-frame distance loss. Published: 1."""
    ifdc_sets: tuple[SetName, ...] = ("weak",)
    """Real clips it pairs with synthetic ones: weak ones, as their tags are verified and only the times are pseudo
    labels."""
    ifdc_clip_condition: bool = True
    """Compare frames only of clips whose tags are the same, or share none: the released rule."""
    ifdc_in_domain: bool = False
    """Also pairs of two real (weight 1) and of two synthetic clips (0.5), as released; the report speaks of pairs
    between the domains."""

    consistency_weight: float = Field(2.0, ge=0)
    """Final weight of the agreement with the mean teacher: the task's baseline's, the only complete recipe that is
    published."""
    consistency_ramp: float = Field(0.25, ge=0, le=1)
    """Share of the training over which that weight rises: 50 of 200 epochs in the baseline."""
    consistency_outputs: tuple[ConsistencyOutput, ...] = Field(("tag", "detection"), min_length=1)
    """Scores that are to agree, each weighing the same; `frame`, the specialised decision surface, is a by-product
    of the attention."""
    perturbation_std: float = Field(0.15, ge=0)
    """Standard deviation of the noise on the student's and on the teacher's log-mel (natural logarithm of power):
    without dropout, on the same input they would differ only by the age of the weights. Released value."""

    mixup_share: float = Field(0.5, ge=0, le=1)
    """Share of steps whose clips are mixed within each set; the baseline's, but of all three sets as in the report.
    Mixed labels are no sets, so these steps have no inter-frame distance loss."""
    mixup_beta: float = Field(0.2, gt=0)
    """Both parameters of the beta distribution of the mixing share: the baseline's."""

    trailing_weight: float = Field(1.0, ge=0)
    """Weight of the clip loss on tags pooled over the past alone, at every hop: live detection has no others."""
    trailing_sets: tuple[SetName, ...] = ("synthetic",)
    """Sets it is taken of: those with exact times."""
    trailing_hop: int = Field(25, ge=1)
    """Frames between two updates of live tags."""
    trailing_ahead: int = Field(7, ge=0)
    """Frames ahead of the hop that live tags have seen."""

    disentangled_n: int = Field(1, ge=1)
    """Disentangled feature: most labels that a clip has and still counts for how much of the embedding its labels'
    attention sees. Published: 1."""
    disentangled_m: float = Field(1.0, ge=0, le=1)
    """Least share of the embedding that a label's attention sees; 1 turns the disentangled feature off, as released
    later and as the report does not name it. Published before: 0 and .04."""
