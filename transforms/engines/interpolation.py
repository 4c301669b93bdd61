"""Policies on the line through two models: w·a + (1 − w)·b over equal parameters, as a model folder of its own.

Outside of [0, 1] it extrapolates: 1.1 goes on from b past a. Weights are taken as they are, never normalised and never
clamped. Tensors are read, computed and written in parts of some hundred megabytes, whatever the models weigh.

Refused is all that a sum of parameters means nothing for: other names, shapes, tokens or computation on the two sides.
"""

import json
import logging
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from transforms.engines.made_folders import make_folder
from transforms.engines.models import ANSWER_FILES, ResolvedModel, answer_files
from transforms.engines.tokenizer import load_tokenizer
from transforms.errors import ModelError, OutputError, first_line
from transforms.paths import cache_dir

if TYPE_CHECKING:
    import torch

RECORD: Final = "interpolation.json"
# Of the arithmetic and of what is written below: part of the folder's name, so a change makes new folders.
_VERSION: Final = "1"
_ADAPTER: Final = "adapter_config.json"
_QUANTIZED: Final = ("quantization_config", "compression_config")
_QUANTIZED_FILES: Final = ("hf_quant_config.json", "quantize_config.json", "quant_config.json")
_HEAD: Final = "lm_head.weight"
_EMBEDDINGS: Final = ("embed_tokens.weight", "wte.weight", "embed_in.weight")
# Old checkpoints carry what follows from the config; transformers leaves it out of new ones and reads it in none.
_FROM_CONFIG: Final = (".inv_freq", ".cos_cached", ".sin_cached")
_FLOATS: Final = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}
# What counts or marks and is no parameter. Other types (F8_E4M3, F64 …) are of quantized or of odd checkpoints.
_WHOLE: Final = {"I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
_PART: Final = 1 << 25  # elements: 128 MB in float32
_PROGRESS_SECONDS: Final = 30

# Keys of a config that change no logit: names, versions, what training or sampling reads, ids that a template ends
# turns with. All others must be equal, those that are not known here too.
_SAYS_NOTHING: Final = (
    "name_or_path", "transformers_version", "transformers.js_config", "unsloth_version", "unsloth_fixed", "auto_map",
    "dtype", "torch_dtype", "use_cache", "return_dict", "output_attentions", "output_hidden_states",
    "output_router_logits", "problem_type", "task_specific_params", "finetuning_task", "id2label", "label2id",
    "initializer_range", "pretraining_tp", "router_aux_loss_coef", "router_jitter_noise", "chunk_size_feed_forward",
    "bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id", "decoder_start_token_id",
)  # fmt: skip
_SAYS_NOTHING_ENDS: Final = ("dropout", "_pdrop")
_CONTEXT: Final = "max_position_embeddings"
# Rotations that do not ask how long the context may be.
_ANY_CONTEXT: Final = frozenset({"default", "linear", "llama3"})

logger = logging.getLogger(__name__)


class Interpolated(NamedTuple):
    """A model that was made of two.

    Attributes:
        folder: loads like any other; its `interpolation.json` says what it is made of.
        name: what it is for a reader, without a path.
    """

    folder: Path
    name: str


class _Tensor(NamedTuple):
    name: str
    file: Path
    dtype: str  # as safetensors has it
    shape: tuple[int, ...]


class _Side(NamedTuple):
    """One of the two models, read but for its weights."""

    letter: Literal["a", "b"]
    name: str
    folder: Path
    config: dict[str, Any]  # config.json as it stands
    filled: dict[str, Any]  # with transformers' defaults, dotted keys
    tensors: dict[str, _Tensor]
    tokenizer: Any

    def __str__(self) -> str:
        return f"{self.letter} ({self.name})"


class _Job(NamedTuple):
    """A tensor to be written."""

    name: str
    a: _Tensor
    b: _Tensor
    dtype: str
    constant: bool  # no parameter: equal on both sides, and so in the result

    @property
    def size(self) -> int:
        return _item_size(self.dtype) * math.prod(self.a.shape)


def interpolated_model(
    a: ResolvedModel, b: ResolvedModel, weight: float, *, trust_remote_code: bool = False
) -> Interpolated:
    """`weight`·a + (1 − `weight`)·b, made on the first call.

    1 − `weight` is taken in double precision and rounded to float32 like `weight`. Each product and the sum are rounded
    to float32, then to the type that the two tensors are stored in; to float32 where they are stored in two. Weights 1
    and 0 are a's and b's tensors as they stand.

    Tokenizer, chat template, generation_config and config are a's, or b's if only b has a chat template.

    Args:
        a: as `resolve_model` found it.
        b: likewise.
        weight: of a; any finite number.
        trust_remote_code: Python code that comes with the models has to be equal and is copied.

    Raises:
        ModelError: the two cannot be interpolated, or the result has a value that is not finite.
        OutputError: the cache directory cannot be written, or has not the space.
    """
    weight = float(weight) + 0.0  # -0.0 is 0.0
    if not math.isfinite(weight):
        message = f"the weight of an interpolation is {weight}, expected a finite number such as 0.9 or 1.1"
        raise ModelError(message)
    if a.identity.fingerprint == b.identity.fingerprint:
        message = f"{a.identity.name} and {b.identity.name} are the same model: nothing lies between them. Name two"
        raise ModelError(message)
    for model in (a, b):
        if model.adapter is not None:
            _refuse_adapter(model.identity.name)
    name = _readable(f"interpolation of {a.identity.name} and {b.identity.name} at {weight!r}")
    key = [_VERSION, a.identity.fingerprint, b.identity.fingerprint, weight, trust_remote_code]
    digest = sha256(json.dumps(key).encode()).hexdigest()
    folder = cache_dir() / "models" / f"interpolation-{digest[:16]}"
    if folder.is_dir():
        return Interpolated(folder, name)
    sides = _read("a", a, trust_remote_code), _read("b", b, trust_remote_code)
    if trust_remote_code:
        _check_code(*sides)
    config, lender = _common_config(*sides)
    jobs = _jobs(*sides)
    config["dtype"] = _main_dtype(jobs)
    record = _record(a, b, weight, name, jobs, lender)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _check_space(folder, jobs)
        logger.info("making %s: %d tensors, %s, in %s (once)", name, len(jobs), _gigabytes(_total(jobs)), folder)
        started = time.monotonic()

        def fill(partial: Path) -> None:
            for file in _lent_files(lender, trust_remote_code):
                shutil.copyfile(file, partial / file.name)
            _write_json(partial / "config.json", config)
            _write_weights(partial / "model.safetensors", jobs, weight, sides)
            _write_json(partial / RECORD, record)

        make_folder(folder, fill)
    except OSError as error:
        message = f"cannot write {name} to {folder}: {error}. Free the space or set PREFERENCE_CURATION_CACHE"
        raise OutputError(message) from error
    logger.info("made %s in %.1f s", name, time.monotonic() - started)
    return Interpolated(folder, name)


def interpolate(a: "torch.Tensor", b: "torch.Tensor", weight: float) -> "torch.Tensor":
    """`weight`·a + (1 − `weight`)·b in float32.

    Args:
        a: of any shape and floating type.
        b: of the same shape.
        weight: of a; at 1 and 0 the result is a and b, signs of zeros too.
    """
    if weight == 1:
        return a.float()
    if weight == 0:
        return b.float()
    return (a.float() * weight).add_(b.float() * (1 - weight))


def refuse_adapter_folder(folder: Path) -> None:
    """Raise ModelError for a folder with an adapter in it, which has no weights of its own to interpolate."""
    if (folder / _ADAPTER).is_file():
        _refuse_adapter(folder.name)


def _refuse_adapter(name: str) -> None:
    message = (
        f"{name} is a LoRA adapter, or a model with one, and only whole weights can be interpolated. Merge it into "
        "its base first (lora.merge: true of flows.train, peft's merge_and_unload) and name that model"
    )
    raise ModelError(message)


def _readable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)


