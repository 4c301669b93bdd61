"""The exceptions of this project.

CurationError        a run cannot go on; the message is for a person and is printed without a traceback
├── ConfigError      a key or a value of the recipe
├── SourceError      a dataset that is missing, unreadable or of another shape
├── SchemaError      a table that breaks a column contract (names missing, extra and wrong-typed columns)
├── ModelError       a checkpoint, tokenizer or chat template that cannot be used as asked
├── EngineError      sampling or scoring failed; worth a retry
└── OutputError      the output folder or the disk
RowError             one row cannot be used: it goes to quarantine and the run goes on
"""

import os
import re
from typing import Final

# Tokens of the Hub and of OpenAI's kind, headers, and who somebody is in an address.
_SECRETS: Final = re.compile(r"hf_[A-Za-z0-9]{8,}|Bearer\s+\S+|sk-[A-Za-z0-9_-]{8,}|(?<=://)[^/\s@]+(?=@)")
_SECRET_NAMES: Final = ("KEY", "TOKEN", "SECRET", "PASSWORD")  # how variables end that hold one


def without_secrets(text: str) -> str:
    """`text` with `***` for what looks like a token or a password, and for what a variable of such a name holds."""
    text = _SECRETS.sub("***", text)
    for name, value in os.environ.items():
        if name.endswith(_SECRET_NAMES) and len(value) >= 8:  # a shorter one would mask ordinary words
            text = text.replace(value, "***")
    return text


def first_line(error: BaseException) -> str:
    """What a library's error is and the first line of what it says, for a message of ours."""
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0] if text else 'no reason given'}"


class CurationError(Exception):
    """A run cannot go on. Says what was found, what was expected and what to do."""


class ConfigError(CurationError):
    """A key or a value of the recipe."""


class SourceError(CurationError):
    """A dataset that is missing, unreadable or of another shape than its adapter expects."""


class SchemaError(CurationError):
    """A table that breaks a column contract."""


class ModelError(CurationError):
    """A checkpoint, tokenizer or chat template that cannot be used as asked."""


class EngineError(CurationError):
    """Sampling or scoring failed in a way that a retry may mend."""


class OutputError(CurationError):
    """The output folder or the disk."""


class RowError(Exception):
    """One row cannot be used; says what was found and what was expected. The row goes to quarantine."""
