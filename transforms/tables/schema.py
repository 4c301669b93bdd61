"""The column contracts: what every table between two stages looks like.

`check` is called at each edge and names what is missing, extra or of another type, so that a wrong
table stops where it was made and not three stages later.
"""

from collections.abc import Container
from typing import Final, Literal

import pyarrow as pa

from transforms.errors import SchemaError

Side = Literal["chosen", "rejected"]
SIDES: Final[tuple[Side, Side]] = ("chosen", "rejected")

MESSAGE: Final = pa.struct([pa.field("role", pa.string()), pa.field("content", pa.string())])
TOKEN_IDS: Final = pa.list_(pa.int32())

# What of a conversation is not in role and content, as the JSON text of an object with any of the keys `tools`,
# `chat_template_kwargs`, `prompt` (turn number → further fields), `chosen` and `rejected` (further fields); null where
# there is nothing. Text, because no two rows have the same fields, and Arrow would fill in those of all the others.
# A table that is written has the column only if a row of it needs it (`written`).
STRUCTURE: Final = pa.field("structure", pa.string())

# One row a prompt that is to be answered, as the sources make it.
PROMPTS: Final = pa.schema(
    [
        pa.field("prompt_id", pa.string(), nullable=False),  # 16 hex digits, those that its pairs' ids begin with
        pa.field("source", pa.string(), nullable=False),
        pa.field("source_id", pa.string(), nullable=False),
        pa.field("prompt", pa.list_(MESSAGE), nullable=False),
        STRUCTURE,
    ]
)

