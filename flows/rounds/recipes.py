"""What generation, curation, training and evaluation are told in one round: the recipe with the round filled in."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from flows.recipe.curation import Recipe
from flows.recipe.generation import Generation, compares
from flows.rounds.config import RoundsConfig
from flows.runtime.config_files import problems_in_words
from flows.train.config import StartConfig, TrainingRecipe
from transforms.errors import ConfigError

JUDGE: Final = "held_out_judge"  # an LLM judge among the annotators is called judge
START: Final = "start"
MODEL: Final = "model"  # folder of a training's result, as flows.train.output calls it

_FILLED_IN: Final = {
    "curate": ("name", "ledger", "output.dir", "output.overwrite", "policy.model", "policy.revision"),
    "train": ("name", "dataset.path", "dataset.revision", "model", "reference", "output", "ledger", "kind"),
    "held_out.policy": ("model", "revision", "label"),
}

Config = TypeVar("Config", bound=BaseModel)


def round_folder(config: RoundsConfig, number: int) -> Path:
    """Where a round's data and training go."""
    return Path(config.output.dir) / f"round-{number}"


def policy_after(config: RoundsConfig, number: int) -> StartConfig:
    """The policy that a round made; that of the start for 0."""
    if number == 0:
        return config.start
    return StartConfig(model=_local(round_folder(config, number) / "training" / MODEL))


def curation_of(config: RoundsConfig, number: int, prompts: Sequence[Mapping[str, Any]]) -> Recipe:
    """How a round's pairs are generated and curated.

    Args:
        config: of all rounds.
        number: of the round, from 1.
        prompts: its sources of prompts.

    Raises:
        ConfigError: a key that does not fit, that each round fills in, or that is missing.
    """
    _refuse("curate", config.curate)
    given, model = config.curate, policy_after(config, number - 1)
    output = dict(_section(given, "output", "curate"))
    if isinstance(output.get("copy_to"), str):
        output["copy_to"] = f"{output['copy_to'].rstrip('/')}/round-{number}"
    content = {
        **given,
        "name": f"{config.name}-round-{number}",
        "generate": {**_generate(config, model), "prompts": list(prompts)},
        "policy": {"engine": "none", **_section(given, "policy", "curate"), **model.model_dump()},
        "output": {
            **output,
            "dir": _local(round_folder(config, number) / "data"),
            "overwrite": True,
        },
        "ledger": config.ledger,
    }
    return _read(Recipe, content, "curate")


def training_of(config: RoundsConfig, number: int) -> TrainingRecipe:
    """How a round's policy is trained.

    Raises:
        ConfigError: as `curation_of`; or its result would be an adapter, which the next round could not start from.
    """
    _refuse("train", config.train)
    folder = round_folder(config, number)
    content: dict[str, Any] = {
        **config.train,
        "name": f"{config.name}-round-{number}",
        "dataset": {**_section(config.train, "dataset", "train"), "path": _local(folder / "data")},
        "model": policy_after(config, number - 1).model_dump(),
        "output": {"dir": _local(folder / "training"), "overwrite": True},
        "ledger": config.ledger,
    }
    if config.reference == "start" and number > 1:
        content["reference"] = config.start.model_dump()
    recipe = _read(TrainingRecipe, content, "train")
    if recipe.lora is not None and not recipe.lora.merge:
        message = (
            "train.lora.merge: false leaves an adapter, and the next round starts from a whole model: leave it out"
        )
        raise ConfigError(message)
    return recipe


