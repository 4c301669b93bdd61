"""Own work inside a wrapped model's forward pass, where DDP and FSDP do theirs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

Result = TypeVar("Result")


@contextmanager
def own_outputs(model: Any) -> Iterator[None]:
    """Inside, `model` gives its outputs in the dtype that it computed them in.

    For automatic casting accelerate wraps the forward pass so that all outputs become fp32. Logits would be copied for
    that, and their gradient back; they are read in fp32 anyway.
    """
    wrapper, own = model.__dict__.get("forward"), model.__dict__.get("_original_forward")
    if own is None:
        yield
        return
    model.forward = own
    try:
        yield
    finally:
        model.forward = wrapper


def call_through(wrapped: Any, model: Any, work: Callable[[Any], Result]) -> Result:
    """`work(model)`, run as the forward pass of `wrapped`.

    DDP arms its gradient hooks and FSDP gathers its shards in their own forward pass, and log-probs in chunks need
    more of a model than its forward pass. So that pass is replaced for one call, and put back before `work` begins,
    since `work` calls the model. One process goes the same way, so that there is one way.

    Args:
        wrapped: `model`, or what accelerate made of it.
        model: what is inside.
        work: of the model.
    """
    before = model.__dict__.get("forward")

    def put_back() -> None:
        del model.forward
        if before is not None:
            model.forward = before

    def forward(_nothing: None) -> Result:
        put_back()
        return work(model)

    model.forward = forward
    try:
        found: Result = wrapped(None)  # DDP on a GPU looks for a first argument
    finally:
        if model.__dict__.get("forward") is forward:
            put_back()
    return found
