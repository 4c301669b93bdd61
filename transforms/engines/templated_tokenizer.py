"""A copy of a tokenizer with another chat template, for programs that take a tokenizer's folder and no template."""

import json
import shutil
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

from transforms.engines.tokenizer import tokenizer_location
from transforms.errors import ModelError, first_line

TEMPLATE: Final = "chat_template.jinja"  # read before any other place by transformers
_OTHER_TEMPLATES: Final = "chat_template.json"
# Large, and read by no tokenizer; what lies in folders (checkpoints, Meta's original) is none of it either.
_LEFT: Final = (
    "*.safetensors", "*.bin", "*.index.json", "*.pt", "*.pth", "*.ckpt", "*.gguf", "*.h5", "*.msgpack", "*.onnx",
    "*.npz", "*.md", "*.png", "*.jpg", "*.parquet", "*.arrow", "*.jsonl", "*/*", ".*",
)  # fmt: skip


def write_templated_tokenizer(folder_or_id: str, revision: str | None, template: str, folder: Path) -> None:
    """Copy the files that a tokenizer is made of, byte for byte, and put `template` in place of its own.

    Loading it here and saving it would write the class names of this environment's transformers, which another release
    need not know.

    Args:
        folder_or_id: `smollm2`, a folder or a Hub id.
        revision: commit of a Hub id.
        template: text of the chat template.
        folder: empty, or not there yet.

    Raises:
        ModelError: the files cannot be fetched.
    """
    location = tokenizer_location(folder_or_id)
    source = Path(location) if Path(location).is_dir() else _fetched(location, revision)
    folder.mkdir(parents=True, exist_ok=True)
    for file in source.iterdir():
        if file.is_file() and not any(fnmatch(file.name, left) for left in (*_LEFT, _OTHER_TEMPLATES)):
            shutil.copyfile(file, folder / file.name)
    (folder / TEMPLATE).write_text(template, encoding="utf-8")
    config = folder / "tokenizer_config.json"
    if config.is_file():
        content = json.loads(config.read_text(encoding="utf-8"))
        if content.pop("chat_template", None) is not None:
            config.write_text(json.dumps(content, ensure_ascii=False, indent=2), encoding="utf-8")


def _fetched(name: str, revision: str | None) -> Path:
    import httpx2
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, revision=revision, ignore_patterns=list(_LEFT)))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, httpx2.HTTPError) as error:
        message = f"the tokenizer of {name} at {revision or 'main'} cannot be fetched: {first_line(error)}"
        raise ModelError(message) from error
