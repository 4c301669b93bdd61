"""A LoRA adapter on a base model: whether it is one that both engines load as it was trained, and what identifies it.

All of it is read from small files and the headers of weights, before anything is loaded or paid for. What is refused
can be merged into its base instead, which is then a model like any other.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from transforms.engines.models import Adapter, ResolvedModel, digest_of, hub_commit, is_folder
from transforms.engines.tokenizer import load_tokenizer
from transforms.errors import ModelError, first_line

CONFIG: Final = "adapter_config.json"
WEIGHTS: Final = "adapter_model.safetensors"
MAX_RANK: Final = 512  # of vLLM 0.32
_TENSOR: Final = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<which>[AB])\.weight")
# Variants of LoRA that vLLM or transformers would read as something else, or refuse in the middle of a run.
_VARIANTS: Final = (
    "alora_invocation_tokens", "layer_replication", "lora_bias", "target_parameters", "trainable_token_indices",
    "use_bdlora", "use_dora", "use_qalora",
)  # fmt: skip
# Initial values that change no weight of the base; others (PiSSA, OLoRA, LoftQ …) belong to a base that was changed.
_INITIAL: Final = ("gaussian", "eva", "orthogonal")
_MERGE: Final = "Merge it into its base (lora.merge: true of flows.train, peft's merge_and_unload) and name that model"


class _Layer(NamedTuple):
    rank: int
    inputs: int
    outputs: int


def with_adapter(
    base: ResolvedModel,
    path: str,
    revision: str | None = None,
    *,
    template_given: bool = False,
    trust_remote_code: bool = False,
) -> ResolvedModel:
    """`base` with the adapter on it, in its identity too.

    Args:
        base: what the adapter was trained on.
        path: the adapter's folder (`./x`, `/x`, `~/x`) or Hub id.
        revision: branch, tag or commit of a Hub id.
        template_given: whether the recipe names a chat template, so that the adapter's own need not be the base's.
        trust_remote_code: run Python code that comes with the base's tokenizer.

    Raises:
        ModelError: there is no adapter, it is none of plain LoRA, or it was trained on another base.
    """
    if is_folder(path):
        if revision is not None:
            message = f"the adapter {path} is a folder, so revision {revision!r} means nothing: leave it out"
            raise ModelError(message)
        folder, digest = Path(path).expanduser(), None
    else:
        digest = hub_commit(path, revision)
        folder = _download(path, digest)
    config = _config(folder)
    layers = _layers(folder)
    _check_kind(folder, config)
    rank = _check_rank(folder, config, layers)
    _check_base(folder, config, layers, base)
    _check_tokenizer(folder, base, template_given=template_given, trust_remote_code=trust_remote_code)
    digest = digest or digest_of([folder / CONFIG, folder / WEIGHTS])
    return base._replace(
        identity=replace(base.identity, adapter=digest), adapter=Adapter(folder=str(folder.resolve()), rank=rank)
    )


def tensor_names(folder: str) -> set[str]:
    """Names of an adapter's tensors, as peft saved them."""
    return set(_header(Path(folder) / WEIGHTS))


def _download(name: str, commit: str) -> Path:
    import httpx2
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    wanted = [CONFIG, WEIGHTS, "tokenizer*", "special_tokens_map.json", "chat_template*"]
    try:
        return Path(snapshot_download(name, revision=commit, allow_patterns=wanted))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, httpx2.HTTPError) as error:
        message = f"the adapter {name} at {commit} cannot be had from the Hub: {first_line(error)}"
        raise ModelError(message) from error


def _config(folder: Path) -> dict[str, Any]:
    names = sorted(file.name for file in folder.iterdir()) if folder.is_dir() else None
    if names is None or not {CONFIG, WEIGHTS} <= set(names):
        found = "does not exist" if names is None else f"holds {', '.join(names[:12]) or 'nothing'}"
        message = f"the adapter folder {folder} {found}. Expected {CONFIG} and {WEIGHTS}, as peft saves them"
        raise ModelError(message)
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except ValueError as error:
        message = f"{folder / CONFIG} is no JSON: {error}"
        raise ModelError(message) from error
    if not isinstance(config, dict):
        message = f"{folder / CONFIG} holds a {type(config).__name__}, expected an object"
        raise ModelError(message)
    return config


def _check_kind(folder: Path, config: Mapping[str, Any]) -> None:
    kind, task = config.get("peft_type"), config.get("task_type")
    if kind != "LORA":
        message = f"the adapter {folder} is of peft_type {kind!r}, expected 'LORA'. {_MERGE}"
        raise ModelError(message)
    if task not in (None, "CAUSAL_LM"):
        message = f"the adapter {folder} is of task_type {task!r}, expected 'CAUSAL_LM': it is no policy's"
        raise ModelError(message)
    variants = [name for name in _VARIANTS if config.get(name)]
    if config.get("bias", "none") != "none":
        variants.append("bias")
    start = config.get("init_lora_weights", True)
    if isinstance(start, str) and start.lower() not in _INITIAL:
        variants.append(f"init_lora_weights: {start}")
    if variants:
        message = f"the adapter {folder} has {', '.join(variants)}, expected plain LoRA. {_MERGE}"
        raise ModelError(message)
    whole = config.get("modules_to_save")
    if whole:
        message = f"the adapter {folder} has whole modules beside LoRA (modules_to_save: {', '.join(whole)}). {_MERGE}"
        raise ModelError(message)


