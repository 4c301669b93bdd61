"""A model's own tokenizer and context length."""

import os
import re
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transforms.engines.kept_results import keep_result, kept_result
from transforms.engines.models import STARTER, is_folder
from transforms.engines.starter_model import smollm2_folder
from transforms.errors import ModelError, first_line

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def load_tokenizer(
    folder_or_id: str | Path,
    revision: str | None = None,
    *,
    trust_remote_code: bool = False,
    needs_template: bool = True,
) -> "PreTrainedTokenizerFast":
    """The model's fast tokenizer, with a chat template unless the caller has one.

    Raises:
        ModelError: it cannot be read, is not a fast one (token offsets and batch speed need that), or has no
            chat template, without which nothing says where a response begins and ends.
    """
    tokenizer = _load(folder_or_id, revision, trust_remote_code)
    if not tokenizer.is_fast:
        message = f"the tokenizer of {folder_or_id} is {type(tokenizer).__name__}, expected a fast one (tokenizer.json)"
        raise ModelError(message)
    if needs_template and not tokenizer.chat_template:
        message = (
            f"the tokenizer of {folder_or_id} has no chat template. Use the model's instruct version, or name"
            " a tokenizer with a template in the recipe (tokenizer: ...), or a template (policy.chat_template: FILE; of"
            " a training on rows dataset.chat_template: FILE)"
        )
        raise ModelError(message)
    loaded: PreTrainedTokenizerFast = tokenizer
    return loaded


def check_same_vocabulary(
    policy: tuple[str | Path, str | None], reference: tuple[str | Path, str | None], *, trust_remote_code: bool = False
) -> None:
    """Raise ModelError unless a reference reads the policy's token ids as the same tokens.

    Args:
        policy: folder or id, and revision.
        reference: likewise; it needs no chat template.
        trust_remote_code: run Python code that comes with either.
    """
    ours, theirs = (_load(*model, trust_remote_code).get_vocab() for model in (policy, reference))
    if ours != theirs:
        other = sorted(token for token in ours if theirs.get(token) != ours[token])[:3]
        message = (
            f"the tokenizers of the policy {policy[0]} ({len(ours):,} tokens) and its reference {reference[0]} "
            f"({len(theirs):,}) differ, for one in {', '.join(map(repr, other)) or 'tokens that only the latter has'}: "
            "log-probs can only be compared over the same ids. The reference is the model that the policy was "
            "trained from"
        )
        raise ModelError(message)


def context_length(folder_or_id: str | Path, revision: str | None = None, *, trust_remote_code: bool = False) -> int:
    """Positions that the model's config allows (`max_position_embeddings`).

    Raises:
        ModelError: the config cannot be read or names no such number.
    """
    return _config_number("max_position_embeddings", folder_or_id, revision, trust_remote_code)


def vocabulary_size(folder_or_id: str | Path, revision: str | None = None, *, trust_remote_code: bool = False) -> int:
    """Token ids that the model's embedding has (`vocab_size`), padding rows that no tokenizer uses included.

    Raises:
        ModelError: the config cannot be read or names no such number.
    """
    return _config_number("vocab_size", folder_or_id, revision, trust_remote_code)


def attention_heads(folder_or_id: str | Path, revision: str | None = None, *, trust_remote_code: bool = False) -> int:
    """Heads of a layer's attention (`num_attention_heads`), which tensor parallelism deals out to GPUs.

    Raises:
        ModelError: the config cannot be read or names no such number.
    """
    return _config_number("num_attention_heads", folder_or_id, revision, trust_remote_code)


def _config_number(name: str, folder_or_id: str | Path, revision: str | None, trust_remote_code: bool) -> int:
    where = tokenizer_location(folder_or_id)
    key = None if trust_remote_code else _config_key(where, revision)
    kept = kept_result("configs", name, key) if key else None
    if isinstance(kept, int):
        return kept
    number = _read_config_number(name, folder_or_id, where, revision, trust_remote_code)
    if key:
        keep_result("configs", name, key, content=number)
    return number


def _config_key(where: str, revision: str | None) -> str | None:
    """What a config follows from, None for what may be another one tomorrow."""
    file = Path(where) / "config.json"
    version = metadata.version("transformers")  # it fills in what the file leaves out
    if file.is_file():
        return f"{version} {sha256(file.read_bytes()).hexdigest()}"
    return f"{version} {where}@{revision}" if revision and re.fullmatch(r"[0-9a-f]{40}", revision) else None


def _read_config_number(
    name: str, folder_or_id: str | Path, where: str, revision: str | None, trust_remote_code: bool
) -> int:
    from transformers import AutoConfig

    try:
        config: Any = AutoConfig.from_pretrained(where, revision=revision, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, KeyError, ImportError) as error:
        message = f"no model config can be loaded from {folder_or_id}: {first_line(error)}"
        raise ModelError(message) from error
    number = getattr(config.get_text_config(), name, None)
    if not isinstance(number, int) or number < 1:
        message = f"the config of {folder_or_id} has {name}={number!r}, expected a positive number"
        raise ModelError(message)
    return number


def _load(folder_or_id: str | Path, revision: str | None, trust_remote_code: bool) -> Any:
    from transformers import AutoTokenizer

    where = tokenizer_location(folder_or_id)
    try:
        return AutoTokenizer.from_pretrained(where, revision=revision, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, KeyError, ImportError) as error:
        message = f"no tokenizer can be loaded from {folder_or_id}: {first_line(error)}"
        raise ModelError(message) from error


def tokenizer_location(folder_or_id: str | Path) -> str:
    """What transformers is told: a folder, or a Hub id as it is."""
    if folder_or_id == STARTER:
        return str(smollm2_folder())
    # Not by Path, which makes a Hub id of ./name.
    return os.path.expanduser(folder_or_id) if is_folder(folder_or_id) else str(folder_or_id)  # noqa: PTH111