# What policies answered: one row a response. Annotators' scores are further columns (`score_NAME`).
ANSWERS: Final = pa.schema(
    [
        pa.field("prompt_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("source_id", pa.string(), nullable=False),
        pa.field("prompt", pa.list_(MESSAGE), nullable=False),
        pa.field("response_index", pa.int32(), nullable=False),  # over all policies, within the prompt
        pa.field("policy", pa.string(), nullable=False),  # the recipe's name for it
        pa.field("sample_index", pa.int32(), nullable=False),  # within the policy
        pa.field("seed", pa.int64(), nullable=False),
        pa.field("prompt_ids", TOKEN_IDS, nullable=False),  # what it was sampled from, in the policy's own tokens
        pa.field("response_ids", TOKEN_IDS, nullable=False),  # as sampled; end in a stop token where finished
        pa.field("response", pa.string(), nullable=False),  # the text that they say, without reasoning
        pa.field("reasoning", pa.string()),
        pa.field("finished", pa.bool_(), nullable=False),  # False: it ran out of room, and has no end-of-turn
        pa.field("status", pa.string(), nullable=False),  # AnswerStatus
        pa.field("why", pa.string()),  # where it is not usable
        STRUCTURE,
    ]
)
# usable: can be scored and paired · empty: no text · no_answer: it ended within its reasoning · unusable: its text does
# not say its tokens, or the other way round · unscored: an annotator gave no score
AnswerStatus = Literal["usable", "empty", "no_answer", "unusable", "unscored"]

# Pairs of them, as `kind: generated` reads them.
PAIRED: Final = pa.schema(
    [
        pa.field("pair_id", pa.string(), nullable=False),
        pa.field("prompt_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("source_id", pa.string(), nullable=False),
        pa.field("prompt", pa.list_(MESSAGE), nullable=False),
        *[
            pa.field(f"{side}{name}", kind, nullable=nullable)
            for name, kind, nullable in (
                ("", pa.string(), False),
                ("_ids", TOKEN_IDS, True),  # as sampled; null where reasoning was cut out of the text
                ("_finished", pa.bool_(), False),
                ("_score", pa.float64(), False),  # the aggregate
                ("_policy", pa.string(), False),
                ("_index", pa.int32(), False),  # response_index
            )
            for side in SIDES
        ],
        pa.field("margin", pa.float64(), nullable=False),  # what the strategy chose by
        STRUCTURE,
    ]
)

PROMPT_DIGITS: Final = 16  # of a pair_id: its prompt's id

# One row a preference pair, as the sources make it. `pair_id` is content: 16 hex digits of the prompt's
# hash, then 16 of the whole pair's, so that sorting by it puts pairs of one prompt side by side.
PAIRS: Final = pa.schema(
    [
        pa.field("pair_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("source_id", pa.string(), nullable=False),
        pa.field("prompt", pa.list_(MESSAGE), nullable=False),
        pa.field("chosen", pa.string(), nullable=False),
        pa.field("rejected", pa.string(), nullable=False),
        # Whether the response ended by itself. False where a source knows that sampling ran out of room:
        # such a response has no end-of-turn, cut or not.
        pa.field("chosen_finished", pa.bool_(), nullable=False),
        pa.field("rejected_finished", pa.bool_(), nullable=False),
        pa.field("chosen_score", pa.float64()),
        pa.field("rejected_score", pa.float64()),
        # Why the pair will be dropped (tie, duplicate, ...). It still travels through the cheap stages, so
        # that dropped/ has the same columns as dataset/.
        pa.field("reason", pa.string()),
        STRUCTURE,
        # Token ids that the row brought along: taken as they are and checked against the text, never encoded again.
        pa.field("given_prompt_ids", TOKEN_IDS),
        pa.field("given_chosen_ids", TOKEN_IDS),
        pa.field("given_rejected_ids", TOKEN_IDS),
    ]
)

# Every response of a source that has N per prompt, beside the pairs (the public layout of on-policy sets).
RESPONSES: Final = pa.schema(
    [
        pa.field("prompt_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("source_id", pa.string(), nullable=False),
        pa.field("prompt", pa.list_(MESSAGE), nullable=False),
        pa.field("response_index", pa.int32(), nullable=False),
        pa.field("response", pa.string(), nullable=False),
        pa.field("finished", pa.bool_(), nullable=False),  # as in PAIRS
        pa.field("model", pa.string()),
        pa.field("score", pa.float64()),
        STRUCTURE,
    ]
)

# Columns of PAIRS that say what a row brought along; null in nearly all rows, and gone once the ids are made.
GIVEN: Final = ("given_prompt_ids", "given_chosen_ids", "given_rejected_ids")

# Token ids of the whole responses, end-of-turn included; keeps say how many of them are used.
TOKENIZED: Final = pa.unify_schemas(
    [
        pa.schema([field for field in PAIRS if field.name not in GIVEN]),
        pa.schema(
            [
                pa.field("prompt_ids", TOKEN_IDS, nullable=False),
                pa.field("chosen_ids", TOKEN_IDS, nullable=False),
                pa.field("rejected_ids", TOKEN_IDS, nullable=False),
            ]
        ),
    ]
)

TRUNCATED: Final = pa.unify_schemas(
    [
        TOKENIZED,
        pa.schema(
            [
                pa.field("chosen_keep", pa.int32(), nullable=False),
                pa.field("rejected_keep", pa.int32(), nullable=False),
                # Whether the kept tokens lack the end-of-turn.
                pa.field("chosen_cut", pa.bool_(), nullable=False),
                pa.field("rejected_cut", pa.bool_(), nullable=False),
                # Which rule bound: none, poet, ratio, tokens, eot or context.
                pa.field("chosen_cut_by", pa.string(), nullable=False),
                pa.field("rejected_cut_by", pa.string(), nullable=False),
                # Tokens of both sides that the template writes before the text: no truncation counts them.
                pa.field("lead_tokens", pa.int32(), nullable=False),
            ]
        ),
    ]
)

POSTERIOR_PARTS: Final = 20

# The sampling estimate of one pair. Columns are null where the recipe samples nothing.
JUDGED_FIELDS: Final = [
    pa.field("reward_chosen", pa.float64()),  # reward model, full responses
    pa.field("reward_rejected", pa.float64()),
    # Reward model, the kept prefix as it is; null where the side is whole, nobody asked, or it cannot be read.
    pa.field("value_chosen", pa.float64()),
    pa.field("value_rejected", pa.float64()),
    # Share of completions against the dataset's label, ties one half; null where the proxy decided unsampled.
    pa.field("consistency", pa.float64()),
    pa.field("consistency_low", pa.float64()),  # 95 % interval of the posterior
    pa.field("consistency_high", pa.float64()),
    pa.field("consistency_by_reward", pa.float64()),  # against the reward model's own order
    pa.field("n", pa.int32()),  # completions per cut side; 0 where nothing was sampled
    pa.field("p_keep", pa.float64()),  # P(consistency ≥ τ) when it was decided
    # P(consistency in each of POSTERIOR_PARTS equal parts of [0, 1]); null where nothing was cut
    pa.field("posterior", pa.list_(pa.float32())),
    pa.field("expected", pa.float64()),  # consistency that the reward margin foretold, held out; null without proxy
    pa.field("audit", pa.bool_(), nullable=False),  # sampled as part of the random audit
    pa.field("decided_by", pa.string()),  # uncut, proxy, sampling, n_max, stopped or undecided
    pa.field("verdict", pa.string(), nullable=False),  # keep or drop
    pa.field("reason", pa.string()),  # why it was dropped, null for kept pairs
]

# Columns that a dataset of an earlier release lacks.
LATER: Final = [field for field in JUDGED_FIELDS if field.name in {"posterior", "value_chosen", "value_rejected"}]

# What a trainer reads behind the kept tokens although the response did not say it: what it lacks of the template's end
# of a turn (`truncate.eot: always`), null where it lacks nothing. Beside the ids and not among them, so that ids,
# keeps, `_cut` and `_finished` go on saying what the response said. Written only by runs that append.
APPENDED: Final = tuple(pa.field(f"{side}_appended_ids", TOKEN_IDS) for side in SIDES)

# dataset/ and dropped/ as they lie on disk (datasets.load_from_disk).
CURATED: Final = pa.schema(
    [
        pa.field("pair_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("source_id", pa.string(), nullable=False),
        pa.field("prompt", pa.list_(MESSAGE), nullable=False),
        pa.field("chosen", pa.string(), nullable=False),  # the kept tokens as text
        pa.field("rejected", pa.string(), nullable=False),
        pa.field("chosen_full", pa.string(), nullable=False),  # the original
        pa.field("rejected_full", pa.string(), nullable=False),
        *[TRUNCATED.field(name) for name in TRUNCATED.names if name not in (*PAIRS.names, "lead_tokens")],
        *[PAIRS.field(name) for name in PAIRS.names if name.endswith(("_finished", "_score"))],
        *JUDGED_FIELDS,
        *APPENDED,
        STRUCTURE,
    ]
)

# What the ledger holds: one row a finished unit of work, keyed by content.
COMPLETIONS: Final = pa.schema(
    [
        pa.field("request_id", pa.string(), nullable=False),
        pa.field("completion_ids", TOKEN_IDS, nullable=False),
        pa.field("finish_reason", pa.string(), nullable=False),  # stop: ends in EOT · length: out of room
        pa.field("seed", pa.int64(), nullable=False),
        pa.field("sample_index", pa.int32(), nullable=False),
        pa.field("max_tokens", pa.int32(), nullable=False),
        pa.field("cached_tokens", pa.int32()),
    ]
)

SCORES: Final = pa.schema(
    [
        pa.field("request_id", pa.string(), nullable=False),
        pa.field("reward", pa.float64(), nullable=False),
        pa.field("tokens", pa.int32(), nullable=False),
        # Of a reward model that has several, in the order of its names; null of others, and in parts from before.
        pa.field("objectives", pa.list_(pa.float64())),
    ]
)

# What a pair ranker, an LLM judge or a rule said: one row a question.
JUDGEMENTS: Final = pa.schema(
    [
        pa.field("request_id", pa.string(), nullable=False),
        pa.field("value", pa.float64()),  # a margin of the first response over the second, or a score; null: no answer
        pa.field("values", pa.list_(pa.float64())),  # by aspect, where there are several
        pa.field("answer", pa.string()),  # of an LLM judge, as it was written
        pa.field("error", pa.string()),  # why the answer cannot be read
        pa.field("prompt_tokens", pa.int32(), nullable=False),
        pa.field("completion_tokens", pa.int32(), nullable=False),
    ]
)

# Log-probs of a response by a frozen policy, a token each: the sum of the first k is the log-prob of its first k
# tokens, because a causal model's token does not depend on later ones. So any truncation reads the same row.
LOG_PROBS: Final = pa.schema(
    [
        pa.field("request_id", pa.string(), nullable=False),
        pa.field("log_probs", pa.list_(pa.float32()), nullable=False),  # nats, ≤ 0
    ]
)

# Decoding rules (methods §7): a of mixing, t tokens of length control, b nats of the KL threshold.
RuleKind = Literal["mix", "length", "kl"]

# What `python -m flows.decode` sampled: one row a response.
DECODED: Final = pa.schema(
    [
        pa.field("rule", pa.string(), nullable=False),  # RuleKind
        pa.field("value", pa.float64(), nullable=False),
        pa.field(
            "pair_id", pa.string(), nullable=False
        ),  # the pair whose prompt it answers; of a source the prompt's id
        pa.field("sample", pa.int32(), nullable=False),
        pa.field("seed", pa.int64(), nullable=False),
        pa.field("token_ids", TOKEN_IDS, nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("finished", pa.bool_(), nullable=False),  # the last token is the end-of-turn
        pa.field("log_ratio", pa.float64(), nullable=False),  # Σ_t log(π/π_ref), nats
        pa.field("kl", pa.list_(pa.float32()), nullable=False),  # KL(π ‖ π_ref) at each token, nats
        pa.field("policy_kl", pa.list_(pa.float32()), nullable=False),  # KL(π_DPO ‖ π_ref) there
        pa.field("reward", pa.float64()),  # null: the reward model could not read it
        pa.field("source", pa.string()),  # label; null for a run's test split
        pa.field("source_id", pa.string()),  # the row there that the prompt is of
    ]
)


def written(schema: pa.Schema, *, structured: bool, appended: bool = False) -> pa.Schema:
    """CURATED or RESPONSES as a run writes it.

    Args:
        schema: with all columns that there can be.
        structured: whether a row of the run has any `structure`.
        appended: whether the run appends ends of turns; of CURATED alone.
    """
    left_out = {*([] if structured else [STRUCTURE.name]), *([] if appended else [field.name for field in APPENDED])}
    return pa.schema([field for field in schema if field.name not in left_out])


def written_like(schema: pa.Schema, names: Container[str]) -> pa.Schema:
    """CURATED or RESPONSES as a run wrote it whose table has columns of these names."""
    return written(schema, structured=STRUCTURE.name in names, appended=APPENDED[0].name in names)


def without_appended(table: pa.Table) -> pa.Table:
    """`table` without what a run appended to its responses: for whoever cuts or reads them in another way."""
    return table.drop_columns([field.name for field in APPENDED if field.name in table.column_names])


def with_later_columns(table: pa.Table) -> pa.Table:
    """A table of CURATED as an earlier release wrote it, with the columns that came later, null."""
    for field in LATER:
        if field.name not in table.column_names:
            table = table.append_column(field, pa.nulls(table.num_rows, field.type))
    return table


def check(table: pa.Table | pa.RecordBatch, schema: pa.Schema, *, where: str) -> None:
    """Raise SchemaError unless `table` has exactly the columns and types of `schema`, in any order.

    Args:
        table: what a stage made or was handed.
        schema: the contract.
        where: the stage edge, for the message.
    """
    found = {field.name: field.type for field in table.schema}
    expected = {field.name: field.type for field in schema}
    missing = [name for name in expected if name not in found]
    extra = [name for name in found if name not in expected]
    wrong = [
        f"{name} is {found[name]}, expected {kind}"
        for name, kind in expected.items()
        if name in found and found[name] != kind
    ]
    holed = [
        field.name
        for field in schema
        if not field.nullable and field.name in found and table.column(field.name).null_count
    ]
    problems = [
        *([f"missing columns: {', '.join(missing)}"] if missing else []),
        *([f"unexpected columns: {', '.join(extra)}"] if extra else []),
        *wrong,
        *([f"nulls in: {', '.join(holed)}"] if holed else []),
    ]
    if problems:
        message = f"{where}: {'; '.join(problems)}"
        raise SchemaError(message)
