"""One model's weights spread over all processes (FSDP2), and put together again for what is saved.

torch's `fully_shard` leaves modules, names and the order of parameters as they are; a weight becomes a DTensor of
which every process holds some rows. A block's rows are gathered when it runs and let go again.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from transforms.errors import ModelError


def shard(model: Any, device: torch.device) -> Any:
    """Spread `model` over the processes that met, block by block; changed in place, and on `device` from then on.

    What is loaded into it afterwards may be whole: each process takes its own rows.

    Args:
        model: a transformers or peft model, the same in every process.
        device: of this process.

    Raises:
        ModelError: its class does not say what its blocks are.
    """
    names = set(getattr(model, "_no_split_modules", None) or ())
    blocks = [module for module in model.modules() if type(module).__name__ in names]
    if not blocks:
        message = (
            f"{type(model).__name__} does not say what its blocks are (_no_split_modules: {sorted(names) or 'none'}), "
            "so it cannot be spread over processes: leave memory.shard out"
        )
        raise ModelError(message)
    mesh = init_device_mesh(device.type, (distributed.get_world_size(),))
    for block in reversed(blocks):  # what lies inside another comes first
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    for module in model.modules():
        module.register_load_state_dict_pre_hook(_take_own_rows)
    return model


def let_go(model: Any) -> None:
    """Free what was gathered: the weights outside all blocks stay whole after a forward pass that none goes back."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def whole(state: Mapping[Any, Any], *, keep: bool) -> dict[Any, Any]:
    """A state dict with every tensor whole and on the CPU. All processes have to call it.

    Args:
        state: of a sharded model (`keep_vars=True`, so that tied weights stay tied) or of its optimizer.
        keep: whether this process wants it; the others get None for each sharded tensor.
    """
    gathered: dict[int, torch.Tensor | None] = {}

    def of(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: of(entry) for name, entry in value.items()}
        if not isinstance(value, torch.Tensor):
            return value
        if not isinstance(value, DTensor):
            return value.detach().cpu()
        if id(value) not in gathered:
            full = value.detach().full_tensor()
            gathered[id(value)] = full.cpu() if keep else None
        return gathered[id(value)]

    found: dict[Any, Any] = of(state)
    return found


def copy_whole(model: Any, to: Any | None) -> None:
    """Copy the weights of a sharded model, one by one, to an equal one that is whole. All processes have to call it.

    Args:
        model: sharded.
        to: None in processes that want no copy.
    """
    into = {} if to is None else to.state_dict()
    for name, value in model.state_dict().items():
        full = value.full_tensor() if isinstance(value, DTensor) else value
        if to is not None:
            into[name].copy_(full)


def own_rows(full: torch.Tensor, like: DTensor) -> DTensor:
    """This process's rows of `full`, which every process has; cut and placed as `like`, in the dtype of `full`."""
    # Copied, since a part of a tensor keeps all of it in memory.
    found: DTensor = torch.empty_like(like, dtype=full.dtype)
    found.copy_(distribute_tensor(full, like.device_mesh, like.placements, src_data_rank=None))
    return found


def own_optimizer_state(state: Mapping[str, Any], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The state dict of an optimizer, whole, as one whose parameters are sharded takes it."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    cut = {
        number: {name: _cut_as(value, parameters[number]) for name, value in entries.items()}
        for number, entries in state["state"].items()
    }
    return {**state, "state": cut}


def _cut_as(value: Any, parameter: torch.Tensor) -> Any:
    """A moment is cut as its parameter is; a count of steps is not."""
    if isinstance(value, torch.Tensor) and isinstance(parameter, DTensor) and value.shape == parameter.shape:
        return own_rows(value, parameter)
    return value


def _take_own_rows(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Cut what is about to be loaded into `module`'s own weights; `state` is the loader's copy."""
    for name, own in module.named_parameters(recurse=False):
        found = state.get(prefix + name)
        if isinstance(own, DTensor) and isinstance(found, torch.Tensor) and not isinstance(found, DTensor):
            state[prefix + name] = own_rows(found, own)
