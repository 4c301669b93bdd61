"""A reward model on disk: what transformers' AutoModelForSequenceClassification loads without a warning.

Two traps of scoring with such a folder are closed when it is written. transformers pools at the last token
that is not padding, so a padding token that also ends a turn would move the score to another token; and
chat templates decorate a finished turn (SmolLM2: a newline), so the last token would be one that the head
never saw. The folder therefore has its own padding token, and a template that ends at the end-of-turn.
"""

import hashlib
import json
import logging
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from safetensors import SafetensorError
from torch import nn

from transforms.chat.tokens import ChatTokens
from transforms.errors import ModelError, OutputError
from transforms.precision import Dtype

log = logging.getLogger(__name__)

RECORD = "training.json"  # what the trainer says about the folder


class PolicyCheckpoint(NamedTuple):
    """A policy opened as a sequence classifier with one label, whose `score` is yet to be set."""

    model: Any  # a transformers PreTrainedModel
    tokenizer: Any  # a transformers fast tokenizer
    template: str  # its chat template
    eot: str  # the token that ends a finished turn
    eot_id: int

    @property
    def backbone(self) -> nn.Module:
        """Everything below the head, the final norm included."""
        return cast(nn.Module, self.model.base_model)

    @property
    def vocabulary(self) -> int:
        """Ids the model has an embedding for."""
        return int(self.model.config.vocab_size)

    @property
    def context(self) -> int:
        """Tokens the model can read at once."""
        return int(self.model.config.max_position_embeddings)


