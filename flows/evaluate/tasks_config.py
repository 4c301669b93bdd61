"""The section `tasks` of an evaluation: tasks of lm-evaluation-harness, run in an environment of its own."""

from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from transforms.errors import without_secrets

# What this project says itself of the policy, so that what is measured is what evaluation.json names.
_OURS: Final = (
    "pretrained", "revision", "dtype", "tokenizer", "trust_remote_code", "chat_template_args", "device", "batch_size",
)  # fmt: skip
_SECRET: Final = ("token", "api_key", "password", "secret")


def _one_task(name: str) -> str:
    if not name or name.startswith("-") or any(sign in name for sign in ", \t\n\0"):
        message = f"{name!r} is no name of a task: expected one name an entry, without spaces, commas or a leading dash"
        raise ValueError(message)
    if "/" in name or name.endswith((".yaml", ".yml")):
        message = f"{name!r} is a file: name its folder in tasks.include_path, and here the `task:` that it defines"
        raise ValueError(message)
    return name


def _no_own_keys(extras: dict[str, Any]) -> dict[str, Any]:
    for key, value in extras.items():
        if key in _OURS:
            message = f"{key} is set by this evaluation (policy and tasks have a key for it); leave it out"
            raise ValueError(message)
        if any(word in key.lower() for word in _SECRET) or without_secrets(str(value)) != str(value):
            message = f"{key} looks like a secret, which would be written down; set HF_TOKEN in the environment"
            raise ValueError(message)
    return extras


class TasksConfig(BaseModel):
    """Tasks of lm-evaluation-harness (`hf` backend) that the policy answers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    names: Annotated[list[Annotated[str, AfterValidator(_one_task)]], Field(min_length=1)] = Field(
        description="Tasks, groups and tags as lm_eval names them; `PYTHON -m lm_eval ls tasks` lists its own."
    )
    python: str = Field(
        description="Python of an environment that has lm_eval, such as `./lm-eval/bin/python`; it need not share "
        "anything with this one. Where it lies changes no number; versions there are part of the fingerprint."
    )
    include_path: str | None = Field(
        None,
        description="Folder with YAML files of tasks of your own. Paths of data files in them are relative to the "
        "folder in which the command is run, as lm_eval takes them. Files are part of the fingerprint.",
    )
    num_fewshot: Annotated[int, Field(ge=0)] | None = Field(None, description="Examples a prompt; else a task's own.")
    limit: Annotated[float, Field(gt=0)] | None = Field(
        None, description="The first so many documents of each task, or below 1 a share of them: for trials alone."
    )
    batch_size: Annotated[int, Field(ge=1)] | Annotated[str, Field(pattern=r"^auto(:[1-9][0-9]*)?$")] = Field(
        1, description="Requests a forward pass, or `auto` for the most that fit."
    )
    device: str | None = Field(None, description="Such as `cuda:1` or `cpu`; a GPU where there is one.")
    seed: Annotated[int, Field(ge=0)] | None = Field(
        None, description="Of Python, numpy, torch and the choice of examples; else lm_eval's own, 0 and 1234."
    )
    apply_chat_template: bool = Field(
        True, description="Prompts as conversations in the policy's chat template; false for a base model."
    )
    fewshot_as_multiturn: bool | None = Field(
        None, description="Examples as turns of the conversation; by default so with a chat template."
    )
    log_samples: bool = Field(False, description="Keep each document with its prompt and answer, lm_eval_samples/.")
    confirm_run_unsafe_code: bool = Field(
        False, description="Let tasks run code that the policy wrote (humaneval, mbpp …), on this machine."
    )
    model_args: Annotated[dict[str, Any], AfterValidator(_no_own_keys)] = Field(
        {}, description="Further arguments of lm_eval's `hf` model, such as `{parallelize: true, max_length: 4096}`."
    )

    @model_validator(mode="after")
    def _turns_need_a_template(self) -> Self:
        if self.fewshot_as_multiturn and not self.apply_chat_template:
            message = "fewshot_as_multiturn: examples are turns of a chat template; set apply_chat_template true"
            raise ValueError(message)
        return self
