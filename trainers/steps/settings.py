"""How a model is trained, whatever it is trained for. Without torch: recipes are read before anything heavy is."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from transforms.precision import Dtype

Positive = Annotated[int, Field(ge=1)]
AboveZero = Annotated[float, Field(gt=0)]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Optimisation(_Settings):
    """AdamW and its schedule. The defaults are those of SimPO, AlphaPO and POET, but for the learning rate."""

    learning_rate: Annotated[float, Field(gt=0)] = Field(description="At its peak; 3e-7 … 1e-6 for all weights.")
    schedule: Literal["cosine", "linear", "constant"] = Field("cosine", description="Of the rate, after the warm-up.")
    warmup: Annotated[float, Field(ge=0, lt=1)] = Field(0.1, description="Share of the steps.")
    weight_decay: Annotated[float, Field(ge=0)] = Field(0.0, description="Of AdamW.")
    max_gradient_norm: Annotated[float, Field(gt=0)] = Field(1.0, description="Longer gradients are shortened to it.")
    pairs_per_step: Positive = Field(
        128, description="Or prompts, for objectives of prompts, or completions (`sft`); over all processes."
    )
    epochs: Annotated[float, Field(gt=0)] | None = Field(None, description="Passes over the data; one by default.")
    steps: Positive | None = Field(None, description="Optimizer steps, instead of epochs.")
    seed: Annotated[int, Field(ge=0)] = Field(0, description="Of the order, and of new weights.")

    @model_validator(mode="after")
    def _epochs_or_steps(self) -> Self:
        if self.epochs is not None and self.steps is not None:
            message = f"epochs: {self.epochs} and steps: {self.steps} say two things; leave one of them out"
            raise ValueError(message)
        return self


class Memory(_Settings):
    """What a step's examples are cut into. Changes time and memory, and a result by rounding only."""

    batch_tokens: Positive = Field(8192, description="Tokens of a forward pass, padding included.")
    dtype: Dtype = Field(
        "bfloat16",
        description="Of the forward pass; weights that are trained are float32. `auto`: bfloat16 where this machine "
        "multiplies in it, else float32.",
    )
    gradient_checkpointing: bool = Field(False, description="Less memory, a third more time.")
    activations_gib: AboveZero | None = Field(
        None,
        description="What the layers may hold of a forward pass for its way back, weights and logits not counted. As "
        "many as that asks for are computed again, as gradient_checkpointing does with all of them, and their inputs "
        "wait on the CPU where a GPU could hold no more.",
    )
    compile: bool = Field(
        False, description="Fuse what layers do between matrix products (torch.compile); needs a C++ compiler."
    )
    shard: Literal["fsdp"] | None = Field(
        None,
        description="`fsdp`: the processes of a launcher share the weights, gradients and moments (FSDP2); else each "
        "holds all of them (DDP).",
    )

    @model_validator(mode="after")
    def _activations_are_held_or_not(self) -> Self:
        if self.gradient_checkpointing and self.activations_gib is not None:
            message = (
                f"gradient_checkpointing: true computes every layer again, and activations_gib: {self.activations_gib} "
                "as many as it asks for; leave one of them out"
            )
            raise ValueError(message)
        return self


class BradleyTerry(_Settings):
    """What a reward model minimises: −log σ(r_w − r_l − margin) + centring · (r_w + r_l)² (methods §5).

    With a regularizer also what the rewards of a response's prefixes are apart from that of the whole response
    (`lookahead`), and from that of the prefix with one token more (`smoothness`).
    """

    margin: Literal["reward", "score"] | AboveZero | None = Field(
        None,
        description="By how much chosen responses should win: a number, or what the run's rewards or the source's "
        "scores of the two differ by.",
    )
    centring: Annotated[float, Field(ge=0)] = Field(0.0, description="λ; 0.01 where it is used (arXiv 2312.09244).")
    regularizer: Literal["temporally_coherent"] | None = Field(
        None,
        description="Make the reward of every prefix the expected reward of what it becomes (arXiv 2604.22981): a "
        "value at each token for the price of one reading.",
    )
    lookahead: Annotated[float, Field(ge=0)] = Field(
        0.1, description="Weight of a prefix's squared distance from the whole response's reward; with the regularizer."
    )
    smoothness: Annotated[float, Field(ge=0)] = Field(
        0.1, description="Weight of its squared distance from the next prefix's reward; with the regularizer."
    )

    def settings(self) -> dict[str, Any]:
        """What decides the losses; without a regularizer its weights decide nothing."""
        return self.model_dump(exclude=None if self.regularizer else {"regularizer", "lookahead", "smoothness"})


class HeadOnly(_Settings):
    """Fit the reward head alone, on the frozen model: a convex problem, so neither steps nor a learning rate."""

    weight_decays: Annotated[tuple[AboveZero, ...], Field(min_length=1)] = Field(
        (1e-2, 3e-2, 1e-1, 3e-1, 1.0), description="Candidates for the L2 penalty on features of unit variance."
    )
    folds: Annotated[int, Field(ge=2)] = Field(
        5, description="Parts of the training prompts, each held out once to choose the penalty."
    )
    seed: Annotated[int, Field(ge=0)] = Field(0, description="Of the folds.")


class Adapter(_Settings):
    """LoRA in all linear layers instead of training all weights."""

    rank: Positive = Field(16, description="Of the two factors.")
    alpha: Annotated[float, Field(gt=0)] = Field(32.0, description="The update is scaled by alpha / rank.")
    merge: bool = Field(True, description="Save the model with the adapter in its weights, not the adapter alone.")
