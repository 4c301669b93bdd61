"""Which launches of several processes are taken."""

import pytest

from trainers.steps.processes import is_first, processes, refuse_sharding
from transforms.errors import ConfigError


@pytest.mark.parametrize(
    ("variable", "name"), [("ACCELERATE_USE_FSDP", "FSDP"), ("ACCELERATE_USE_DEEPSPEED", "DeepSpeed")]
)
def test_shards_of_a_model_are_refused(monkeypatch: pytest.MonkeyPatch, variable: str, name: str) -> None:
    monkeypatch.setenv(variable, "true")
    with pytest.raises(ConfigError, match=f"{variable} asks for {name}, .* every process holds all of the model"):
        refuse_sharding()
    monkeypatch.setenv(variable, "false")
    refuse_sharding()


def test_a_launcher_counts_its_processes_and_without_one_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("WORLD_SIZE", "RANK"):
        monkeypatch.delenv(variable, raising=False)
    assert (processes(), is_first()) == (1, True)
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "2")
    assert (processes(), is_first()) == (4, False)