# Reading the two sides.


def _read(letter: Literal["a", "b"], model: ResolvedModel, trust_remote_code: bool) -> _Side:
    from transformers import AutoConfig

    name = model.identity.name
    folder = Path(model.location) if model.revision is None else _download(model, trust_remote_code)
    refuse_adapter_folder(folder)
    answer_files(folder)
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        filled = AutoConfig.from_pretrained(folder, trust_remote_code=trust_remote_code).to_dict()
    except (OSError, ValueError, KeyError, ImportError) as error:
        message = f"the config of {letter} ({name}) cannot be read: {first_line(error)}"
        raise ModelError(message) from error
    quantized = [key for key in _QUANTIZED if config.get(key)]
    quantized += [file for file in _QUANTIZED_FILES if (folder / file).is_file()]
    if quantized:
        message = (
            f"{letter} ({name}) is quantized ({quantized[0]}), and sums of quantized weights mean nothing: name the "
            "checkpoint that it was made of (bfloat16, float16 or float32)"
        )
        raise ModelError(message)
    return _Side(
        letter,
        name,
        folder,
        config,
        dict(_flat(filled)),
        _tensors(folder),
        load_tokenizer(folder, needs_template=False, trust_remote_code=trust_remote_code),
    )


def _download(model: ResolvedModel, trust_remote_code: bool) -> Path:
    import httpx2
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    wanted = [*ANSWER_FILES, _ADAPTER, *_QUANTIZED_FILES, *(["*.py"] if trust_remote_code else [])]
    try:
        found = snapshot_download(
            model.location,
            revision=model.revision,
            allow_patterns=wanted,
            # The same weights once more, in other forms: Mistral's own, Meta's, ONNX.
            ignore_patterns=["consolidated*", "*/*"],
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, httpx2.HTTPError) as error:
        message = f"{model.location} at {model.revision} cannot be had from the Hub: {first_line(error)}"
        raise ModelError(message) from error
    return Path(found)


