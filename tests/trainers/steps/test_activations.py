"""Layers hold what the budget allows, by measure, and a step computes the same to the bit."""

import logging
import resource
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.autograd.graph import save_on_cpu
from torch.nn import functional
from training_support import small_policy, some_examples, trainer, weights
from transformers.modeling_layers import GradientCheckpointingLayer

from trainers.batches.tensors import PACKED, PADDED, Layout
from trainers.steps import activations
from trainers.steps.activations import GIB, Budget, LayerBytes, Treatment, hold_within, measure, treat
from trainers.steps.compiled import compile_layers
from trainers.steps.settings import Adapter, Memory
from trainers.steps.trained_model import trainable
from transforms.errors import ConfigError, ModelError

PAIRS = some_examples(16)


class Wide(GradientCheckpointingLayer):
    """Holds its input of 4 numbers, the 8 behind the first matrix and the 8 behind the function: 80 bytes a token."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(4, 8), nn.Linear(8, 4)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.down(functional.gelu(self.up(states)))
        return found


class Narrow(GradientCheckpointingLayer):
    """Holds its input alone: 16 bytes a token."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(4, 4)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.one(states)
        return found


def layered() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(Wide(), Narrow(), Wide())


def read_by(model: Any, times: int) -> torch.Tensor:
    found: torch.Tensor = model(torch.ones(1, 5 * times, 4, requires_grad=True))
    return found


def test_what_layers_hold_is_measured_by_what_autograd_saves() -> None:
    model = layered()
    found = measure(list(model), partial(read_by, model))
    assert found == (LayerBytes(80.0, 16.0), LayerBytes(16.0, 16.0), LayerBytes(80.0, 16.0))


def test_weights_and_whatever_else_does_not_grow_with_the_tokens_are_not_counted() -> None:
    model = layered()
    with torch.autocast("cpu", torch.bfloat16):  # casts of all weights, once
        found = measure(list(model), partial(read_by, model))
    # Cast to 2 bytes behind the first matrix; layer 1 holds what it casts its input to, not the input.
    assert [layer.kept for layer in found] == [2 * (4 + 8 + 8), 2 * 4, 2 * (4 + 8 + 8)]


LAYERS = (LayerBytes(100.0, 10.0),) * 3


@pytest.mark.parametrize(
    ("allowed", "expected"),
    [
        (3000, Treatment(0, 0)),
        (2999, Treatment(1, 0)),  # two layers whole and one input
        (2100, Treatment(1, 0)),
        (2099, Treatment(2, 0)),  # one whole, and two inputs
        (1200, Treatment(2, 0)),
        # All again: on the way back one layer is whole, and the inputs of the others lie elsewhere.
        (1199, Treatment(3, 2)),
        (1100, Treatment(3, 2)),
        (1099, Treatment(3, 3)),
        (1000, Treatment(3, 3)),
    ],
)
def test_the_least_is_done_that_keeps_within_the_budget(allowed: int, expected: Treatment) -> None:
    assert treat(LAYERS, Budget(allowed, 10), offload=True) == expected


def test_inputs_do_not_wait_on_the_cpu_where_layers_run_there() -> None:
    assert treat(LAYERS, Budget(1200, 10), offload=False) == Treatment(2, 0)
    with pytest.raises(ConfigError, match="of 10 tokens however many are computed again"):
        treat(LAYERS, Budget(1199, 10), offload=False)


