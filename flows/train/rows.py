"""Rows of prompts and completions to train on: found, read, and in the tokens of the model that learns.

The other data of a training are runs of `flows.curate`, whose ids are there already (`pairs`).
"""

import re
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from flows.train.config import DatasetConfig, Split
from flows.train.responses import with_kept_responses
from trainers.reading.examples import Example
from transforms.chat.encoding import encode_prompts, encode_responses
from transforms.chat.probes import check
from transforms.chat.tokens import ChatTokens
from transforms.dataset.run_files import named_files
from transforms.dataset.shards import in_test_split
from transforms.engines.models import ResolvedModel
from transforms.engines.reward_inputs import template_file
from transforms.engines.stored_tokenizer import chat_tokenizer
from transforms.errors import ConfigError, RowError, SourceError
from transforms.sources.adapter import BadRow, Row, json_safe, row_hash
from transforms.sources.completions import Completion, left_out_of, looks_like_completions, read_completion
from transforms.sources.fields import row_id
from transforms.sources.files import ENDINGS, ending_of
from transforms.sources.load import PEEKED_ROWS, Quarantined
from transforms.sources.options import SourceOptions
from transforms.sources.read import fingerprint, is_hub_id, read_rows
from transforms.sources.rows import Fields

LABEL: Final = "rows"  # the source of what is quarantined
HELD_OUT: Final = "held_out"  # rows of a split that dataset.splits leaves out
AT_ONCE: Final = 4096  # rows that are tokenised together
_MANIFEST: Final = "manifest.json"
_SAVED: Final = ("dataset_dict.json", "state.json")  # what `save_to_disk` writes
_SPLITS: Final[tuple[Split, ...]] = ("train", "test")


class _Rows(SourceOptions):
    kind: Literal["completions"] = "completions"


class FoundRows(NamedTuple):
    """Rows that have been found and not yet read.

    Attributes:
        dataset: names them.
        files: of each split.
        template: text of a chat template in place of the model's own.
        sha256: of all files and of that text.
    """

    dataset: DatasetConfig
    files: dict[Split, list[SourceOptions]]
    template: str | None
    sha256: str

    @property
    def content(self) -> dict[str, Any]:
        """What decides the rows and their ids, beside the keys of `dataset` and the model's tokenizer."""
        return {"rows": self.sha256}

    @property
    def content_version(self) -> str:
        """16 hex digits of the content, as a run's version is."""
        return self.sha256[:16]

    @property
    def commit(self) -> None:
        """They lie here."""


class ReadRows(NamedTuple):
    """What became of all rows: rows = examples of all splits + left_out + quarantined.

    Attributes:
        by_split: examples with the kept tokens of their completions, of splits that have some.
        rows: that were read.
        left_out: good rows that are not learned from, by reason.
        quarantined: rows that cannot be used.
        cut_by_context: completions of `train` that only the context limit cut.
    """

    by_split: dict[str, list[Example]]
    rows: int
    left_out: Counter[str]
    quarantined: list[Quarantined]
    cut_by_context: int


def holds_rows(path: str) -> bool:
    """Whether `path` is a data file, or a folder of them that no run of this project wrote."""
    if is_hub_id(path) or "://" in path:
        return False
    place = Path(path).expanduser()
    if place.is_file():
        return bool(ending_of(path)[0])
    if not place.is_dir() or (place / ".work").is_dir() or _is_run(place):
        return False
    return any((place / name).is_file() for name in _SAVED) or bool(_data_files(place))


def find_rows(dataset: DatasetConfig) -> FoundRows:
    """The rows that `dataset` names; their files are hashed and not read.

    Raises:
        ConfigError: a key that only a run of `flows.curate` has a use for.
        SourceError: files that cannot be read or told apart.
        ModelError: there is no such chat template.
    """
    for key, value, why in (
        ("revision", dataset.revision is not None, "only a dataset on the Hub has any"),
        ("kept", dataset.kept == "poet", "it cuts the two responses of a pair, and a row has one"),
        ("pairs", dataset.pairs == "all", "no run dropped any"),
    ):
        if value:
            message = f"dataset.{key}: {getattr(dataset, key)} means nothing for the rows of {dataset.path}: {why}; "
            raise ConfigError(message + "leave it out")
    files = _by_split(Path(dataset.path).expanduser(), dataset.path)
    template = template_file(dataset.chat_template)
    digest = sha256()
    for split, sources in files.items():
        for source in sources:
            digest.update(f"{split} {fingerprint(source).fingerprint}\n".encode())
    digest.update((template or "").encode())
    return FoundRows(dataset, files, template, digest.hexdigest())


