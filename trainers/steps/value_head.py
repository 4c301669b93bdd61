"""V(x) for objectives that weigh a reward against what the prompt alone promises (DRO, arXiv 2405.19107)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file, save_file
from torch import nn

FILE: Final = "value_head.safetensors"
NAME: Final = "value_head"  # its attribute in the model
_PREFIX: Final = f"{NAME}."


class ValueHead(nn.Module):  # type: ignore[misc]
    """A linear read-out of the state that has read the whole prompt, in fp32.

    It begins as the mean reward, a value that needs no prompt. Its gradient ends at the state: the paper's value
    network is one of its own, and the residual's pull on V must not move the policy.
    """

    def __init__(self, hidden: int, mean_reward: float) -> None:
        super().__init__()
        self.read = nn.Linear(hidden, 1, dtype=torch.float32)
        nn.init.zeros_(self.read.weight)
        nn.init.constant_(self.read.bias, mean_reward)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """V, (prompts,), fp32, from states (prompts, hidden) of any dtype."""
        with torch.autocast(states.device.type, enabled=False):
            values: torch.Tensor = self.read(states.detach().float()).squeeze(-1)
        return values


def attach(model: Any, mean_reward: float) -> None:
    """Make a value head part of `model`, so that it is wrapped, moved and optimised with it."""
    head = ValueHead(int(model.config.get_text_config().hidden_size), mean_reward)
    setattr(model, NAME, head.to(model.device))


def save(state: Mapping[str, Any], folder: Path) -> None:
    """Write the value head in a model's state dict to a file of its own, where there is one."""
    own = {name.removeprefix(_PREFIX): value.contiguous() for name, value in state.items() if name.startswith(_PREFIX)}
    if own:
        save_file(own, folder / FILE)


def load(model: Any, folder: Path) -> None:
    """Read back what `save` wrote, where `model` has a value head."""
    head = getattr(model, NAME, None)
    if head is not None:
        head.load_state_dict(load_file(folder / FILE))


def without(state: dict[str, Any]) -> dict[str, Any]:
    """A state dict without the value head, which transformers would not know what to do with."""
    return {name: value for name, value in state.items() if not name.startswith(_PREFIX)}
