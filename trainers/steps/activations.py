"""What layers hold of a forward pass for its way back, kept within a budget.

A layer's activations are held, or only its input, from which they are computed again on the way back (a quarter of a
step's arithmetic more if all layers do so), or not even that: on a GPU the input can wait in the CPU's memory. So many
of the first layers are treated in that way as the budget asks for, and what a step computes is the same to the bit.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, Final, NamedTuple

import torch
from torch import nn
from torch.autograd.graph import save_on_cpu, saved_tensors_hooks
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

from transforms.errors import ConfigError, ModelError

logger = logging.getLogger(__name__)

GIB: Final = 1 << 30
# As transformers calls a layer: no dropout is left, so that there is no random state to keep.
_again: Final = partial(checkpoint, use_reentrant=False, preserve_rng_state=False)


class Budget(NamedTuple):
    """What all layers together may hold."""

    bytes: int
    tokens: int  # of the longest forward pass, padding included


class LayerBytes(NamedTuple):
    """What a layer holds, bytes a token."""

    kept: float  # its activations
    given: float  # its input alone


class Treatment(NamedTuple):
    """What is done to how many of the first layers."""

    again: int  # computed again on the way back
    waiting: int  # of those, the input waits on the CPU until then


def hold_within(budget: Budget, model: Any, read: Callable[[int], Any], *, offload: bool) -> Treatment:
    """Measure the layers of `model` and treat as many of them as the budget asks for.

    Args:
        budget: for a process.
        model: a transformers or peft model in training mode, on its device; changed in place.
        read: a forward pass, with gradients, over an example so many times; all processes of a sharded model call it.
        offload: whether inputs may wait on the CPU, which is of use where the layers are elsewhere.

    Raises:
        ConfigError: one layer alone holds more than the budget.
        ModelError: the model names no layers that could be computed again.
    """
    layers = layers_of(model)
    if not layers:
        message = (
            f"{type(model).__name__} has no layers that transformers can compute again: leave memory.activations_gib "
            "out"
        )
        raise ModelError(message)
    measured = measure(layers, read)
    treatment = treat(measured, budget, offload=offload)
    for number, layer in enumerate(layers[: treatment.again]):
        layer.gradient_checkpointing = True
        layer._gradient_checkpointing_func = _from_cpu if number < treatment.waiting else _again
    logger.info(
        "activations: %.3g GiB of %d layers and %s tokens, %.3g allowed: %d layers are computed again on the way back, "
        "and the inputs of %d of them wait on the CPU",
        sum(layer.kept for layer in measured) * budget.tokens / GIB,
        len(layers),
        f"{budget.tokens:,}",
        budget.bytes / GIB,
        *treatment,
    )
    return treatment


def layers_of(model: Any) -> list[Any]:
    """What transformers computes again as one, in the order of the modules."""
    return [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]


def measure(layers: Sequence[nn.Module], read: Callable[[int], Any]) -> tuple[LayerBytes, ...]:
    """What each layer holds a token, from what two forward passes differ by: what does not grow is no activation.

    Args:
        layers: in their order; each takes states, (rows, tokens, hidden), as its first argument.
        read: a forward pass over so many equal examples.
    """
    passes = []
    for times in (1, 2):
        with _watched(layers) as found, _not_compiled(layers):
            read(times)
        passes.append(found)
    few, many = passes
    tokens = many.tokens - few.tokens
    return tuple(
        LayerBytes((more - less) / tokens, (more_given - less_given) / tokens)
        for more, less, more_given, less_given in zip(many.kept, few.kept, many.given, few.given, strict=True)
    )


def treat(layers: Sequence[LayerBytes], budget: Budget, *, offload: bool) -> Treatment:
    """The least that keeps `layers` within `budget`.

    Args:
        layers: as measured.
        budget: bytes, and the tokens that they are of.
        offload: whether inputs may wait on the CPU.

    Raises:
        ConfigError: nothing does.
    """
    kept, given = ([round(size * budget.tokens) for size in sizes] for sizes in zip(*layers, strict=True))
    choices = [Treatment(again, 0) for again in range(len(layers) + 1)]
    if offload:
        choices += [Treatment(len(layers), waiting) for waiting in range(1, len(layers) + 1)]
    # At its end a forward pass holds all of it; on the way back the layers that are computed again are whole one by
    # one, when those behind them are done.
    held = {
        choice: max(sum(kept[choice.again :]), *kept[: choice.again], 0) + sum(given[choice.waiting : choice.again])
        for choice in choices
    }
    for choice, size in held.items():
        if size <= budget.bytes:
            return choice
    least = min(held.values())
    message = (
        f"memory.activations_gib: {budget.bytes / GIB:.3g} GiB were allowed, and the layers hold {least / GIB:.3g} GiB "
        f"of {budget.tokens:,} tokens however many are computed again: allow that, or set batch_tokens to "
        f"{budget.tokens * budget.bytes // least:,} or fewer (no example may be longer)"
    )
    raise ConfigError(message)


def _from_cpu(function: Callable[..., Any], *given: Any) -> Any:
    """As `_again`; what is held meanwhile, the input alone, lies on the CPU."""
    with save_on_cpu(pin_memory=torch.cuda.is_available()):
        return _again(function, *given)


class _Watched:
    """What layers would hold of a forward pass, bytes."""

    def __init__(self, layers: int) -> None:
        self.kept, self.given = [0] * layers, [0] * layers
        self.tokens = 0


@contextmanager
def _watched(layers: Sequence[nn.Module]) -> Iterator[_Watched]:
    """Inside, what autograd would hold of a layer is counted as that layer's, each block of memory once.

    It is not held, so that no more than one layer's activations live at a time, and nothing goes back.
    """
    found = _Watched(len(layers))
    running: list[int] = []
    seen: set[StorageWeakRef] = set()  # by what outlives a block, whose address a later one may have

    def enter(number: int, _layer: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        states = next(one for one in (*given, *named.values()) if isinstance(one, torch.Tensor))
        running.append(number)
        own = {StorageWeakRef(one.untyped_storage()): one for one in given if isinstance(one, torch.Tensor)}
        found.tokens = states.shape[-3:-1].numel()  # Gemma 3n has several states a token, in a dimension before
        found.given[number] += sum(one.untyped_storage().nbytes() for one in own.values())

    def leave(*_: Any) -> None:
        running.pop()

    def pack(tensor: torch.Tensor) -> None:
        if running:
            memory = tensor.untyped_storage()
            if (block := StorageWeakRef(memory)) not in seen:
                seen.add(block)
                found.kept[running[-1]] += memory.nbytes()

    hooks = [
        layer.register_forward_pre_hook(partial(enter, number), with_kwargs=True) for number, layer in enumerate(layers)
    ]
    hooks += [layer.register_forward_hook(leave) for layer in layers]
    try:
        with saved_tensors_hooks(pack, lambda nothing: nothing):
            yield found
    finally:
        for hook in hooks:
            hook.remove()


def _not_compiled(layers: Sequence[nn.Module]) -> AbstractContextManager[Any]:
    """Inside, layers run as they are written: a graph of an earlier training would know of no hook."""
    if any(layer._compiled_call_impl is not None for layer in layers):
        found: AbstractContextManager[Any] = torch.compiler.set_stance("force_eager")
        return found
    return nullcontext()
