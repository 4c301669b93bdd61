"""What `python -m flows.rounds` reads: the one source of its flags, its YAML files and the Prefect form."""

from typing import Annotated, Any, Final, Literal

from pydantic import Field

from flows.recipe.curation import CURATION_INDIFFERENT
from flows.recipe.generation import Name
from flows.recipe.models import MODEL_INDIFFERENT, Keys, Positive, RewardConfig, Section
from flows.train.config import TRAINING_INDIFFERENT, StartConfig
from transforms.sources.kinds import PromptSource

# Of the sections that are not read yet, and of those beside them: as curations and trainings have it.
_INDIFFERENT: Final[Keys] = {
    "curate": CURATION_INDIFFERENT,
    "train": TRAINING_INDIFFERENT,
    "held_out": {"policy": MODEL_INDIFFERENT, "judge": MODEL_INDIFFERENT},
}


class HeldOutConfig(Section):
    """Prompts that no round trains on, and the judge of the answers to them."""

    prompts: Annotated[list[PromptSource], Field(min_length=1)] = Field(
        description="As `curate.generate.prompts`; may be the same source. What is held out is left out of training."
    )
    max_prompts: Positive | None = Field(None, description="Take so many at most, chosen by content.")
    policy: dict[str, Any] = Field(
        {},
        description="Held-out prompts are answered as training prompts are, but for these keys, such as `n` or "
        "`temperature`. Every policy answers with the same seeds.",
    )
    judge: RewardConfig = Field(description="Scores the answers. Another model than those that training data are by.")
    same_judge: bool = Field(
        False,
        description="Let the judge be a model that training data are by. Its win rate then rises with what that model "
        "gets wrong too.",
    )
    annotate: bool = Field(
        True,
        description="Score held-out answers with the training annotators too: a gap to the judge is overfitting. Those "
        "that compare a prompt's answers with each other are left out: they say nothing across policies.",
    )
    seed: Annotated[int, Field(ge=0)] = Field(0, description="Of the answers.")


class StopConfig(Section):
    """When a round is better than the best before it, and how many may not be."""

    by: Literal["value", "low"] = Field(
        "value", description="The win rate itself, or the lower end of its 95 % interval: few prompts prove little."
    )
    min_gain: Annotated[float, Field(ge=0, lt=0.5)] = Field(
        0.0, description="A round is better where its win rate over the best before it is above ½ by more than this."
    )
    length_controlled: bool = Field(False, description="By the win rate at equal length.")
    patience: Positive | None = Field(
        1, description="Stop after so many rounds in a row without a better policy; none: never."
    )


class RoundsOutput(Section):
    """Where rounds.json, report.html, best.json and a folder for each round go."""

    dir: str = Field(description="Made if it is not there. Holds one sequence of rounds.")
    overwrite: bool = Field(False, description="Replace other rounds that lie in `dir`.")


class RoundsConfig(Section):
    """Rounds of generation, curation and training, each with the policy of the one before."""

    name: Name = Field(description="Title of the report; letters, digits, dots, dashes.")
    start: StartConfig = Field(description="The policy before the first round.")
    curate: dict[str, Any] = Field(
        description="A curation recipe with a section `generate`. Left out, since each round fills it in: name, "
        "sources, output.dir, ledger, and the model of every policy that is to be the round's."
    )
    train: dict[str, Any] = Field(
        description="A training recipe. Left out, since each round fills it in: name, dataset.path, model, reference, "
        "output, ledger."
    )
    reference: Literal["previous", "start"] = Field(
        "previous",
        description="Of objectives that have one: the policy that the round started from (SPPO), or that of the start.",
    )
    rounds: Positive = Field(3, description="At most. More of them later go on after the last.")
    prompt_parts: Positive = Field(
        1,
        description="Parts, by content, that the training prompts are split into. Round k takes part k, and begins "
        "with the first again after the last: 1 gives every round all prompts, SPPO has 3 of 3.",
    )
    held_out: HeldOutConfig
    stop: StopConfig = StopConfig()
    output: RoundsOutput
    ledger: str | None = Field(None, description="Folder or fsspec URL; the user's cache by default.")

    def settings(self) -> dict[str, Any]:
        """The keys that can change what a round makes. How many there are and when they stop is none of them."""
        outside = {"name", "rounds", "stop", "output", "ledger"}
        found = self.model_dump(mode="json", exclude=outside)
        return {
            key: without(value, _INDIFFERENT[key]) if key in _INDIFFERENT else value for key, value in found.items()
        }


def without(value: Any, keys: Keys) -> Any:
    """Sections that are not read yet, without some of their keys, and without empty ones.

    Args:
        value: nested mappings and lists, as a YAML file has them.
        keys: True for a key that is left out, else what is left out of its value; `__all__` for each item of a list.
    """
    if isinstance(value, list):
        return [without(item, keys.get("__all__", {})) for item in value]
    if not isinstance(value, dict):
        return value
    left = {key: without(item, keys.get(key, {})) for key, item in value.items() if keys.get(key) is not True}
    return {key: item for key, item in left.items() if item != {}}