def test_a_budget_that_nothing_keeps_says_what_would() -> None:
    layers = (LayerBytes(1.5 * GIB / 1000, 0.25 * GIB / 1000),) * 2
    expected = (
        r"memory.activations_gib: 0.5 GiB were allowed, and the layers hold 1.5 GiB of 1,000 tokens however many are "
        r"computed again: allow that, or set batch_tokens to 333 or fewer \(no example may be longer\)"
    )
    with pytest.raises(ConfigError, match=expected):
        treat(layers, Budget(GIB // 2, 1000), offload=True)


def test_layers_of_unlike_size_are_whole_one_by_one_on_the_way_back() -> None:
    # The first is large: computing it again is the peak, not what the others hold.
    layers = (LayerBytes(100.0, 10.0), LayerBytes(20.0, 10.0))
    assert treat(layers, Budget(1199, 10), offload=False) == Treatment(1, 0)
    assert treat(layers, Budget(1100, 10), offload=False) == Treatment(1, 0)
    with pytest.raises(ConfigError, match="computed again"):
        treat(layers, Budget(1099, 10), offload=False)


def test_the_first_layers_are_treated_and_gradients_stay_to_the_bit(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    start = nn.Sequential(Wide(), Wide(), Wide()).state_dict()
    found = []
    # 10 tokens of a layer are 800 bytes, or 160.
    for allowed in (None, 2400, 1760, 1120):
        model = nn.Sequential(Wide(), Wide(), Wide()).train()
        model.load_state_dict(start)
        if allowed:
            hold_within(Budget(allowed, 10), model, partial(read_by, model), offload=False)
        found.append([layer.gradient_checkpointing for layer in model])
        read_by(model, 1).sum().backward()
        found.append([weight.grad for weight in model.parameters()])
    assert found[2::2] == [[False, False, False], [True, False, False], [True, True, False]]
    for gradients in found[3::2]:
        assert all(torch.equal(one, other) for one, other in zip(gradients, found[1], strict=True))
    assert "2.24e-06 GiB of 3 layers and 10 tokens, 1.04e-06 allowed: 2 layers are computed again" in caplog.text


def test_inputs_of_the_first_layers_wait_on_the_cpu_and_come_back_for_the_way_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waited: list[torch.Size] = []

    class Counted(save_on_cpu):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            move = self.pack_hook

            def pack(tensor: torch.Tensor) -> Any:
                waited.append(tensor.shape)
                return move(tensor)

            self.pack_hook = pack

    monkeypatch.setattr(activations, "save_on_cpu", Counted)
    start = nn.Sequential(Wide(), Wide(), Wide()).state_dict()
    found = []
    for allowed in (None, 960):  # 10 tokens of one layer whole are 800 bytes, and of an input 160
        model = nn.Sequential(Wide(), Wide(), Wide()).train()
        model.load_state_dict(start)
        if allowed:
            hold_within(Budget(allowed, 10), model, partial(read_by, model), offload=True)
        read_by(model, 1).sum().backward()
        found.append([weight.grad for weight in model.parameters()])
    assert waited == [torch.Size([1, 5, 4])] * 2  # inputs, and nothing else that the layers hold
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_no_more_than_a_layer_is_held_while_it_is_measured() -> None:
    model = nn.Sequential(*(Wide() for _ in range(6)))
    megabytes: list[int] = []

    def note(*_: Any) -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        megabytes.append(pages * resource.getpagesize() >> 20)

    for layer in model:
        layer.register_forward_hook(note)
    note()
    measure(list(model), lambda times: model(torch.ones(1, times << 20, 4, requires_grad=True)))
    # Of two million tokens a layer holds 160 MiB, and all of them 960.
    assert max(megabytes) - megabytes[0] < 450


class Named(Wide):
    """Of states that are handed by their name, as Grounding DINO's layers are."""

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return super().forward(hidden_states)


def test_several_states_a_token_are_one_token_as_in_gemma_3n() -> None:
    layer = Wide()

    def read(times: int) -> None:
        layer(torch.ones(2, 1, 5 * times, 4, requires_grad=True))

    assert measure([layer], read) == (LayerBytes(160.0, 32.0),)


def test_states_by_name_are_tokens_too_and_are_held_by_whoever_hands_them() -> None:
    layer = Named()

    def read(times: int) -> None:
        layer(hidden_states=torch.ones(1, 5 * times, 4, requires_grad=True))

    assert measure([layer], read) == (LayerBytes(80.0, 0.0),)


class Scaled(GradientCheckpointingLayer):
    """Multiplies with what all layers share: it holds both factors."""

    def forward(self, states: torch.Tensor, shared: torch.Tensor) -> torch.Tensor:
        return states * shared


def test_what_all_layers_share_is_counted_once() -> None:
    layers = [Scaled(), Scaled(), Scaled()]

    def read(times: int) -> None:
        states, shared = (torch.ones(1, 5 * times, 4, requires_grad=True) for _ in range(2))
        for layer in layers:
            states = layer(states, shared)

    # 16 bytes of states in each; a layer that is computed again would hold both that it was given.
    assert measure(layers, read) == (LayerBytes(32.0, 32.0), LayerBytes(16.0, 32.0), LayerBytes(16.0, 32.0))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch's own, while it compiles
def test_layers_that_are_compiled_are_measured_as_they_are_written_in_a_second_training_too(tmp_path: Path) -> None:
    for number in range(2):
        model = small_policy(torch.float32, num_hidden_layers=3)
        compile_layers(model)
        budget = Budget(30_000, 20)
        trainer(tmp_path / str(number), model, PAIRS, layout=PACKED, batch_tokens=20, activations=budget).train()
        layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
        assert [layer.gradient_checkpointing for layer in layers] == [True, True, False]


def test_a_model_without_layers_that_can_be_computed_again_is_refused() -> None:
    with pytest.raises(ModelError, match="Linear has no layers that transformers can compute again"):
        hold_within(Budget(1, 1), nn.Linear(2, 2), lambda _: None, offload=False)


@pytest.mark.parametrize("layout", [PACKED, PADDED])
@pytest.mark.parametrize("lora", [False, True])
def test_a_training_within_a_budget_ends_in_the_weights_of_one_without(
    tmp_path: Path, layout: Layout, lora: bool
) -> None:
    found = []
    for allowed in (None, 30_000):  # two layers hold more of 20 tokens, one and two inputs do not
        model = small_policy(torch.float32, num_hidden_layers=3)
        if lora:
            model = trainable(model, adapter=Adapter(rank=2), seed=0)
        budget = None if allowed is None else Budget(allowed, 20)
        trainer(tmp_path / str(allowed), model, PAIRS, layout=layout, batch_tokens=20, activations=budget).train()
        layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
        found.append((weights(model), [layer.gradient_checkpointing for layer in layers]))
    (free, none), (within, some) = found
    assert none == [False] * 3
    assert some == [True, True, False]
    assert all(torch.equal(value, within[name]) for name, value in free.items())


def test_checkpointing_all_layers_and_some_of_them_are_two_things() -> None:
    with pytest.raises(ValidationError, match="gradient_checkpointing: true computes every layer again"):
        Memory(gradient_checkpointing=True, activations_gib=4)
