r"""Chatbot Arena (LMSYS, LMArena): a person asks two unnamed models and votes.

Raw rows of the three layouts: 33K, 100K and 140K conversations; the Kaggle set of 55K, turns as JSON text of lists::

    {"question_id": "58210e39b3fd4441a2bd4a518bb44c2d", "model_a": "chatglm-6b", "model_b": "koala-13b",
     "winner": "model_b", "judge": "arena_user_973", "turn": 1, "anony": true, "language": "English",
     "tstamp": 1682351591.1,
     "conversation_a": [{"role": "user", "content": "Name three rivers."},
                        {"role": "assistant", "content": "Nile."}],
     "conversation_b": [{"role": "user", "content": "Name three rivers."},
                        {"role": "assistant", "content": "The Nile, the Rhine and the Po."}],
     "openai_moderation": {"flagged": false}, "toxic_chat_tag": {"t5-large": {"flagged": false, "score": -8.1}}}
    {"id": "30192", "model_a": "gpt-4-1106-preview", "model_b": "gpt-4-0613", "prompt": "[\"Name three rivers.\"]",
     "response_a": "[\"The Nile, the Rhine and the Po.\"]", "response_b": "[\"Nile.\"]",
     "winner_model_a": 1, "winner_model_b": 0, "winner_tie": 0}
    {"id": "2a5c1f", "model_a": "m-1", "model_b": "m-2", "winner": "model_a", "evaluation_order": 1, "language": "en",
     "conversation_a": [{"role": "user", "content": [{"type": "text", "text": "Name a river.", "image": null}]},
                        {"role": "assistant", "content": [{"type": "text", "text": "The Nile.", "image": null}]}],
     "conversation_b": [{"role": "user", "content": [{"type": "text", "text": "Name a river.", "image": null}]},
                        {"role": "assistant", "content": [{"type": "text", "text": "Nile.", "image": null}]}]}

A vote is on the whole conversation. Where the sides differ before their last answers there is no prompt that both
answered, and the pair is dropped (`battles`).
"""

from typing import Any, Final, Literal

from transforms.errors import RowError
from transforms.sources.about import About
from transforms.sources.adapter import Row, SourceKind
from transforms.sources.battles import A_WON, ARENA, B_WON, JUDGING, SEVERAL_TURNS, TIED, Vote, parted, vote_of
from transforms.sources.canonical import Adapted, Message, Prompt
from transforms.sources.fields import number, pair, row_id
from transforms.sources.messages import Spoken, messages, parsed_json
from transforms.sources.options import SourceOptions
from transforms.sources.rows import Fields, kind_of

LANGUAGE: Final = "language"
TOXIC: Final = "toxic"
FLAGGED: Final = "winner_model_a"  # tells the layout of the 55K
FLAGS: Final = {FLAGGED: A_WON, "winner_model_b": B_WON, "winner_tie": TIED}
TEXTS: Final = ("prompt", "response_a", "response_b")
FIRST_NOTE: Final = "votes on several turns, taken for votes on the answers where the two conversations part"
TOXIC_NOTE: Final = "rows flagged as toxic and kept (`toxic: drop` leaves them out)"


class ArenaOptions(SourceOptions):
    """Which votes are pairs.

    Attributes:
        several_turns: a vote on a conversation of several turns, where the models' earlier answers differ: `drop`, for
            what was voted on has no prompt in common; or `first`, the first answers that differ, as if the vote had
            been on them alone.
        languages: those that stay, in the set's own words (`English` in 2023 and 2024, `en` in 2025); empty for all.
        toxic: what becomes of rows that `openai_moderation` or `toxic_chat_tag` flags.
    """

    kind: Literal["arena"]
    several_turns: Literal["drop", "first"] = "drop"
    languages: tuple[str, ...] = ()
    toxic: Literal["keep", "drop"] = "keep"


def adapt(row: Fields, options: ArenaOptions) -> Adapted:
    """One vote, one pair; of a tie side a is chosen, and the pair is dropped.

    Raises:
        RowError: an unknown vote, other questions to the two models, turns that cannot be read, or an option about
            something that the row does not say.
    """
    vote = _flagged_vote(row) if row.peek(FLAGGED) is not None else vote_of(row.get("winner"))
    both = _conversations(row)
    better, worse = both if vote.winner == "a" else both[::-1]
    sides, last = parted(better, worse)
    reason = _left_out(row, options) or vote.reason
    if reason is None and _goes_on(row, better.turns):
        reason = SEVERAL_TURNS
    elif reason is None and not last:
        if options.several_turns == "drop":
            reason = SEVERAL_TURNS
        else:
            row.note(FIRST_NOTE)
    ids = [row_id(row, "question_id", "id"), row_id(row, "judge", "judge_hash")]
    source_id = "/".join(filter(None, ids)) if ids[0] else None
    return Adapted([pair(row, options, sides, source_id=source_id, reason=reason)])


def _flagged_vote(row: Fields) -> Vote:
    """The vote of three columns of which one is 1."""
    flags = {name: row.get(name) for name in FLAGS}
    said = {name: number(int(value) if isinstance(value, bool) else value, name) for name, value in flags.items()}
    won = [name for name, value in said.items() if value == 1]
    if len(won) != 1 or set(said.values()) != {0, 1}:
        found = ", ".join(f"{name} {kind_of(value)}" for name, value in flags.items())
        message = f"{found}; expected one of them to be 1 and the others 0"
        raise RowError(message)
    return FLAGS[won[0]]


