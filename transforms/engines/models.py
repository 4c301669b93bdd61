"""Which model a recipe means (folder, hub id at one commit, starter policy) and what fixes its answers."""

import fnmatch
import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Literal, NamedTuple

from transforms.engines.file_hashes import remembered_hashes
from transforms.engines.protocol import LOCAL, EngineName, ModelIdentity
from transforms.engines.starter_model import NAME as STARTER_NAME
from transforms.engines.starter_model import smollm2_folder
from transforms.errors import ModelError, first_line

Dtype = Literal["bfloat16", "float32", "float16"]

# The one model name that is neither a folder nor a hub id.
STARTER: Final = "smollm2"

# What decides a model's answers; nothing else of a repository is needed.
ANSWER_FILES: Final = (
    "config.json",
    "generation_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "chat_template*",
    "*.safetensors",
    "*.safetensors.index.json",
)


class Adapter(NamedTuple):
    """A LoRA adapter that fits its base, as `transforms.engines.adapters` found it."""

    folder: str
    rank: int  # the largest of its layers


class ResolvedModel(NamedTuple):
    """A model that can be loaded."""

    identity: ModelIdentity
    location: str  # folder, or hub id
    revision: str | None  # commit sha of a hub id, None for a folder
    adapter: Adapter | None = None


def resolve_model(
    path: str | Path,
    revision: str | None = None,
    *,
    dtype: Dtype = "bfloat16",
    engine: EngineName,
    trust_remote_code: bool = False,
) -> ResolvedModel:
    """Find the model and pin it by content.

    Args:
        path: `smollm2`; a folder (`./x`, `/x`, `~/x`, or a Path); or a hub id (`org/name`).
        revision: branch, tag or commit of a hub id.
        dtype: of the weights when loaded; part of the identity.
        engine: the backend that will answer; part of the identity.
        trust_remote_code: the model's own Python files then take part in the fingerprint.

    Raises:
        ModelError: no such folder or hub model, or a folder that holds no safetensors model.
    """
    if path == STARTER:
        location, name = smollm2_folder(), STARTER_NAME
    elif is_folder(path):
        location = Path(path).expanduser()
        name = _folder_name(location.resolve())
    else:
        sha = hub_commit(str(path), revision)
        identity = ModelIdentity(name=str(path), revision=sha, fingerprint=sha, dtype=dtype, engine=engine)
        return ResolvedModel(identity, str(path), sha)
    if revision is not None:
        message = f"the model {path} is a folder, so revision {revision!r} means nothing: leave it out"
        raise ModelError(message)
    digest = folder_fingerprint(location, with_code=trust_remote_code)
    identity = ModelIdentity(name=name, revision=LOCAL, fingerprint=digest, dtype=dtype, engine=engine)
    return ResolvedModel(identity, str(location), None)


def _folder_name(folder: Path) -> str:
    # Every training leaves its model in a folder `model`; what tells them apart is whose.
    return f"{folder.parent.name}/{folder.name}" if folder.name == "model" and folder.parent.name else folder.name


def is_folder(path: str | Path) -> bool:
    """Whether `path` is written as a folder. A bare `org/name` is the Hub, even beside such a folder."""
    return isinstance(path, Path) or path in {".", ".."} or path.startswith(("./", "../", "/", "~"))


def folder_fingerprint(folder: Path, *, with_code: bool = False) -> str:
    """sha256 over names and contents of config, tokenizer and weights, in the order of their names.

    A file's own hash is remembered in the cache directory by path, size and modification time, so that a
    second start does not read the weights again.

    Raises:
        ModelError: not a folder, or config or weights are missing.
    """
    return digest_of(answer_files(folder, with_code=with_code))


def answer_files(folder: Path, *, with_code: bool = False) -> list[Path]:
    """Config, tokenizer and weights of a model folder, in the order of their names.

    Raises:
        ModelError: not a folder, or config or weights are missing.
    """
    if not folder.is_dir():
        message = f"model folder {folder} does not exist. Expected a folder with config.json and *.safetensors"
        raise ModelError(message)
    patterns = (*ANSWER_FILES, "*.py") if with_code else ANSWER_FILES
    files = sorted(
        (file for file in folder.iterdir() if file.is_file() and any(fnmatch.fnmatch(file.name, p) for p in patterns)),
        key=lambda file: file.name,
    )
    names = {file.name for file in files}
    if "config.json" not in names or not any(name.endswith(".safetensors") for name in names):
        found = ", ".join(sorted(file.name for file in folder.iterdir())[:12]) or "nothing"
        adapter = (
            f". It is a LoRA adapter: set policy.lora: {folder}, and policy.model to what it was trained on"
            if "adapter_config.json" in found
            else ""
        )
        message = (
            f"model folder {folder} holds {found}. Expected config.json and *.safetensors (pickled weights are "
            f"refused){adapter}"
        )
        raise ModelError(message)
    return files


def digest_of(files: Iterable[Path]) -> str:
    """sha256 over names and contents, in the order given."""
    files = list(files)
    total = hashlib.sha256()
    for file, digest in zip(files, remembered_hashes(files), strict=True):
        total.update(f"{file.name}\0{digest}\n".encode())
    return total.hexdigest()


def hub_commit(name: str, revision: str | None) -> str:
    """Commit sha of a hub model; asks the hub only where `revision` is not already a sha.

    Raises:
        ModelError: a name that is none, or a hub that cannot be asked or has no such model.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        message = f"no model {name!r}: expected {STARTER!r}, a hub id like org/name, or a folder like ./{name}"
        raise ModelError(message)
    if revision is not None and re.fullmatch(r"[0-9a-f]{40}", revision):
        return revision
    import httpx2
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    try:
        sha = HfApi().model_info(name, revision=revision).sha
    except (HfHubHTTPError, HFValidationError, OfflineModeIsEnabled, OSError, httpx2.HTTPError) as error:
        local = " A folder of that name exists here: write ./" + name if Path(name).is_dir() else ""
        message = (
            f"cannot resolve the model {name} at revision {revision or 'main'} on the Hub: {first_line(error)}.{local}"
        )
        raise ModelError(message) from error
    if sha is None:
        message = f"the Hub gave no commit for the model {name} at revision {revision or 'main'}"
        raise ModelError(message)
    return sha