def _layers(folder: Path) -> dict[str, _Layer]:
    """Shape of each adapted layer by the name of its module.

    Raises:
        ModelError: the file has other tensors than pairs of LoRA's matrices.
    """
    shapes: dict[str, dict[str, list[int]]] = {}
    for name, shape in _header(folder / WEIGHTS).items():
        match = _TENSOR.fullmatch(name)
        if match is None:
            message = f"{folder / WEIGHTS} has {name}, expected LoRA's matrices alone: new embeddings? {_MERGE}"
            raise ModelError(message)
        shapes.setdefault(match["module"], {})[match["which"]] = shape
    layers = {}
    for module, pair in shapes.items():
        if set(pair) != {"A", "B"} or len(pair["A"]) != 2 or len(pair["B"]) != 2 or pair["A"][0] != pair["B"][1]:
            message = f"{folder / WEIGHTS}: {module} has {pair}, expected lora_A (rank, in) and lora_B (out, rank)"
            raise ModelError(message)
        layers[module] = _Layer(rank=pair["A"][0], inputs=pair["A"][1], outputs=pair["B"][0])
    if not layers:
        message = f"{folder / WEIGHTS} holds no tensors, expected LoRA's matrices"
        raise ModelError(message)
    return layers


def _check_rank(folder: Path, config: Mapping[str, Any], layers: Mapping[str, _Layer]) -> int:
    largest = max(layer.rank for layer in layers.values())
    said = max([config.get("r") or 0, *(config.get("rank_pattern") or {}).values()])
    if largest > said:
        message = f"{folder / WEIGHTS} has matrices of rank {largest}, but {CONFIG} says {said}"
        raise ModelError(message)
    if said > MAX_RANK:
        message = f"the adapter {folder} has rank {said}, and vLLM takes up to {MAX_RANK}. {_MERGE}"
        raise ModelError(message)
    return int(said)


def _check_base(folder: Path, config: Mapping[str, Any], layers: Mapping[str, _Layer], base: ResolvedModel) -> None:
    named = config.get("base_model_name_or_path")
    if not named:
        message = f"{folder / CONFIG} names no base (base_model_name_or_path): write there what it was trained on"
        raise ModelError(message)
    here = base.identity.name
    if base.revision is not None:
        # A path says nothing: folders move. Two names on the Hub do.
        if not is_folder(str(named)) and str(named).lower() != here.lower():
            message = f"the adapter {folder} was trained on {named}, but policy.model is {here}: name its own base"
            raise ModelError(message)
        return
    shapes = _shapes(Path(base.location))
    known = {module.rpartition(".")[2] for module in shapes}
    other = f"the adapter {folder} was trained on {named}, which has other layers than {here}: "
    for module, layer in layers.items():
        shape = shapes.get(module)
        if shape is None and module.rpartition(".")[2] in known:
            message = f"{other}it adapts {module}, which is not there. Set policy.model to the adapter's base"
            raise ModelError(message)
        if shape is not None and shape != [layer.outputs, layer.inputs]:
            message = (
                f"{other}{module} is {layer.outputs} × {layer.inputs} in the adapter and {' × '.join(map(str, shape))} "
                "here. Set policy.model to the adapter's base"
            )
            raise ModelError(message)
    if not any(module in shapes for module in layers):
        message = f"{other}none of its modules is there, the first is {min(layers)}. Set policy.model to its base"
        raise ModelError(message)


def _check_tokenizer(folder: Path, base: ResolvedModel, *, template_given: bool, trust_remote_code: bool) -> None:
    if not (folder / "tokenizer.json").is_file():
        return
    own = load_tokenizer(folder, needs_template=False, trust_remote_code=trust_remote_code)
    theirs = load_tokenizer(base.location, base.revision, needs_template=False, trust_remote_code=trust_remote_code)
    ours, vocabulary = own.get_vocab(), theirs.get_vocab()
    if ours != vocabulary:
        new = sorted(token for token in ours if vocabulary.get(token) != ours[token])[:3]
        message = (
            f"the adapter {folder} has another vocabulary ({len(ours):,} tokens) than its base {base.identity.name} "
            f"({len(vocabulary):,}){', for one ' + ', '.join(map(repr, new)) if new else ''}: it needs embeddings that "
            f"are not in it. {_MERGE}"
        )
        raise ModelError(message)
    if own.chat_template and own.chat_template != theirs.chat_template and not template_given:
        message = (
            f"the adapter {folder} has another chat template than its base {base.identity.name}: set "
            "policy.chat_template to the file of the one that it was trained with"
        )
        raise ModelError(message)


def _shapes(folder: Path) -> dict[str, list[int]]:
    """Shapes of a model's weight matrices by module."""
    found: dict[str, list[int]] = {}
    for file in sorted(folder.glob("*.safetensors")):
        found |= {
            name.removesuffix(".weight"): shape
            for name, shape in _header(file).items()
            if name.endswith(".weight") and len(shape) == 2
        }
    return found


def _header(file: Path) -> dict[str, list[int]]:
    """Shapes of the tensors in a safetensors file; the tensors themselves are not read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as tensors:
            return {name: list(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        message = f"{file} cannot be read: {first_line(error)}"
        raise ModelError(message) from error
