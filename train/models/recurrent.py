"""Recurrent parts that the models share: sequences reversed within their length, GRUs in float32, single steps."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn


def full_precision(device: torch.device) -> torch.autocast:
    """A context in which autocast is off on this device.

    In bfloat16 a GRU of 64 units trains one and a half times slower on a processor (each step casts), one
    of 256 no faster, and its state would be rounded at each of 500 steps.
    """
    return torch.autocast(device.type, enabled=False)


def n_valid_frames(frame_valid: Float[Tensor, "batch frame"]) -> Int[Tensor, " batch"]:
    """Length of each sequence; its valid frames come first, padding after them."""
    return frame_valid.sum(1, dtype=torch.float32).long()


def reversed_within(
    rows: Float[Tensor, "batch frame channel"], n_valid: Int[Tensor, " batch"]
) -> Float[Tensor, "batch frame channel"]:
    """Each sequence reversed within its own length; its padding stays where it is. Its own inverse."""
    frames = torch.arange(rows.shape[1], device=rows.device)
    mirrored = n_valid[:, None] - 1 - frames
    source = torch.where(mirrored < 0, frames, mirrored)
    return torch.take_along_dim(rows, source[:, :, None], 1)


class BidirectionalGRU(nn.Module):
    """Layers of a forward and a backward GRU side by side; backward starts at each sequence's own last frame."""

    def __init__(self, n_in: int, width: int, n_layers: int) -> None:
        super().__init__()
        inputs = (n_in, *(2 * width,) * (n_layers - 1))
        self.ahead = nn.ModuleList(nn.GRU(size, width, batch_first=True) for size in inputs)
        self.back = nn.ModuleList(nn.GRU(size, width, batch_first=True) for size in inputs)

    def forward(
        self, rows: Float[Tensor, "batch frame channel"], n_valid: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch frame out"]:
        """Both directions' states, in float32 whatever the autocast."""
        with full_precision(rows.device):
            rows = rows.to(self.ahead[0].weight_hh_l0.dtype)  # type: ignore[arg-type]
            for ahead, back in zip(self.ahead, self.back, strict=True):
                mirrored = back(reversed_within(rows, n_valid))[0]
                rows = torch.cat([ahead(rows)[0], reversed_within(mirrored, n_valid)], 2)
        return rows


def project_inputs(gru: nn.GRU, layer: int, rows: Float[Tensor, "row channel"]) -> Float[Tensor, "row gate"]:
    """What a layer's gates (reset, update, new) get from its input."""
    weight, bias = getattr(gru, f"weight_ih_l{layer}"), getattr(gru, f"bias_ih_l{layer}")
    return F.linear(rows, weight, bias)


def gru_step(
    gru: nn.GRU, layer: int, gates: Float[Tensor, "row gate"], state: Float[Tensor, "row channel"]
) -> Float[Tensor, "row channel"]:
    """One step of one layer, without gradients, from its projected input: nn.GRU's own equations."""
    weight, bias = getattr(gru, f"weight_hh_l{layer}"), getattr(gru, f"bias_hh_l{layer}")
    from_state = F.linear(state, weight, bias)
    split = 2 * state.shape[1]
    reset, update = from_state[:, :split].add_(gates[:, :split]).sigmoid_().chunk(2, 1)
    candidate = torch.addcmul(gates[:, split:], reset, from_state[:, split:]).tanh_()
    return torch.lerp(candidate, state, update)


@torch.no_grad()
def start_with_memory(gru: nn.GRU, longest: int) -> None:
    """Set the biases of the update gates so that units remember for 1 to `longest` frames.

    Chrono initialisation: b ~ log(U(1, T - 1)) (Tallec and Ollivier 2018, equation 16; in torch's GRU the update
    gate keeps the old state, as a forget gate does).
    """
    for layer in range(gru.num_layers):
        update = slice(gru.hidden_size, 2 * gru.hidden_size)
        memory = torch.empty(gru.hidden_size).uniform_(1, max(2, longest - 1))
        getattr(gru, f"bias_ih_l{layer}")[update] = torch.log(memory)
        getattr(gru, f"bias_hh_l{layer}")[update] = 0.0
