"""What `python -m flows.decode` compares: the flow's parameters, and the form that Prefect shows."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from flows.recipe.generation import check_prompt_sources
from flows.recipe.models import Positive, TemplateKwargs
from transforms.precision import Dtype
from transforms.sources.kinds import PromptSource

FLAGS: Final = {"flags": True}  # context of a validation whose messages are to name flags in place of keys


def _expected(words: str) -> WrapValidator:
    """One sentence in place of what pydantic says of a number that does not fit."""

    def said(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(value)
        except ValidationError as error:
            message = f"expected {words}"
            raise ValueError(message) from error

    return WrapValidator(said)


NotNegative = Annotated[float, Field(ge=0), _expected("a finite number, 0 or more")]

# What a run lends, and what it is for.
_LENT: Final = {
    "policy": "the trained policy",
    "reference": "what it was trained from",
    "reward": "scores the responses",
    "prompts": "a file of them",
    "out": "the folder for the result",
}
# Of prompts from sources, and of a command without a run: none of them is in a fingerprint of before.
_LATER: Final = {"prompts", "max_prompts", "chat_template", "chat_template_kwargs"}
_SET_BELOW: Final[Any] = None  # before anything is validated: RUN-decode, or what is missing is said
# Where things lie.
_PLACES: Final = {"run", "out", "ledger"}


class DecodeConfig(BaseModel):
    """A policy and its reference, the prompts that they answer together, and the rules by which they do."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    run: Path | None = Field(
        None,
        description="Folder of a curated run: it lends the prompts of its test split, chat template, reference and "
        "reward model. Without one, prompts, reference, reward and out are to be named.",
    )
    policy: str = Field(description="The trained policy: a folder, or a hub id.")
    policy_revision: str | None = Field(None, description="Branch, tag or commit of a hub id.")
    reference: str | None = Field(None, description="What it was trained from; the run's own policy by default.")
    reference_revision: str | None = Field(None, description="Branch, tag or commit of a hub id.")
    reward: str | None = Field(None, description="Scores the responses; the run's own reward model by default.")
    out: Path = Field(
        _SET_BELOW,
        description="Folder for decode.json, decode.parquet and decode.html; RUN-decode by default; without a run it "
        "is to be named.",
    )
    ledger: str | None = Field(
        None, description="Of rewards: folder or fsspec URL; the run's by default, without a run the user's cache."
    )
    dtype: Dtype = Field("bfloat16", description="Of both models' weights.")
    trust_remote_code: bool = Field(False, description="Run Python code that comes with a model.")
    chat_template: str | None = Field(
        None, description="Without a run: file of a chat template to use in place of the policy's own."
    )
    chat_template_kwargs: TemplateKwargs = Field(
        {}, description="Without a run: what the policy's chat template is called with."
    )
    mix: tuple[NotNegative, ...] = Field((0.0, 0.25, 0.5, 0.75, 1.0, 1.5), description="a of π_DPO^a π_ref^(1−a).")
    length: tuple[Annotated[int, Field(ge=0), _expected("a whole number, 0 or more")], ...] = Field(
        (4, 16, 64), description="t: first tokens by π_DPO."
    )
    kl: tuple[NotNegative, ...] = Field((0.05, 0.2, 1.0), description="b: π_DPO where its KL is above b nats.")
    prompts: list[PromptSource] = Field(
        [],
        description="Files to answer in place of the test split: paths, or sources as `prompts` of flows.generate. A "
        "whole number is `max_prompts`, which it was called before.",
    )
    max_prompts: Annotated[int, Field(ge=2)] = Field(64, description="Distinct ones, at random but always the same.")
    samples: Positive = Field(1, description="Responses a prompt and rule.")
    max_tokens: Positive = Field(256, description="Of a response.")
    temperature: Annotated[
        float, Field(gt=0, le=5), _expected("a number above 0 and at most 5: at 0 a KL would be infinite")
    ] = Field(1.0, description="Of both models.")
    top_p: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="Below 1, every rule is at some distance from the reference."
    )
    seed: Annotated[int, Field(ge=0)] = Field(0, description="The rules share their luck.")
    batch: Positive = Field(32, description="Sequences decoded together.")

    @model_validator(mode="before")
    @classmethod
    def _words_to_keys(cls, given: Any, info: ValidationInfo) -> Any:
        if not isinstance(given, Mapping) or not set(given) <= set(cls.model_fields):
            return given  # a key that is misspelt is said first: another one may be missing for it alone
        found = dict(given)
        number = _read_prompts(found)
        run = found.get("run")
        if run is not None and found.get("out") is None:
            found["out"] = Path(run).with_name(f"{Path(run).name}-decode")
        wanted = _LENT if run is None else ("policy",)
        missing = [f"{_said(name, info)} ({_LENT[name]})" for name in wanted if found.get(name) in (None, "", [])]
        if missing:
            why = "without a run nothing else says them" if run is None else "no run says it"
            message = f"missing: {', '.join(missing)}; {why}"
            if number is not None and run is None:
                taken = _said("max_prompts", info)
                message += f". The {number} of {_said('prompts', info)} is how many are taken, which is {taken} now"
            raise ValueError(message)
        return found

    @model_validator(mode="after")
    def _fits_together(self, info: ValidationInfo) -> Self:
        if not (self.mix or self.length or self.kl):
            mix, length, kl = (_said(name, info) for name in ("mix", "length", "kl"))
            message = f"no rule to compare: give at least one value of {mix}, {length} or {kl}"
            raise ValueError(message)
        if self.run is not None and (self.chat_template is not None or self.chat_template_kwargs):
            message = (
                f"{_said('chat_template', info)} and {_said('chat_template_kwargs', info)} are for a policy without a "
                f"run; {self.run} has a chat template of its own, leave them out"
            )
            raise ValueError(message)
        check_prompt_sources(self.prompts)
        return self

    @property
    def name(self) -> str:
        """Of the flow's run."""
        return (self.run or self.out).name

    def settings(self) -> dict[str, Any]:
        """The keys that can change a number; of a comparison on a run's test split what they were before sources."""
        found = self.model_dump(mode="json", exclude=_LATER | _PLACES)
        if self.prompts:
            sources = [source.model_dump(mode="json") for source in self.prompts]
            return found | {"prompts": sources, "max_prompts": self.max_prompts}
        return found | {"prompts": self.max_prompts}


def _said(name: str, info: ValidationInfo) -> str:
    """A key as whoever gave it knows it: of a command line a flag."""
    return f"--{name.replace('_', '-')}" if info.context == FLAGS else name


def _read_prompts(given: dict[str, Any]) -> str | None:
    """Paths become sources; a number, which `prompts` was, is how many are taken, and is returned."""
    prompts = given.get("prompts")
    if prompts is None:
        given.pop("prompts", None)
        return None
    entries = list(prompts) if isinstance(prompts, list | tuple) else [prompts]
    if len(entries) == 1 and (isinstance(entries[0], int) or _is_number(entries[0])):
        if "max_prompts" in given:
            message = f"prompts is the number {entries[0]}, and max_prompts is {given['max_prompts']}: leave one out"
            raise ValueError(message)
        given["max_prompts"] = entries[0]
        del given["prompts"]
        return str(entries[0])
    given["prompts"] = [
        {"kind": "prompts", "path": str(one)} if isinstance(one, str | Path) else one for one in entries
    ]
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, str) and value.strip().isdigit()