def _flat(config: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if key in _SAYS_NOTHING or str(key).startswith("_") or str(key).endswith(_SAYS_NOTHING_ENDS):
            continue
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _tensors(folder: Path) -> dict[str, _Tensor]:
    """Where each tensor lies. Files are chosen as transformers does it: one whole file, else those of the index."""
    from safetensors import SafetensorError, safe_open

    whole, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    found: dict[str, _Tensor] = {}
    try:
        if whole.is_file():
            files, wanted = [whole], None
        else:
            wanted = dict(json.loads(index.read_text(encoding="utf-8"))["weight_map"])
            files = [folder / Path(name).name for name in sorted(set(wanted.values()))]
        for file in files:
            with safe_open(file, framework="numpy") as weights:
                for name in weights.keys():  # noqa: SIM118
                    if wanted is None or wanted.get(name) == file.name:
                        part = weights.get_slice(name)
                        found[name] = _Tensor(name, file, part.get_dtype(), tuple(part.get_shape()))
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        message = (
            f"the weights of {folder} cannot be read: {first_line(error)}. Expected model.safetensors, or "
            "model.safetensors.index.json with the files that it names"
        )
        raise ModelError(message) from error
    if wanted is not None and wanted.keys() != found.keys():
        missing = ", ".join(sorted(wanted.keys() - found.keys())[:5])
        message = f"{index} names tensors that are not in its files: {missing}. The checkpoint is not complete"
        raise ModelError(message)
    return found


# Whether a sum of the two means anything.


def _common_config(a: _Side, b: _Side) -> tuple[dict[str, Any], _Side]:
    """config.json of the result, and the side that lends tokenizer, template and the like."""
    left_out = _left_out(a, b)
    ours, theirs = ({k: v for k, v in side.filled.items() if k not in left_out} for side in (a, b))
    differ = sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))
    if "tie_word_embeddings" in differ:
        tied, untied = (a, b) if ours.get("tie_word_embeddings") else (b, a)
        message = (
            f"{tied} ties its embeddings and {untied} does not (tie_word_embeddings): the head of one is the other's "
            "embedding. Save both in one form"
        )
        raise ModelError(message)
    if differ:
        listed = "; ".join(f"{key} is {ours.get(key)!r} in a and {theirs.get(key)!r} in b" for key in differ[:8])
        padded = " (vocabularies that are padded differently?)" if "vocab_size" in differ else ""
        message = (
            f"{a} and {b} do not compute the same, so their parameters cannot be added: {listed}{padded}. Expected two "
            "trainings of one model"
        )
        raise ModelError(message)
    _check_tokenizers(a, b)
    lender = _lender(a, b)
    config = {key: value for key, value in lender.config.items() if key not in ("torch_dtype", "_name_or_path")}
    if _CONTEXT in left_out and _CONTEXT in config:
        config[_CONTEXT] = min(a.filled[_CONTEXT], b.filled[_CONTEXT])
    return config, lender


