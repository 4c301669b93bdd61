"""What `python -m flows.train` reads: the one source of its flags, its YAML files and the Prefect form."""

from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from flows.recipe.cluster import ClusterConfig
from flows.recipe.models import Keys, Positive, ReportTo
from trainers.steps.settings import Adapter, BradleyTerry, HeadOnly, Memory, Optimisation
from transforms.errors import ConfigError

Kept = Literal["truncated", "full", "poet"] | Annotated[float, Field(gt=0, le=1)]
Pairs = Literal["kept", "all"]
Split = Literal["train", "test"]
Every = Positive | Literal["epoch"]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DatasetConfig(_Section):
    """A run of `flows.curate`, or of `kind: sft` rows too: its splits `train` and, where there is one, `test`."""

    path: str = Field(
        description="Folder of a finished run (`./runs/NAME`), or the Hub id that it was published as. Of `kind: sft` "
        "also a file or folder of rows with `prompt` and `completion`, or `messages` (JSON lines, Parquet, Arrow)."
    )
    revision: str | None = Field(None, description="Branch, tag or commit of a Hub id.")
    kept: Kept = Field(
        "truncated", description="Response tokens to train on: those the run kept, all, POET's, or a share of each."
    )
    responses: Literal["pairs", "all"] = Field(
        "pairs",
        description="Those of the pairs, or every response that the run's sources have to these prompts, with rewards "
        "of the run's reward model (missing ones are scored); for objectives of single responses.",
    )
    max_length: Positive | None = Field(
        None, description="Prompt and response together; what the model can read by default."
    )
    pairs: Pairs = Field("kept", description="`all`: also those that the run dropped for what the cut did to them.")
    test_size: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        None, description="Share of prompts in `test`; the run's own by default, of rows those of their files."
    )
    chat_template: str | None = Field(
        None, description="Of rows: file of a chat template in place of the model's own, which it is saved with."
    )
    splits: Annotated[tuple[Split, ...], Field(min_length=1)] = Field(
        ("train", "test"), description="Which are read; without `test` nothing is measured there."
    )

    @model_validator(mode="after")
    def _all_are_cut_alone(self) -> Self:
        if self.responses == "all" and isinstance(self.kept, str) and self.kept != "full":
            message = (
                f"kept: {self.kept} cuts the two responses of a pair, and responses: all takes any number a prompt; "
                "use kept: full, or a share of each response"
            )
            raise ValueError(message)
        return self


class StartConfig(_Section):
    """A causal language model: what training starts from, or a reference."""

    model: str = Field(description="Hub id, local folder, or `smollm2` (SmolLM2-135M-Instruct from PyPI).")
    revision: str | None = Field(None, description="Branch, tag or commit of a Hub id.")


class ObjectiveConfig(_Section):
    """What a policy minimises; trainers/objectives has one function each."""

    name: str = Field(description="One of objectives.md.")
    settings: dict[str, float | str | None] = Field({}, description="β and the like; published values by default.")


class TrainingOutput(_Section):
    """Where the trained model goes."""

    dir: str = Field(description="Made if it is not there. Holds one training.")
    overwrite: bool = Field(False, description="Replace another training that lies in `dir`.")
    resume: bool = Field(True, description="Go on from the newest checkpoint in `dir`; else start anew.")


# Keys of memory that came later: a training without them is what it was.
_OF_STEPS: Final = ("shard", "activations_gib", "compile")
TRAINING_INDIFFERENT: Final[Keys] = dict.fromkeys(("output", "ledger", "cluster", "save_steps", "report_to"), True)


