"""Compiled layers compute what they did, by rounding, and are compiled once for rows of any lengths."""

import shutil
from pathlib import Path

import pytest
import torch
from models_support import examples, llama
from torch import nn
from training_support import differ, lines, small_policy, some_examples, trainer, weights

from trainers.batches.logprobs import log_probs
from trainers.batches.tensors import PACKED
from trainers.steps.compiled import compile_layers
from transforms.errors import ConfigError, ModelError

# torch warns of its own doings while it compiles.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.filterwarnings("ignore")]
ROWS = ([(5, 3, 4), (2, 6, 1)], [(7, 3, 4)], [(4, 3, 3), (2, 2, 2), (9, 9, 9)], [(3, 3, 3)] * 5)


def test_rows_of_other_lengths_compile_nothing_anew() -> None:
    from torch._dynamo.utils import counters

    model, plain = llama(num_hidden_layers=3), llama(num_hidden_layers=3)
    compile_layers(model)
    graphs = []
    for sizes in ROWS:
        batch = PACKED.batch(examples(*sizes))
        found = log_probs(model, batch).tokens
        found.sum().backward()
        torch.testing.assert_close(found, log_probs(plain, batch).tokens, atol=1e-5, rtol=0)
        graphs.append(counters["stats"]["unique_graphs"])
    assert graphs[0] > 0
    assert set(graphs) == {graphs[0]}


def test_a_training_ends_in_the_weights_of_one_that_is_not_compiled(tmp_path: Path) -> None:
    found = []
    for name in ("plain", "compiled"):
        model = small_policy(torch.float32, num_hidden_layers=2)
        if name == "compiled":
            compile_layers(model)
        pairs = some_examples(16)
        trainer(tmp_path / name, model, pairs, layout=PACKED, batch_tokens=60, test=pairs[:3]).train()
        found.append(weights(model))
    assert found[0].keys() == found[1].keys()
    # AdamW's first step is the sign of a gradient, whatever its size: entries that are 0 but for rounding differ.
    assert differ(*found) < 1e-3
    logged = [[line["loss"] for line in lines(tmp_path / name) if "loss" in line] for name in ("plain", "compiled")]
    assert logged[1] == pytest.approx(logged[0], rel=1e-5)


def test_without_a_compiler_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with pytest.raises(ConfigError, match=r"there is no g\+\+ or clang\+\+: install one \(apt-get install g\+\+\)"):
        compile_layers(llama())


def test_a_model_that_names_no_layers_is_refused() -> None:
    with pytest.raises(ModelError, match="Linear does not say what its layers are"):
        compile_layers(nn.Linear(2, 2))