def _check_code(a: _Side, b: _Side) -> None:
    ours, theirs = ({path.name: path.read_bytes() for path in side.folder.glob("*.py")} for side in (a, b))
    differ = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
    if differ or a.config.get("auto_map") != b.config.get("auto_map"):
        message = (
            f"{a} and {b} come with other Python code ({', '.join(differ) or 'auto_map of config.json'}): what their "
            "parameters mean is not known to be the same. Copy the code of one to the other"
        )
        raise ModelError(message)


def _left_out(a: _Side, b: _Side) -> set[str]:
    """Keys that may differ between these two."""
    left_out = set()
    sides = (a.filled, b.filled)
    rotations = {value for config in sides for key, value in config.items() if key.rpartition(".")[2] == "rope_type"}
    if rotations and rotations <= _ANY_CONTEXT and all(isinstance(config.get(_CONTEXT), int) for config in sides):
        left_out.add(_CONTEXT)
    if all(config.get("use_sliding_window") is False for config in sides):
        left_out |= {"sliding_window", "max_window_layers"}
    return left_out


def _check_tokenizers(a: _Side, b: _Side) -> None:
    ours, theirs = a.tokenizer.get_vocab(), b.tokenizer.get_vocab()
    if ours != theirs:
        names_a, names_b = ({at: token for token, at in vocabulary.items()} for vocabulary in (ours, theirs))
        differ = sorted(at for at in names_a.keys() | names_b.keys() if names_a.get(at) != names_b.get(at))
        listed = "; ".join(
            f"id {at} is {_token(names_a.get(at))} in a and {_token(names_b.get(at))} in b" for at in differ[:5]
        )
        message = (
            f"the tokenizers of {a} and {b} differ in {len(differ):,} ids: {listed}. A row of the sum would be of two "
            "tokens. If they mean the same, save both models with one tokenizer"
        )
        raise ModelError(message)
    backends = [json.loads(side.tokenizer.backend_tokenizer.to_str()) for side in (a, b)]
    parts = {
        "merges": [backend["model"].get("merges") for backend in backends],
        "normalizer": [backend["normalizer"] for backend in backends],
        "pre_tokenizer": [backend["pre_tokenizer"] for backend in backends],
    }
    other = [name for name, (one, two) in parts.items() if one != two]
    if other:
        message = (
            f"the tokenizers of {a} and {b} have one vocabulary and differ in {', '.join(other)}: one text is "
            "other ids to each. Save both models with one tokenizer"
        )
        raise ModelError(message)


def _token(token: str | None) -> str:
    return "no token" if token is None else repr(token)


def _lender(a: _Side, b: _Side) -> _Side:
    ours, theirs = a.tokenizer.chat_template, b.tokenizer.chat_template
    lender = b if theirs and not ours else a
    if ours and theirs and ours != theirs:
        logger.warning(
            "%s and %s have two chat templates, and a's is taken: exchange them (weight 1 - w) to have the other's",
            a,
            b,
        )
    return lender