class TrainingRecipe(_Section):
    """One training run: of a policy from preferences (`preference`) or completions (`sft`), or of a `reward` model."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=96)] = Field(
        description="Title of the training; letters, digits, dots, dashes."
    )
    kind: Literal["preference", "reward", "sft"] = Field(
        "preference",
        description="A policy from preferences, a reward model, or a policy from completions alone (supervised "
        "fine-tuning): the chosen responses of a run, or rows.",
    )
    dataset: DatasetConfig
    model: StartConfig
    reference: StartConfig | None = Field(
        None,
        description="Of objectives that have one, and of `kl_reference`; the model that training starts from by "
        "default.",
    )
    kl_reference: bool = Field(
        False,
        description="Read the reference's log-probs once also where the objective has none, and log `kl` and "
        "`displacement` against it. The weights are the same.",
    )
    objective: ObjectiveConfig | None = Field(None, description="Of a policy from preferences.")
    reward: BradleyTerry | None = Field(None, description="Of a reward model: margin, centring, regularizer.")
    optimisation: Optimisation | None = Field(None, description="Of everything but a head alone.")
    memory: Memory = Memory()
    lora: Adapter | None = Field(None, description="LoRA in all linear layers instead of all weights.")
    head: HeadOnly | None = Field(
        None, description="Fit a reward model's head alone; else the weights below it learn too."
    )
    save_steps: Every | None = Field(
        None, description="Steps between checkpoints, or `epoch`: one with the end of each; none by default."
    )
    keep_checkpoints: Positive | Literal["all"] | None = Field(
        None,
        description="The newest so many, or all, lie in `OUTPUT/checkpoints` also when the training is done, the best "
        "among them, as models without an optimizer. By default two while it trains, and none after.",
    )
    eval_steps: Every | None = Field(
        None,
        description="Steps between measurements on `test`, or `epoch`: one at the end of each; beside first and last.",
    )
    keep_best: Literal["loss", "accuracy", "margin", "log_prob_chosen"] | None = Field(
        None,
        description="Save the model of the measurement on `test` with the lowest loss, or the highest accuracy, mean "
        "reward margin or mean log-prob of chosen responses, and not the last step's; the first of equal ones. Needs "
        "`eval_steps`, and writes a checkpoint with each.",
    )
    report_to: ReportTo = ()
    output: TrainingOutput
    cluster: ClusterConfig | None = Field(
        None, description="Read the reference's log-probs by replicas of a Ray cluster (`replicas.reference`)."
    )
    ledger: str | None = Field(None, description="Folder or fsspec URL; the user's cache by default.")

    @model_validator(mode="after")
    def _sections_are_those_of_the_kind(self) -> Self:
        given = {name for name in type(self).model_fields if getattr(self, name) not in (None, (), False)}
        needed, foreign = {"optimisation"}, {"head", "reward"}
        if self.kind == "preference":
            needed.add("objective")
        elif self.kind == "sft":
            foreign |= {"objective", "reference", "kl_reference", "cluster"}
        elif self.head is None:
            foreign = {"objective", "reference", "kl_reference", "cluster"}
        else:
            needed = set()
            foreign = {"objective", "reference", "kl_reference", "optimisation", "lora", "cluster"}
            foreign |= {"save_steps", "keep_checkpoints", "eval_steps", "keep_best", "report_to"}
        of = f"kind: {self.kind}" + (" with a head alone" if self.kind == "reward" and self.head else "")
        if missing := sorted(needed - given):
            message = f"{of} needs {', '.join(missing)}"
            raise ValueError(message)
        if unused := sorted(foreign & given):
            message = f"{of} has no use for {', '.join(unused)}; leave it out"
            raise ValueError(message)
        if self.kind == "sft":
            self._completions_are_put_in_no_order()
        elif self.dataset.chat_template is not None:
            message = (
                f"kind: {self.kind} has no use for dataset.chat_template: the ids of a run are made, by the template "
                "that its recipe names; leave it out"
            )
            raise ValueError(message)
        if self.head is not None:
            of_steps = [name for name in _OF_STEPS if getattr(self.memory, name)]
            if of_steps:
                message = (
                    f"memory.{of_steps[0]} is about the steps of all weights, and a head alone is fitted without "
                    "steps; leave it out"
                )
                raise ValueError(message)
        if self.head is not None and self.reward is not None and self.reward.regularizer is not None:
            message = (
                f"reward.regularizer: {self.reward.regularizer} needs a model that learns below its head, for a frozen "
                "one's states in mid-text say too little; leave head out, with or without lora"
            )
            raise ValueError(message)
        if self.kind == "reward" and self.lora is not None and not self.lora.merge:
            message = "lora.merge: false leaves an adapter, which no reward engine loads; a reward model is saved whole"
            raise ValueError(message)
        return self

    def _completions_are_put_in_no_order(self) -> None:
        if self.keep_best not in (None, "loss"):
            message = f"keep_best: {self.keep_best} is of an order, and kind: sft learns none; use keep_best: loss"
            raise ValueError(message)
        if self.dataset.responses == "all":
            message = (
                "dataset.responses: all takes rejected responses too, and kind: sft learns whatever it is given; use "
                "dataset.responses: pairs, of which it takes the chosen ones"
            )
            raise ValueError(message)

    @model_validator(mode="after")
    def _checkpoints_that_are_kept_are_written(self) -> Self:
        if self.keep_checkpoints is not None and self.save_steps is None and self.keep_best is None:
            message = (
                f"keep_checkpoints: {self.keep_checkpoints} keeps checkpoints, and none is written; set save_steps, or "
                "keep_best, which writes one with every measurement"
            )
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _the_best_is_measured_and_saved(self) -> Self:
        if self.keep_best is None:
            return self
        if self.keep_best == "log_prob_chosen" and self.kind == "reward":
            message = "keep_best: log_prob_chosen is of a policy, and a reward model gives none; use loss, accuracy or "
            message += "margin"
            raise ValueError(message)
        if self.eval_steps is None or "test" not in self.dataset.splits:
            message = f"keep_best: {self.keep_best} chooses among measurements on test: it needs eval_steps and the "
            message += "split test"
            raise ValueError(message)
        if self.save_steps not in (None, self.eval_steps):
            message = (
                f"keep_best: {self.keep_best} writes a checkpoint with every measurement, and save_steps: "
                f"{self.save_steps} is not eval_steps: {self.eval_steps}; leave save_steps out"
            )
            raise ValueError(message)
        return self

    @property
    def stepwise(self) -> Optimisation:
        """How steps are made.

        Raises:
            ConfigError: a head that is fitted alone takes none.
        """
        if self.optimisation is None:
            message = "a head alone is fitted without steps, so there is no optimisation"
            raise ConfigError(message)
        return self.optimisation

    def settings(self) -> dict[str, Any]:
        """The keys that can change a number."""
        outside = dict(TRAINING_INDIFFERENT)
        # A training that keeps the last step's model is what it was before there was a choice.
        outside |= {} if self.keep_best else {"keep_best": True}
        outside |= {} if self.reference else {"reference": True}
        outside |= {} if self.kl_reference else {"kl_reference": True}
        if self.keep_checkpoints:
            del outside["save_steps"]  # checkpoints that stay are a part of the result
        else:
            outside["keep_checkpoints"] = True
        outside |= {} if self.dataset.chat_template else {"dataset": {"chat_template": True}}
        outside["memory"] = {name: True for name in _OF_STEPS if not getattr(self.memory, name)}
        return self.model_dump(mode="json", exclude=outside)

    def identity(self) -> dict[str, Any]:
        """The keys that decide the trained weights, beside data, objective and order; rounding is left out."""
        order = {"epochs", "steps", "pairs_per_step", "seed"}
        optimisation = None if self.optimisation is None else self.optimisation.model_dump(exclude=order)
        lora = None if self.lora is None else self.lora.model_dump(exclude={"merge"})
        kept = {} if self.keep_best is None else {"keep_best": self.keep_best}
        return {"optimisation": optimisation, "lora": lora, "memory": {"dtype": self.memory.dtype}, **kept}