def open_policy(
    location: str | Path,
    revision: str | None = None,
    *,
    dtype: torch.dtype,
    device: torch.device,
    template: str | None = None,
) -> PolicyCheckpoint:
    """A policy, ready to give features.

    Args:
        location: of its folder, or a Hub id.
        revision: commit of a Hub id; None for a folder.
        dtype: of its weights when loaded.
        device: where it is loaded.
        template: the text of a chat template to use in place of its own.

    Raises:
        ModelError: not a model folder; weights missing; no class with a bias-free `score` head for this
            architecture; no chat template, or one that ends a turn with no special token.
    """
    from transformers import AutoModelForSequenceClassification

    local = revision is None
    if local and not (Path(location) / "config.json").is_file():
        message = f"{location} holds no config.json; expected the folder of a transformers model"
        raise ModelError(message)
    # Every policy lacks the head, and transformers warns about it; what else is missing is checked below.
    loading = logging.getLogger("transformers")
    level = loading.level
    loading.setLevel(logging.ERROR)
    try:
        model, info = AutoModelForSequenceClassification.from_pretrained(
            location,
            revision=revision,
            num_labels=1,
            dtype=dtype,
            output_loading_info=True,
            local_files_only=local,
            use_safetensors=True,
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        message = f"{location} cannot be opened as a sequence classifier: {error}"
        raise ModelError(message) from error
    finally:
        loading.setLevel(level)
    missing = sorted(set(info["missing_keys"]) - {"score.weight"})
    if missing or info["mismatched_keys"]:
        mismatched = sorted(info["mismatched_keys"])
        message = f"{location}: weights are missing {missing} or of another shape {mismatched}"
        raise ModelError(message)
    score = getattr(model, "score", None)
    if not isinstance(score, nn.Linear) or score.bias is not None or score.out_features != 1:
        message = f"{type(model).__name__} has no bias-free linear `score` with one output; use another policy"
        raise ModelError(message)
    model.to(device).eval()
    return PolicyCheckpoint(model, *_turns(location, revision, template))


def new_head(model: Any, *, seed: int) -> None:
    """Give a classifier a random `score` in fp32, so that its rewards begin with a standard deviation of about one.

    N(0, 1/(hidden + 1)): Stiennon et al. (arXiv 2009.01325, appendix B.1). A head of zeros would give the layers
    below it no gradient.
    """
    score = model.score
    head = nn.Linear(score.in_features, 1, bias=False, dtype=torch.promote_types(score.weight.dtype, torch.float32))
    spread = (score.in_features + 1) ** -0.5
    nn.init.normal_(head.weight, std=spread, generator=torch.Generator().manual_seed(seed))
    model.score = head.to(score.weight.device)


def save_trained(
    trained: Any,
    location: str | Path,
    revision: str | None = None,
    *,
    dtype: Dtype,
    last_ids: Iterable[int],
    record: dict[str, Any],
    out: Path,
    template: str | None = None,
) -> None:
    """Write a reward model whose weights were trained to `out`, an adapter merged into them.

    Args:
        trained: what `open_policy` opened, trained, or a peft model around it.
        location: of the policy that it was; tokenizer and template are taken from there.
        revision: commit of a Hub id; None for a folder.
        dtype: of the weights on disk, but for the head's.
        last_ids: of the training sequences; none of them may be padding.
        record: training.json.
        out: must not exist; appears complete or not at all.
        template: the text of a chat template to use in place of the policy's.
    """
    if hasattr(trained, "merge_and_unload"):
        trained = trained.merge_and_unload()
    head = trained.score.weight.detach()[0].float().cpu()
    trained.to(getattr(torch, dtype))
    checkpoint = PolicyCheckpoint(trained, *_turns(location, revision, template))
    save_checkpoint(checkpoint, head, padding=padding_token(checkpoint, last_ids), record=record, out=out)


def ends_at_end_of_turn(template: str, eot: str) -> str:
    """`template`, but a conversation that ends in a finished turn ends at its end-of-turn token.

    With `add_generation_prompt` it renders what it rendered before.
    """
    literal = json.dumps(eot, ensure_ascii=False)
    # transformers compiles templates with trim_blocks and lstrip_blocks: the newline behind the first tag
    # vanishes and leaves the template at the start of a line, the empty expression keeps what stands before
    # the last tag, and jinja itself would have dropped one closing newline.
    return (
        "{% set conversation %}\n"
        + template.removesuffix("\n")
        + "{{ '' }}{% endset %}"
        + "{% if add_generation_prompt or "
        + f"{literal} not in conversation"
        + " %}{{ conversation }}{% else %}{{ conversation.rsplit("
        + f"{literal}, 1)[0] + {literal}"
        + " }}{% endif %}"
    )


def padding_token(checkpoint: PolicyCheckpoint, last_ids: Iterable[int]) -> int:
    """A special token that neither ends a turn nor any of the sequences that end in `last_ids`.

    Raises:
        ModelError: the tokenizer has no such token.
    """
    tokenizer = checkpoint.tokenizer
    taken = {checkpoint.eot_id, *last_ids}
    candidates = [tokenizer.pad_token_id, tokenizer.unk_token_id, *sorted(tokenizer.all_special_ids)]
    for candidate in candidates:
        if candidate is not None and candidate not in taken:
            return int(candidate)
    found = ", ".join(sorted(tokenizer.all_special_tokens))
    message = (
        f"each special token ({found}) ends some sequence, so none can "
        "be padding: transformers would not score the last token. Add a padding token to the policy"
    )
    raise ModelError(message)


def save_checkpoint(
    checkpoint: PolicyCheckpoint, head: torch.Tensor, *, padding: int, record: dict[str, Any], out: Path
) -> None:
    """Write the reward model to `out`, which appears complete or not at all.

    The backbone keeps its dtype and the head is stored in fp32: a reader that loads everything in bf16
    rounds it, one that keeps the head's dtype (vLLM does) does not have to.

    Raises:
        OutputError: `out` exists, or the disk refuses.
    """
    model, tokenizer = checkpoint.model, checkpoint.tokenizer
    dtype = model.dtype
    model.score = nn.Linear(len(head), 1, bias=False, dtype=torch.float32)
    with torch.no_grad():
        model.score.weight.copy_(head[None])
    model.config.pad_token_id = padding
    model.config.problem_type = "regression"
    model.config.dtype = dtype
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(padding)
    tokenizer.chat_template = ends_at_end_of_turn(checkpoint.template, checkpoint.eot)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
        try:
            model.save_pretrained(partial)
            tokenizer.save_pretrained(partial)
            text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
            (partial / RECORD).write_text(text, encoding="utf-8")
            partial.rename(out)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except (OSError, SafetensorError) as error:
        message = f"cannot write the reward model to {out}: {error}. Choose another folder, or make room"
        raise OutputError(message) from error


def weights_sha256(folder: Path) -> str:
    """Hash of all safetensors files in `folder`."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _turns(location: str | Path, revision: str | None, template: str | None) -> tuple[Any, str, str, int]:
    """Tokenizer, chat template, and the token (with its id) that it puts behind a finished assistant turn."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(location, revision=revision, local_files_only=revision is None)
    except (OSError, ValueError) as error:
        message = f"no tokenizer can be loaded from {location}: {error}"
        raise ModelError(message) from error
    template = template or tokenizer.chat_template
    if not isinstance(template, str):
        message = f"{location}: the tokenizer has no chat template (or several); expected exactly one"
        raise ModelError(message)
    chat = ChatTokens(tokenizer, template=template)
    return tokenizer, template, chat.eot, chat.eot_id