def _conversations(row: Fields) -> tuple[Spoken, Spoken]:
    if row.peek("conversation_a") is not None or row.peek("conversation_b") is not None:
        return messages(row, "conversation_a"), messages(row, "conversation_b")
    if row.peek(FLAGGED) is None:
        _refuse_doubtful_texts(row)
    asked, one, other = (_turns(row, name) for name in TEXTS)
    if not len(asked) == len(one) == len(other):
        message = f"{len(asked)} prompts, {len(one)} response_a and {len(other)} response_b, expected equally many"
        raise RowError(message)
    return _spoken(asked, one), _spoken(asked, other)


def _refuse_doubtful_texts(row: Fields) -> None:
    """Texts beside `winner` are plain (WSDM Cup), and a prompt may well be a list in JSON; all three may be turns.

    Raises:
        RowError: all three are JSON text of lists.
    """
    texts = [row.peek(name) for name in TEXTS]
    if all(isinstance(text, str) and text.lstrip()[:1] == "[" and _is_list(text) for text in texts):
        message = (
            f"{', '.join(TEXTS)} are all JSON text of a list, beside a column winner: they may be turns or plain text;"
            " expected lists, or the columns winner_model_a, winner_model_b and winner_tie"
        )
        raise RowError(message)


def _is_list(text: str) -> bool:
    try:
        return isinstance(parsed_json(text), list)
    except ValueError:
        return False


def _turns(row: Fields, name: str) -> list[Any]:
    """What one speaker said, turn by turn; null where nothing came."""
    value = row.get(name)
    if isinstance(value, str):
        value = _parsed_turns(value, name) if row.peek(FLAGGED) is not None else [value]
    if not isinstance(value, list) or not value:
        message = (
            f"{name} is {'empty' if value == [] else kind_of(value)}, expected turns as a list or JSON text of one"
        )
        raise RowError(message)
    for at, text in enumerate(value):
        if not isinstance(text, str | None):
            message = f"{name}[{at}] is {kind_of(text)}, expected text"
            raise RowError(message)
    return value


def _parsed_turns(text: str, name: str) -> Any:
    try:
        return parsed_json(text)
    except ValueError as error:
        message = f"{name} is {kind_of(text)}, which is no JSON ({error}); expected JSON text of a list of turns"
        raise RowError(message) from None


def _spoken(asked: list[Any], said: list[Any]) -> Spoken:
    both = zip(asked, said, strict=True)
    return Spoken(tuple(turn for one, two in both for turn in (Message("user", one), Message("assistant", two))))


def _goes_on(row: Fields, turns: Prompt) -> bool:
    """Whether the row is a later vote of a session: what was said before stands in `full_conversation` alone."""
    whole = row.get("full_conversation")
    if isinstance(whole, str):
        whole = _parsed_turns(whole, "full_conversation")
    if isinstance(whole, list):
        return len(whole) > sum(turn.role == "user" for turn in turns)
    order = number(row.get("evaluation_order"), "evaluation_order")
    return order is not None and order > 1


def _left_out(row: Fields, options: ArenaOptions) -> str | None:
    """Why the recipe does not want the row."""
    toxic = _is_toxic(row)
    if options.toxic == "drop" and toxic is None:
        message = (
            "openai_moderation and toxic_chat_tag say nothing, so whether to drop the row (toxic: drop) cannot be told;"
            " leave the option out for sets without them"
        )
        raise RowError(message)
    if options.languages:
        language = row.get("language")
        if not isinstance(language, str):
            message = (
                f"language is {kind_of(language)}, expected text, for the recipe asks for"
                f" {', '.join(options.languages)}; leave languages out for sets that do not say it"
            )
            raise RowError(message)
        if language.strip().lower() not in {one.strip().lower() for one in options.languages}:
            return LANGUAGE
    if toxic and options.toxic == "drop":
        return TOXIC
    if toxic:
        row.note(TOXIC_NOTE)
    return None


def _is_toxic(row: Fields) -> bool | None:
    """Whether a moderation flags the row; None where none is there."""
    moderation, tags = row.object("openai_moderation"), row.object("toxic_chat_tag")
    taggers = [tags.object(name) for name in tags.raw] if tags is not None else []
    said = [one.get("flagged") for one in (moderation, *taggers) if one is not None]
    known = [flag for flag in said if isinstance(flag, bool)]
    return any(known) if known else None


def looks_like(row: Row) -> bool:
    """Whether a row is a battle. One of MT-bench, whose questions have numbers, is not, unless it says `anony`."""
    if "conversation_a" in row:
        return "winner" in row and ("anony" in row or not isinstance(row.get("question_id"), int))
    return "response_a" in row and "response_b" in row and ("winner_model_a" in row or "winner" in row)


KIND: Final = SourceKind(
    options=ArenaOptions,
    required=frozenset(
        {"winner or winner_model_a", "conversation_a or response_a", "conversation_b or response_b"},
    ),
    looks_like=looks_like,
    adapt=adapt,
    about=About(
        sets={
            "lmsys/chatbot_arena_conversations": "cc-by-nc-4.0",
            "lmsys/lmsys-arena-human-preference-55k": "apache-2.0",
            "lmarena-ai/arena-human-preference-55k": "apache-2.0",
            "lmarena-ai/arena-human-preference-100k": None,
            "lmarena-ai/arena-human-preference-140k": None,
        },
        terms="prompts CC BY 4.0, answers under the terms of their models' providers (so says the card of the 140K)",
        papers=(ARENA, JUDGING),
        any_set=True,
    ),
)
