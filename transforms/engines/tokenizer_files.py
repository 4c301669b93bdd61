"""What a tokenizer is made of, found without building it: contents of its files, or a commit of the Hub."""

import hashlib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Final, NamedTuple

from transforms.engines.models import hub_commit
from transforms.engines.tokenizer import tokenizer_location
from transforms.errors import ModelError

# Large, and no tokenizer reads them. All else in the folder is hashed: classes name their vocabularies as they like
# (merges.txt, spiece.model, tekken.json, *.tiktoken), and config.json decides the class.
_NO_TOKENIZER: Final = (
    ".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".gguf", ".h5", ".msgpack", ".onnx", ".npz", ".md", ".lock",
    ".png", ".jpg", ".parquet", ".arrow", ".jsonl",
)  # fmt: skip
_TEMPLATES: Final = "additional_chat_templates"
# What turns those files into ids and a template into text; a package that is not there has no version.
_READERS: Final = (
    "transformers", "tokenizers", "jinja2", "huggingface_hub", "sentencepiece", "tiktoken", "mistral_common",
    "protobuf",
)  # fmt: skip


class TokenizerFiles(NamedTuple):
    """A tokenizer that has been found and not been read.

    Attributes:
        location: folder or Hub id.
        revision: commit of a Hub id, None for a folder.
        sha256: of the files, or of id and commit, and of the versions of what reads them. Equal means equal tokens.
    """

    location: str
    revision: str | None
    sha256: str


def tokenizer_files(folder_or_id: str | Path, revision: str | None = None) -> TokenizerFiles | None:
    """Find a tokenizer.

    Args:
        folder_or_id: `smollm2`, a folder or a Hub id.
        revision: of a Hub id.

    Returns:
        None where only loading it can tell what it is: a Hub id that cannot be asked for its commit.
    """
    location = tokenizer_location(folder_or_id)
    folder = Path(location)
    if folder.is_dir():
        return TokenizerFiles(location, None, _digest(_contents(folder)))
    try:
        commit: str | None = hub_commit(location, revision)
    except ModelError:  # transformers then takes what was downloaded before
        commit = _downloaded(location, revision)
    if commit is None:
        return None
    return TokenizerFiles(location, commit, _digest([f"{location}@{commit}".encode()]))


def _downloaded(name: str, revision: str | None) -> str | None:
    """The commit that the Hub's cache on this machine has for a branch or tag."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(name, "tokenizer_config.json", revision=revision)
    except HFValidationError:
        return None
    return Path(found).parent.name if isinstance(found, str) else None


def _contents(folder: Path) -> Iterator[bytes]:
    # Read each time, unlike weights: they are small, and a hash by size and time would miss an edit of equal length.
    for path in sorted([*folder.iterdir(), *folder.glob(f"{_TEMPLATES}/*")]):
        if path.is_file() and not path.name.startswith(".") and path.suffix not in _NO_TOKENIZER:
            yield path.relative_to(folder).as_posix().encode()
            with path.open("rb") as stream:
                yield hashlib.file_digest(stream, "sha256").digest()


def _digest(parts: Iterator[bytes] | list[bytes]) -> str:
    total = hashlib.sha256(reader_versions().encode())
    for part in parts:
        total.update(len(part).to_bytes(8, "big") + part)
    return total.hexdigest()


def reader_versions() -> str:
    """Names and versions of the packages that make tokens and templates of files, a line each."""
    found = []
    for name in _READERS:
        try:
            found.append(f"{name} {metadata.version(name)}\n")
        except metadata.PackageNotFoundError:
            continue
    return "".join(found)