def chat_of_rows(model: ResolvedModel, found: FoundRows) -> ChatTokens:
    """The model's tokenizer with its chat template, or with the one that the recipe names.

    Raises:
        ModelError: no fast tokenizer, no usable chat template, or one that plain responses do not come through.
    """
    tokenizer = chat_tokenizer(model.location, model.revision, trust_remote_code=False, template=found.template)
    chat = ChatTokens(tokenizer, template=found.template)
    check(chat)
    return chat


def read_examples_of_rows(found: FoundRows, chat: ChatTokens, *, context: int) -> ReadRows:
    """Every row as an example, or counted with why it is none.

    A completion that is said to be unfinished has no end-of-turn. One that is too long for the context is cut there and
    has none either.

    Args:
        found: the rows.
        chat: tokenizer and template of the model that learns.
        context: tokens of prompt and completion together.

    Raises:
        SourceError: a file as a whole cannot be read, or holds no such rows.
    """
    reader = _Reader(found, chat, context)
    for split, sources in found.files.items():
        for source in sources:
            reader.read(split, source)
    return reader.result()


class _Reader:
    """Collects examples."""

    def __init__(self, found: FoundRows, chat: ChatTokens, context: int) -> None:
        self._dataset, self._chat, self._context = found.dataset, chat, context
        self._whole: dict[Split, list[Example]] = {split: [] for split in _SPLITS}
        self._left_out: Counter[str] = Counter()
        self._quarantined: list[Quarantined] = []
        self._rows = 0

    def read(self, split: Split, source: SourceOptions) -> None:
        rows = read_rows(source)
        head = list(islice(rows, PEEKED_ROWS))
        _check_columns(head, source.path)
        rows = chain(head, rows)
        while some := list(islice(rows, AT_ONCE)):
            self._rows += len(some)
            self._take(split, some)

    def result(self) -> ReadRows:
        kept = "full" if self._dataset.kept == "truncated" else self._dataset.kept
        by_split: dict[str, list[Example]] = {}
        cut = 0
        for split, whole in self._whole.items():
            if whole:
                found = with_kept_responses(
                    whole,
                    kept,
                    max_length=self._context,
                    where=f"{self._dataset.path}, {split}",
                    around=self._chat.turn_tokens,
                )
                by_split[split] = found.examples
                cut = found.cut_by_context if split == "train" else cut
        return ReadRows(by_split, self._rows, self._left_out, self._quarantined, cut)

    def _take(self, split: Split, rows: Sequence[Row | BadRow]) -> None:
        good: list[tuple[Fields, Completion]] = []
        for row in rows:
            if isinstance(row, BadRow):
                self._quarantined.append(Quarantined("load", LABEL, row.row_hash, row.error, json_safe(row.row)))
                continue
            fields = Fields(row)
            try:
                completion = read_completion(fields)
            except RowError as error:
                self._quarantine("load", fields, str(error))
                continue
            reason = left_out_of(fields) or (None if self._split(split, completion) else HELD_OUT)
            if reason is not None:
                self._left_out[reason] += 1
            else:
                good.append((fields, completion))
        if good:
            self._tokenise(split, good)

    def _split(self, split: Split, completion: Completion) -> Split | None:
        """Where a row belongs; None where that split is not read."""
        size = self._dataset.test_size
        if size is not None:
            split = "test" if in_test_split(completion.prompt_id, size) else "train"
        return split if split in self._dataset.splits else None

    def _tokenise(self, split: Split, rows: Sequence[tuple[Fields, Completion]]) -> None:
        completions = [completion for _, completion in rows]
        prompts = encode_prompts(self._chat, [one.asked for one in completions])
        finished = np.array([one.finished for one in completions], bool)
        answers = [one.answer for one in completions]
        whole = encode_responses(self._chat, prompts, answers, finished, "completion")
        lengths = prompts.ids.lengths
        for at, (fields, completion) in enumerate(rows):
            error = prompts.errors.get(at) or whole.errors.get(at)
            if error is None and lengths[at] >= self._context:
                error = (
                    f"the prompt has {lengths[at]} tokens and {self._context} may be read: no room for one token of "
                    "the completion; raise dataset.max_length or shorten the prompt"
                )
            if error is not None:
                self._quarantine("tokenise", fields, error)
                continue
            belongs = self._split(split, completion) or split
            self._whole[belongs].append(Example(_name(fields), prompts.ids.row(at), (whole.ids.row(at),)))

    def _quarantine(self, stage: str, row: Fields, error: str) -> None:
        self._quarantined.append(Quarantined(stage, LABEL, _name(row), error, json_safe(row.raw)))


