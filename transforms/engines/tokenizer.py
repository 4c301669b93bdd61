"""A model's own tokenizer and context length."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from transforms.engines.models import STARTER
from transforms.engines.starter_model import smollm2_folder
from transforms.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def load_tokenizer(
    folder_or_id: str | Path, revision: str | None = None, *, trust_remote_code: bool = False
) -> "PreTrainedTokenizerFast":
    """The model's fast tokenizer, with a chat template.

    Raises:
        ModelError: it cannot be read, is not a fast one (token offsets and batch speed need that), or has no
            chat template, without which nothing says where a response begins and ends.
    """
    from transformers import AutoTokenizer

    where = _location(folder_or_id)
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(where, revision=revision, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, KeyError, ImportError) as error:
        message = f"no tokenizer can be loaded from {folder_or_id}: {_first_line(error)}"
        raise ModelError(message) from error
    if not tokenizer.is_fast:
        message = f"the tokenizer of {folder_or_id} is {type(tokenizer).__name__}, expected a fast one (tokenizer.json)"
        raise ModelError(message)
    if not tokenizer.chat_template:
        message = (
            f"the tokenizer of {folder_or_id} has no chat template. Use the model's instruct version, or name"
            " a tokenizer with a template in the recipe (tokenizer: ...)"
        )
        raise ModelError(message)
    loaded: PreTrainedTokenizerFast = tokenizer
    return loaded


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


def _config_number(name: str, folder_or_id: str | Path, revision: str | None, trust_remote_code: bool) -> int:
    from transformers import AutoConfig

    where = _location(folder_or_id)
    try:
        config: Any = AutoConfig.from_pretrained(where, revision=revision, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, KeyError, ImportError) as error:
        message = f"no model config can be loaded from {folder_or_id}: {_first_line(error)}"
        raise ModelError(message) from error
    number = getattr(config.get_text_config(), name, None)
    if not isinstance(number, int) or number < 1:
        message = f"the config of {folder_or_id} has {name}={number!r}, expected a positive number"
        raise ModelError(message)
    return number


def _location(folder_or_id: str | Path) -> str:
    return str(smollm2_folder() if folder_or_id == STARTER else folder_or_id)


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0] if text else 'no reason given'}"
