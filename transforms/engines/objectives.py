"""ArmoRM without its weights: which objectives it has, and where it looks at the prompt.

What the published code computes is in `armorm`. Here is what a plan and a tokenizer need to know of it, from
config.json and the tokenizer alone.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from transforms.engines.models import ResolvedModel
from transforms.engines.tokenizer import tokenizer_location
from transforms.errors import ModelError, first_line

ARMORM: Final = "LlamaForRewardModelWithGating"  # architectures[0] of its config.json

# The list `attributes` of the model card's demo code (RLHFlow/ArmoRM-Llama3-8B-v0.1), whose order is that of the rows
# of regression_layer.weight. config.json has the number alone: its id2label is {"0": "LABEL_0"}.
ARMORM_OBJECTIVES: Final = (
    "helpsteer-helpfulness",
    "helpsteer-correctness",
    "helpsteer-coherence",
    "helpsteer-complexity",
    "helpsteer-verbosity",
    "ultrafeedback-overall_score",
    "ultrafeedback-instruction_following",
    "ultrafeedback-truthfulness",
    "ultrafeedback-honesty",
    "ultrafeedback-helpfulness",
    "beavertails-is_safe",
    "prometheus-score",
    "argilla-overall_quality",
    "argilla-judge_lm",
    "code-complexity",
    "code-style",
    "code-explanation",
    "code-instruction-following",
    "code-readability",
)

# The gating network reads the first of these tokens: the end of the turn before the last answer.
GATING_TEXT: Final = "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
_GATING_TOKENS: Final = 5  # 128009, 128006, 78191, 128007, 271 in Llama 3's vocabulary


def config_json(folder_or_id: str | Path, revision: str | None) -> dict[str, Any]:
    """A checkpoint's config.json as it is written, without transformers.

    Raises:
        ModelError: there is none, or it is no JSON object.
    """
    where = tokenizer_location(folder_or_id)
    file = Path(where) / "config.json"
    try:
        if not file.is_file() and not Path(where).is_dir():
            from huggingface_hub import hf_hub_download

            file = Path(hf_hub_download(where, "config.json", revision=revision))
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # the Hub's errors are OSErrors
        message = f"the config of {folder_or_id} cannot be read: {first_line(error)}"
        raise ModelError(message) from error
    if not isinstance(content, dict):
        message = f"the config of {folder_or_id} is {type(content).__name__}, expected a JSON object"
        raise ModelError(message)
    return content


def architecture(config: Mapping[str, Any]) -> str | None:
    """The class that a config.json names."""
    named = config.get("architectures")
    return named[0] if isinstance(named, list) and named and isinstance(named[0], str) else None


def is_armorm(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is ArmoRM's. QRM has its class name too, but quantiles in place of rewards."""
    return architecture(config) == ARMORM and "num_quantiles" not in config


def objective_names(model: ResolvedModel) -> tuple[str, ...]:
    """Names of a reward model's objectives, from its config.json alone; none where it gives one number.

    Args:
        model: what `resolve_model` found.

    Returns:
        Names of lower-case letters, `_` and `-`, as its card has them; `objective-0` … where there are not as many as
        in the card.

    Raises:
        ModelError: config.json cannot be read.
    """
    config = config_json(model.location, model.revision)
    return names_of(config.get("num_objectives", len(ARMORM_OBJECTIVES))) if is_armorm(config) else ()


def names_of(objectives: int) -> tuple[str, ...]:
    """A name for each of so many objectives of an ArmoRM."""
    if objectives == len(ARMORM_OBJECTIVES):
        return ARMORM_OBJECTIVES
    return tuple(f"objective-{index}" for index in range(objectives))


def gating_tokens(encode: Callable[[str], Sequence[int]], name: str) -> list[int]:
    """The tokens whose last occurrence says where the gating network reads, in the model's own vocabulary.

    Args:
        encode: from text to ids without special tokens, marks in the text as the tokens they are.
        name: of the model, for the message.

    Raises:
        ModelError: its vocabulary has no such marks.
    """
    ids = list(encode(GATING_TEXT))
    if len(ids) != _GATING_TOKENS:
        message = (
            f"the tokenizer of {name} writes {GATING_TEXT!r} in {len(ids)} tokens, expected {_GATING_TOKENS} as Llama "
            "3's does: its gating network would read elsewhere than it was trained to. Use the model's own tokenizer"
        )
        raise ModelError(message)
    return ids


def gating_position(token_ids: Sequence[int], tokens: Sequence[int]) -> int | None:
    """Where the gating network reads: the first token of the last occurrence of `tokens`.

    Args:
        token_ids: a whole conversation.
        tokens: as `gating_tokens` gives them.

    Returns:
        None where there is none, and where the last header's newlines are one token with those that the answer begins
        with: the published code would then read at an earlier answer's header.
    """
    header = list(tokens[:-1])
    for start in range(len(token_ids) - len(tokens), -1, -1):
        if token_ids[start] == header[0] and list(token_ids[start : start + len(header)]) == header:
            return start if token_ids[start + len(header)] == tokens[-1] else None
    return None
