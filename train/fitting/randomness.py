"""Where training's random numbers come from: nothing but the seed, the step and the shard."""

import hashlib

from torch import Generator


def step_seed(seed: int, step: int, shard: int = 0) -> int:
    """A seed for one shard of one step; other steps than those trained give further ones."""
    digest = hashlib.sha256(f"{seed}:{step}:{shard}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def step_generator(seed: int, step: int, shard: int = 0) -> Generator:
    """The source of all randomness of one shard of one step."""
    return Generator().manual_seed(step_seed(seed, step, shard))