def _jobs(a: _Side, b: _Side) -> list[_Job]:
    """The tensors of the result, widest types first, so that each lies at a multiple of its size."""
    ours, theirs = (
        {
            name: tensor
            for name, tensor in _without_tied_head(side).items()
            if name in other.tensors or not name.endswith(_FROM_CONFIG)
        }
        for side, other in ((a, b), (b, a))
    )
    if ours.keys() != theirs.keys():
        only = [
            f"only in {side}: {', '.join(names[:5])}{' …' if len(names) > 5 else ''}"
            for side, names in ((a, sorted(ours.keys() - theirs.keys())), (b, sorted(theirs.keys() - ours.keys())))
            if names
        ]
        message = f"the two models have other tensors; {'; '.join(only)}. Expected two trainings of one model"
        raise ModelError(message)
    jobs = [_job(name, ours[name], theirs[name], a, b) for name in ours]
    return sorted(jobs, key=lambda job: (-_item_size(job.dtype), job.name))


def _without_tied_head(side: _Side) -> dict[str, _Tensor]:
    """The tensors, without a head that is the embedding once more: transformers writes it or not."""
    tensors = side.tensors
    embeddings = [name for name in tensors if name.endswith(_EMBEDDINGS)]
    if not side.filled.get("tie_word_embeddings") or _HEAD not in tensors or len(embeddings) != 1:
        return tensors
    embedding = embeddings[0]
    if not _all_equal(tensors[_HEAD], tensors[embedding]):
        message = (
            f"{side} ties its embeddings (tie_word_embeddings), but its {_HEAD} is not its {embedding}: which of them "
            "it answers with depends on who loads it. Save it untied or with one of them"
        )
        raise ModelError(message)
    return {name: tensor for name, tensor in tensors.items() if name != _HEAD}


def _job(name: str, one: _Tensor, two: _Tensor, a: _Side, b: _Side) -> _Job:
    if one.shape != two.shape:
        shapes = " and ".join(
            f"{' × '.join(map(str, tensor.shape)) or 'a number'} in {side}" for side, tensor in ((a, one), (b, two))
        )
        padded = " Vocabularies that are padded differently?" if name.endswith((*_EMBEDDINGS, _HEAD)) else ""
        message = f"{name} is {shapes}: they cannot be added.{padded} Expected two trainings of one model"
        raise ModelError(message)
    if one.dtype in _FLOATS and two.dtype in _FLOATS:
        dtype = one.dtype if one.dtype == two.dtype else "F32"
        job = _Job(name, one, two, dtype, name.endswith(_FROM_CONFIG))
    elif one.dtype == two.dtype and one.dtype in _WHOLE:
        job = _Job(name, one, two, one.dtype, constant=True)
    else:
        message = (
            f"{name} is {one.dtype} in {a} and {two.dtype} in {b}. Expected parameters of BF16, F16 or F32 (quantized "
            "checkpoints cannot be interpolated), or the same integers in both"
        )
        raise ModelError(message)
    if job.constant and not _all_equal(one, two):
        message = f"{name} is no parameter, and differs between {a} and {b}: such a tensor has to be the same in both"
        raise ModelError(message)
    return job


# Writing the result.


def _lent_files(lender: _Side, trust_remote_code: bool) -> list[Path]:
    return [
        file
        for file in answer_files(lender.folder, with_code=trust_remote_code)
        if file.name != "config.json" and not file.name.endswith((".safetensors", ".safetensors.index.json"))
    ]


def _record(
    a: ResolvedModel, b: ResolvedModel, weight: float, name: str, jobs: list[_Job], lender: _Side
) -> dict[str, Any]:
    made_of = {
        letter: {
            "name": model.identity.name,
            "revision": model.identity.revision,
            "fingerprint": model.identity.fingerprint,
        }
        for letter, model in (("a", a), ("b", b))
    }
    return {
        "name": name,
        "formula": "weight * a + (1 - weight) * b, in float32",
        "version": _VERSION,
        "weight": weight,
        **made_of,
        "config_tokenizer_and_template_of": lender.letter,
        "tensors": len(jobs),
        "parameters": sum(math.prod(job.a.shape) for job in jobs if not job.constant),
        "stored_as": _main_dtype(jobs),
        "bytes": _total(jobs),
    }


def _main_dtype(jobs: list[_Job]) -> str:
    """The type that most parameters are stored in."""
    counts = dict.fromkeys(_FLOATS, 0)
    for job in jobs:
        if job.dtype in counts:
            counts[job.dtype] += math.prod(job.a.shape)
    return _FLOATS[max(counts, key=counts.__getitem__)]


