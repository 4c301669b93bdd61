"""Which launches of several processes are taken."""

import pytest

from trainers.steps.processes import is_first, processes, refuse_sharding
from transforms.errors import ConfigError


@pytest.mark.parametrize(
    ("variable", "version", "name"),
    [
        ("ACCELERATE_USE_FSDP", None, "FSDP 1"),
        ("ACCELERATE_USE_FSDP", "2", "FSDP 2"),
        ("ACCELERATE_USE_DEEPSPEED", None, "DeepSpeed"),
    ],
)
def test_a_launcher_that_spreads_a_model_is_refused_and_the_recipe_s_own_way_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, version: str | None, name: str
) -> None:
    monkeypatch.setenv(variable, "true")
    monkeypatch.delenv("FSDP_VERSION", raising=False)
    if version is not None:
        monkeypatch.setenv("FSDP_VERSION", version)
    with pytest.raises(ConfigError, match=f"{variable} asks for {name}, .* with --memory.shard fsdp, which is FSDP 2"):
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