def evaluation_of(config: RoundsConfig, number: int, prompts: Sequence[Mapping[str, Any]]) -> Generation:
    """How the policy after a round (0: that of the start) answers held-out prompts, and who scores the answers.

    Its name in the tables is that of every policy, so that all answer with the same seeds.

    Raises:
        ConfigError: as `curation_of`.
    """
    held = config.held_out
    _refuse("held_out.policy", held.policy)
    model = policy_after(config, number)
    generated = curation_of(config, 1, prompts).generation()
    training = [] if generated is None else zip(generated.annotator_labels(), generated.annotators, strict=True)
    own = next(one for one in _policies(config) if _of_the_round(one))
    policy = {key: value for key, value in own.items() if key != "label"}
    # By the names that they have in the training data, whichever of them are left out.
    annotators = [
        {**one.model_dump(mode="json"), "name": label} for label, one in training if held.annotate and not compares(one)
    ]
    label = f"round-{number}" if number else START
    content = {
        "name": f"{config.name}-held-out-{label}",
        "prompts": list(prompts),
        "policies": [{**policy, **held.policy, **model.model_dump()}],
        "annotators": [{**held.judge.model_dump(mode="json"), "kind": "reward", "name": JUDGE}, *annotators],
        "aggregate": JUDGE,
        "repeats": 0,
        "seed": held.seed,
        "output": {"dir": _local(Path(config.output.dir) / "held-out" / label), "overwrite": True},
        "ledger": config.ledger,
    }
    if generated is not None:
        content["batch"] = generated.batch
    if "chat_template_date" in config.curate:
        content["chat_template_date"] = config.curate["chat_template_date"]
    return _read(Generation, content, "held_out")


def _generate(config: RoundsConfig, model: StartConfig) -> dict[str, Any]:
    """The section `generate` with the round's policy where none is named, scored by the curation's reward model where
    no annotator is; without prompts."""
    policies = [{**one, **model.model_dump()} if _of_the_round(one) else one for one in _policies(config)]
    section = {key: value for key, value in config.curate["generate"].items() if key != "prompts"}
    section["policies"] = policies
    if not section.get("annotators") and config.curate.get("reward"):
        section["annotators"] = [{**_section(config.curate, "reward", "curate"), "kind": "reward"}]
    return section


def _policies(config: RoundsConfig) -> list[dict[str, Any]]:
    """As the recipe has them; those without a model are the round's.

    Raises:
        ConfigError: none is, or one is a server's, which cannot change its model.
    """
    section = config.curate.get("generate")
    if not isinstance(section, dict):
        message = "curate.generate: missing; expected a section with the keys of flows.generate"
        raise ConfigError(message)
    found = section.get("policies") or [{}]
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        message = f"curate.generate.policies: expected a list of mappings (found {found!r})"
        raise ConfigError(message)
    own = [one for one in found if _of_the_round(one)]
    if not own:
        message = "curate.generate.policies: all name a model, so no round would answer: leave model out of one"
        raise ConfigError(message)
    if any(one.get("engine") == "server" for one in own):
        message = (
            "curate.generate.policies: engine: server answers with the model that it was started with, and each round "
            "has another: use vllm or transformers"
        )
        raise ConfigError(message)
    return found


def _section(given: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    found = given.get(key) or {}
    if not isinstance(found, Mapping):
        message = f"{where}.{key}: expected a mapping (found {found!r})"
        raise ConfigError(message)
    return found


def _of_the_round(policy: Mapping[str, Any]) -> bool:
    return not policy.get("model") and not policy.get("interpolate")


def prompt_sources(config: RoundsConfig) -> Any:
    """The sources of training prompts, as the recipe has them.

    Raises:
        ConfigError: there are none.
    """
    _policies(config)  # says that there is no such section
    found = config.curate["generate"].get("prompts")
    if not found:
        message = "curate.generate.prompts: missing; expected where training prompts come from"
        raise ConfigError(message)
    return found


def _refuse(where: str, given: Mapping[str, Any]) -> None:
    for key in _FILLED_IN[where]:
        inside: Any = given
        for part in key.split("."):
            inside = inside.get(part) if isinstance(inside, Mapping) else None
        if inside is not None:
            message = f"{where}.{key} is filled in by each round (found {inside!r}): leave it out"
            raise ConfigError(message)


def _read(kind: type[Config], content: Mapping[str, Any], where: str) -> Config:
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise ConfigError(problems_in_words(error, lambda at: ".".join([where, *map(str, at)]))) from error


def _local(path: Path) -> str:
    """A path as no Hub id reads."""
    return str(path) if path.is_absolute() else f"./{path}"
