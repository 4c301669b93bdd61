"""Prompts with the kept tokens of their responses: what policies are trained on.

A pair is an example with two responses, the chosen one first. A pointwise objective takes any number a prompt.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import pyarrow as pa

from trainers.reading.pair_tokens import Ids, PairTokens, check_columns, distinct, id_lists, response_ids, some
from transforms.errors import SchemaError


@dataclass(frozen=True, slots=True)
class Example:
    """One prompt and its responses.

    Attributes:
        name: `pair_id`, or that of the prompt's first pair; for messages.
        prompt: `prompt_ids`, at least one token.
        responses: `ids[:keep]` of each, at least one token, and what the run appended to it (`truncate.eot: always`);
            nothing is appended here.
        rewards: of the responses, None where none were asked for.
    """

    name: str
    prompt: Ids
    responses: tuple[Ids, ...]
    rewards: tuple[float, ...] | None = None

    @property
    def kept_tokens(self) -> int:
        """Response tokens that a loss reads."""
        return sum(map(len, self.responses))


def read_examples(table: pa.Table, *, where: str, rewards: tuple[str, str] | None = None) -> list[Example]:
    """The pairs of `table` in its order.

    Args:
        table: columns of CURATED, of which those that `read_pairs` requires are read; others are ignored.
        where: which table this is, for messages.
        rewards: columns with the rewards of the chosen and the rejected responses, such as `reward_chosen` and
            `reward_rejected`. Those are of the full responses; cut ones may deserve others.

    Raises:
        SchemaError: no rows, a column or a value is missing, a prompt is empty, a side keeps no token or more
            than it has, or a reward is missing or not finite.
    """
    names = [str(name) for name in table.column(check_columns(table, where)).to_pylist()]
    prompts = id_lists(table, "prompt_ids")
    _refuse([name for name, ids in zip(names, prompts, strict=True) if not len(ids)], "the prompt is empty", where)
    chosen, rejected = (response_ids(table, side, names, where) for side in ("chosen", "rejected"))
    found = [None] * len(names) if rewards is None else _rewards(table, rewards, names, where)
    return [Example(*row) for row in zip(names, prompts, zip(chosen, rejected, strict=True), found, strict=True)]


def pair_tokens(pairs: Sequence[Example], margins: Sequence[float] | None) -> PairTokens:
    """`pairs` as the distinct sequences that a reward head is fitted on.

    Args:
        pairs: of two responses each, the chosen one first.
        margins: of each pair, for its loss.
    """
    chosen, rejected = zip(*(pair.responses for pair in pairs), strict=True)
    names, prompts = [pair.name for pair in pairs], [pair.prompt for pair in pairs]
    return distinct(names, prompts, list(chosen), list(rejected), margins=margins)


def group_by_prompt(pairs: Sequence[Example]) -> list[Example]:
    """One example a prompt with all its distinct responses, in the order in which they appear.

    The same tokens with another reward are another response: two that differ only behind the cut were scored
    whole.
    """
    prompts: dict[bytes, Example] = {}
    responses: dict[bytes, dict[tuple[bytes, float | None], Ids]] = {}
    for pair in pairs:
        key = pair.prompt.tobytes()
        prompts.setdefault(key, pair)
        rewards = pair.rewards or (None,) * len(pair.responses)
        for ids, reward in zip(pair.responses, rewards, strict=True):
            responses.setdefault(key, {}).setdefault((ids.tobytes(), reward), ids)
    return [
        Example(
            first.name,
            first.prompt,
            tuple(responses[key].values()),
            None if first.rewards is None else tuple(reward for _, reward in responses[key] if reward is not None),
        )
        for key, first in prompts.items()
    ]


def examples_sha256(examples: Sequence[Example]) -> str:
    """Hash of all tokens and rewards in their order, which decides the steps."""
    digest = sha256()
    for example in examples:
        for ids in (example.prompt, *example.responses):
            digest.update(len(ids).to_bytes(8, "little") + ids.tobytes())
        digest.update(f"{len(example.responses)} {example.rewards!r}".encode())
    return digest.hexdigest()


def check_first_token(examples: Sequence[Example], *, where: str) -> int:
    """The token that all prompts begin with; RAO's log Z_0 belongs to it.

    Raises:
        SchemaError: they begin with different ones; names some.
    """
    tokens = np.array([example.prompt[0] for example in examples])
    common = int(np.bincount(tokens).argmax())
    others = [example.name for example, token in zip(examples, tokens, strict=True) if token != common]
    if others:
        message = (
            f"{where}: objective rao needs prompts that all begin with one token, but {len(others)} of "
            f"{len(tokens)} do not begin with {common}: {some(others)}. Leave them out, or choose another objective"
        )
        raise SchemaError(message)
    return common


def check_readable(examples: Sequence[Example], *, vocabulary: int, context: int, where: str) -> None:
    """Raise SchemaError where an example has an id the model does not know, or more than its context."""
    unknown = [
        example.name
        for example in examples
        if any(((ids < 0) | (ids >= vocabulary)).any() for ids in (example.prompt, *example.responses))
    ]
    _refuse(unknown, f"token ids outside 0…{vocabulary - 1}: tokenise with the tokenizer of that model", where)
    too_long = [
        example.name for example in examples if len(example.prompt) + max(map(len, example.responses)) > context
    ]
    _refuse(too_long, f"more than the {context} tokens the model can read: truncate to its context first", where)


def _rewards(table: pa.Table, columns: tuple[str, str], names: list[str], where: str) -> list[tuple[float, ...]]:
    missing = [column for column in columns if column not in table.column_names]
    if missing:
        message = f"{where}: no column {', '.join(missing)}; found {', '.join(table.column_names)}"
        raise SchemaError(message)
    sides = [[np.nan if value is None else value for value in table.column(column).to_pylist()] for column in columns]
    values = np.array(sides, dtype=np.float64).T
    bad = [name for name, row in zip(names, values, strict=True) if not np.isfinite(row).all()]
    _refuse(bad, f"{' or '.join(columns)} is null or not finite", where)
    return [tuple(row) for row in values.tolist()]


def _refuse(names: Sequence[str], problem: str, where: str) -> None:
    if names:
        message = f"{where}: {problem}; {len(names)} rows: {some(names)}"
        raise SchemaError(message)