def _total(jobs: list[_Job]) -> int:
    return sum(job.size for job in jobs)


def _check_space(folder: Path, jobs: list[_Job]) -> None:
    free, needed = shutil.disk_usage(folder.parent).free, _total(jobs)
    if free < needed:
        message = (
            f"the interpolated model takes {_gigabytes(needed)}, and {folder.parent} has {_gigabytes(free)} free. Free "
            "the space or set PREFERENCE_CURATION_CACHE to a larger disk"
        )
        raise OutputError(message)


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_weights(path: Path, jobs: list[_Job], weight: float, sides: tuple[_Side, _Side]) -> None:
    """One safetensors file, part by part: the library's own writer wants all tensors in memory at once.

    The format: eight bytes with the header's length, the header as JSON, the tensors' bytes one after the other.
    """
    import torch

    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for job in jobs:
        header[job.name] = {"dtype": job.dtype, "shape": job.a.shape, "data_offsets": [end, end + job.size]}
        end += job.size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    told = time.monotonic()
    with path.open("wb") as file, ExitStack() as stack:
        opened = _opener(stack)
        file.write(len(text).to_bytes(8, "little") + text)
        begin = file.tell()
        for job in jobs:
            for one, two in zip(_parts(job.a, opened), _parts(job.b, opened), strict=True):
                if job.constant:
                    part = one if job.dtype in _WHOLE else one.to(getattr(torch, _FLOATS[job.dtype]))
                else:
                    part = interpolate(one, two, weight).to(getattr(torch, _FLOATS[job.dtype]))
                    _check_finite(job, part, one, two, weight, sides)
                file.write(part.contiguous().reshape(-1).view(torch.uint8).numpy())
                if time.monotonic() - told > _PROGRESS_SECONDS:
                    told = time.monotonic()
                    logger.info("%s of %s written", _gigabytes(file.tell() - begin), _gigabytes(end))


def _check_finite(
    job: _Job, part: "torch.Tensor", one: "torch.Tensor", two: "torch.Tensor", weight: float, sides: tuple[_Side, _Side]
) -> None:
    if part.isfinite().all():
        return
    for side, tensor in zip(sides, (one, two), strict=True):
        if not tensor.isfinite().all():
            message = f"{job.name} of {side} holds values that are not finite: the checkpoint is broken"
            raise ModelError(message)
    message = (
        f"{job.name} would hold values that are not finite in {_FLOATS[job.dtype]} at weight {weight!r}: its largest "
        f"are {one.abs().max().item():g} in a and {two.abs().max().item():g} in b. Take a weight nearer to [0, 1]"
    )
    raise ModelError(message)


def _opener(stack: ExitStack) -> Callable[[Path], Any]:
    from safetensors import safe_open

    files: dict[Path, Any] = {}

    def opened(path: Path) -> Any:
        if path not in files:
            files[path] = stack.enter_context(safe_open(path, framework="pt"))
        return files[path]

    return opened


def _parts(tensor: _Tensor, opened: Callable[[Path], Any]) -> Iterator["torch.Tensor"]:
    """A tensor in parts of its first dimension, of equal lengths for equal shapes."""
    weights = opened(tensor.file)
    if math.prod(tensor.shape) <= _PART:
        yield weights.get_tensor(tensor.name)
        return
    part, rows = weights.get_slice(tensor.name), max(1, _PART // math.prod(tensor.shape[1:]))
    for start in range(0, tensor.shape[0], rows):
        yield part[start : start + rows]


def _all_equal(one: _Tensor, two: _Tensor) -> bool:
    if one.shape != two.shape:
        return False
    with ExitStack() as stack:
        opened = _opener(stack)
        # As numbers: types may differ, and a NaN equals nothing.
        return all(bool((x == y).all()) for x, y in zip(_parts(one, opened), _parts(two, opened), strict=True))


def _item_size(dtype: str) -> int:
    return _WHOLE.get(dtype) or (4 if dtype == "F32" else 2)