def _name(row: Fields) -> str:
    return row_id(row, "id", "prompt_id", "pair_id") or row_hash(row.raw)


def _check_columns(head: Sequence[Row | BadRow], path: str) -> None:
    rows = [row for row in head if not isinstance(row, BadRow)]
    if not head or (rows and not looks_like_completions(rows)):
        columns = sorted({str(name) for row in rows for name in row})
        found = f"found the columns {', '.join(columns)}" if head else "it has no rows"
        pairs = {"chosen", "rejected"} <= set(columns)
        advice = "; these are pairs: curate them, and train on the run (python -m flows.curate)" if pairs else ""
        message = (
            f"{path} holds no prompts with completions: {found}; expected prompt and completion, or messages{advice}"
        )
        raise SourceError(message)


def _by_split(place: Path, shown: str) -> dict[Split, list[SourceOptions]]:
    """The files of each split: what `save_to_disk` says, else what their names say, else all of them are `train`."""
    where = str(place.resolve())
    if place.is_file():
        return {"train": [_Rows(path=where)]}
    if (place / _SAVED[0]).is_file():
        names = [split for split in _SPLITS if (place / split).is_dir()]
        if "train" not in names:
            message = (
                f"{shown} has no split train, and what is trained on lies there; found {', '.join(names) or 'none'}"
            )
            raise SourceError(message)
        return {split: [_Rows(path=where, split=split)] for split in names}
    if (place / _SAVED[1]).is_file():
        return {"train": [_Rows(path=where)]}
    files = _data_files(place)
    said = {path: _split_in(path.relative_to(place)) for path in files}
    if not any(said.values()):
        return {"train": [_Rows(path=str(path.resolve())) for path in files]}
    unsaid = [path.name for path, split in said.items() if split is None]
    if unsaid or "train" not in said.values():
        problem = f"{', '.join(unsaid[:5])} say neither" if unsaid else "none says train"
        message = (
            f"{shown}: some files say train or test in their names, and {problem}; name all of them so, or none of "
            "them and hold some prompts out with dataset.test_size"
        )
        raise SourceError(message)
    return {
        split: [_Rows(path=str(path.resolve())) for path in files if said[path] == split]
        for split in _SPLITS
        if split in said.values()
    }


def _data_files(place: Path) -> list[Path]:
    """Data files below a folder in the order of their names; a .json beside other formats describes them."""
    found = sorted(
        path
        for path in place.rglob("*")
        if path.is_file() and not any(part.startswith((".", "_")) for part in path.relative_to(place).parts)
    )
    data = [path for path in found if ending_of(path.name)[0] not in ("", ".json")]
    return data or [path for path in found if ending_of(path.name)[0] in ENDINGS]


def _split_in(path: Path) -> Split | None:
    """The split that a name says as a word of its own, as `datasets` reads names."""
    words = set(re.split(r"[^a-z]+", path.as_posix().lower()))
    found: list[Split] = [split for split in _SPLITS if split in words]
    return found[0] if len(found) == 1 else None


def _is_run(folder: Path) -> bool:
    """Whether a folder has the manifest of a run of this project, be it one that cannot be read."""
    path = folder / _MANIFEST
    try:
        return path.is_file() and named_files(path.read_bytes()) is not None
    except ValueError:
        return True
