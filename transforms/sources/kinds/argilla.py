"""Records that people annotated in Argilla, as its SDK exports them, and sets that Argilla published with ratings.

Raw rows: of `Dataset.records.to_datasets()` (Argilla 2) with a ranking question, of the same with a rating question for
each response (distilabel's `PreferenceToArgilla`), of `push_to_huggingface()` (Argilla 1), of
argilla/ultrafeedback-binarized-preferences::

    {"id": "r1", "status": "completed", "_server_id": "0b…", "prompt": "Name three rivers.",
     "response1": "Nile.", "response2": "Nile, Rhine, Po.",
     "preference.responses": [["response2", "response1"], ["response1", "response2"]],
     "preference.responses.users": ["u1", "u2"], "preference.responses.status": ["submitted", "discarded"],
     "preference.suggestion": ["response2", "response1"], "preference.suggestion.agent": "a-judge"}
    {"id": "r2", "status": "completed", "instruction": "Name three rivers.",
     "generations-0": "Nile.", "generations-1": "Nile, Rhine, Po.",
     "generations-0-rating.responses": [2], "generations-0-rating.responses.users": ["u1"],
     "generations-0-rating.responses.status": ["submitted"], "generations-1-rating.responses": [5],
     "generations-1-rating.responses.users": ["u1"], "generations-1-rating.responses.status": ["submitted"]}
    {"prompt": "Name three rivers.", "response-1": "Nile.", "response-2": "Nile, Rhine, Po.", "external_id": "r3",
     "preference": [{"user_id": "u1", "status": "submitted",
                     "value": {"rank": [2, 1], "value": ["response-1", "response-2"]}}]}
    {"source": "evol_instruct", "instruction": "Name three rivers.", "chosen_response": "Nile, Rhine, Po.",
     "rejected_response": "Nile.", "chosen_avg_rating": 4.75, "rejected_avg_rating": 2.5, "chosen_model": "gpt-4"}
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from transforms.errors import RowError
from transforms.sources.about import About
from transforms.sources.adapter import Row, SourceKind
from transforms.sources.canonical import Adapted, Pair, Response, check_score, content_hash
from transforms.sources.endings import finished
from transforms.sources.fields import EXCLUDED, TIE, left_out, number, pair, row_id
from transforms.sources.kinds.ultrafeedback import ULTRAFEEDBACK
from transforms.sources.messages import Sides, Spoken, asked, replies, said
from transforms.sources.options import SourceOptions
from transforms.sources.pairing import Candidate, Pairing, is_usable, pairings
from transforms.sources.rows import Fields, kind_of

PROMPTS: Final = ("prompt", "instruction")
# Fields that hold a response, where no option names them: response1, response_a, generations-0, reply-2 …
_RESPONSE: Final = re.compile(
    r"(response|generations?|completion|reply|answer)[-_ ]?(\d{1,2}|(?<=[-_ ])[a-z]|[A-Z])"  # and not `responses`
)
_RATING_OF: Final = ("{}-rating", "{}_rating")  # the question about one response
_LARGEST_LABEL: Final = 100_000  # of a rating question that asks which is better; a table may hold 1 as 1.0
NO_MAJORITY: Final = "pairs on which the annotators have no majority: excluded"
OUTVOTED: Final = "pairs on which some annotators were outvoted"
SUGGESTED: Final = "records that the suggestion decided: nobody has answered"


class ArgillaOptions(SourceOptions):
    """What the fields and the question of a record are called; what is not named is told by the usual names.

    Attributes:
        prompt: field of the prompt; by default `prompt` or `instruction`.
        responses: fields of the responses, in order; by default those that are called like `response1`, `response_b` or
            `generations-0`.
        question: what decides: one question with labels, one ranking, or a rating for each of `responses`, in order. By
            default the ratings that are called after the responses (`generations-0-rating`), else the only question.
        labels: what the question calls each of `responses`, in order; by default the names of the fields. A rating
            question that asks which of two is better has such labels, too: `["1", "2"]`.
        ties: labels that say that none is better.
        suggestion: what the suggestion of a record counts: nothing (`ignore`), or as the one answer where nobody has
            answered (`unanswered`).
        pairing: which two of more than two responses meet.
        exclude: values of the raw `source` whose pairs are dropped, such as `truthful_qa` (a benchmark).
    """

    kind: Literal["argilla"]
    prompt: str | None = None
    responses: tuple[str, ...] = ()
    question: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    ties: tuple[str, ...] = ("tie",)
    suggestion: Literal["ignore", "unanswered"] = "ignore"
    pairing: Pairing = "best_vs_worst"
    exclude: tuple[str, ...] = ()


class _Answer(NamedTuple):
    user: str | None
    value: Any


class _Side(NamedTuple):
    at: int  # in `responses`
    spoken: Spoken


# What one annotator thinks of each response, by its place: the higher, the better.
_Opinion = Mapping[int, float]


def adapt(row: Fields, options: ArgillaOptions) -> Adapted:
    """Pairs of a record's responses in the order of most annotators; each response scores what they gave it on average.

    Labels give the response that they name 1 and the others 0, a rank counts with a minus. Answers that are drafts or
    were discarded do not count. A pair without a majority is dropped as excluded, one that most find equal as a tie.

    Raises:
        RowError: no field or question of the name, an answer that cannot be understood, or none that counts.
    """
    reason = left_out(row, [row.get("source")], options.exclude)
    if row.peek("chosen_response") is not None and not options.responses:
        sides = replies(asked(row, _prompt(row, options)), said(row, "chosen_response"), said(row, "rejected_response"))
        return Adapted([pair(row, options, sides, source_id=row_id(row, "id"), reason=reason)])
    fields = options.responses or _response_fields(row)
    if len(fields) < 2:
        found = ", ".join(fields) or "none"
        message = f"fields that hold a response: {found}; expected at least two, name them (responses)"
        raise RowError(message)
    prompt = asked(row, _prompt(row, options))
    texts = [_response(row, name) for name in fields]
    opinions = _opinions(row, options, fields)
    candidates, responses = [], []
    for at, text in enumerate(texts):
        if text is None:
            continue
        given = [opinion[at] for opinion in opinions if at in opinion]
        score = sum(given) / len(given) if given else None
        check_score(score, f"the mean for {fields[at]}")
        content = text.turns[0].content
        ended = finished(text.ending, f"the finish reason in {fields[at]}")
        responses.append(Response(at, content, score=score, finished=ended is not False))
        if score is not None:
            order = content_hash(prompt[-1].content if prompt else "", content)
            candidates.append(Candidate(score, order, _Side(at, text)))
    if len(candidates) < 2:
        message = f"{len(candidates)} of {len(fields)} responses have text and an answer that counts, expected two"
        raise RowError(message)
    source_id = row_id(row, "id", "external_id")
    pairs: list[Pair] = []
    for better, worse in pairings(candidates, options.pairing):
        verdict = _verdict(row, opinions, better.response.at, worse.response.at)
        one, other = (worse, better) if verdict.turned else (better, worse)
        good, bad = one.response.spoken, other.response.spoken
        sides = Sides(prompt, good.turns[0], bad.turns[0], good.ending, bad.ending)
        pairs.append(
            pair(
                row,
                options,
                sides,
                source_id=source_id,
                scores=(one.score, other.score),
                reason=reason or verdict.reason,
            )
        )
    return Adapted(pairs, pairs[0].prompt, responses)


class _Verdict(NamedTuple):
    turned: bool  # most prefer the second of the two
    reason: str | None


def _verdict(row: Fields, opinions: Sequence[_Opinion], first: int, second: int) -> _Verdict:
    """What most annotators say of two responses, of those that gave an opinion of both."""
    both = [(opinion[first], opinion[second]) for opinion in opinions if first in opinion and second in opinion]
    votes = [
        sum(one > other for one, other in both),
        sum(one < other for one, other in both),
        sum(one == other for one, other in both),
    ]
    most = max(votes)
    if votes.count(most) > 1:  # also where nobody compared the two
        row.note(NO_MAJORITY)
        return _Verdict(turned=False, reason=EXCLUDED)
    if most < len(both):
        row.note(OUTVOTED)
    return _Verdict(turned=votes[1] == most, reason=TIE if votes[2] == most else None)


def _prompt(row: Fields, options: ArgillaOptions) -> str:
    names = (options.prompt,) if options.prompt else PROMPTS
    for name in names:
        if row.peek(name) is not None:
            return name
    message = f"{' and '.join(names)} hold no prompt; name its field (prompt)"
    raise RowError(message)


def _response_fields(row: Fields) -> tuple[str, ...]:
    """Fields that are called like a response, by their number or letter; of several words the first of the row."""
    found: dict[str, list[tuple[int, str, str]]] = {}
    for name in row.raw:
        match = _RESPONSE.fullmatch(name)
        if match and isinstance(row.peek(name), str | list | dict | None):
            ending = match[2]
            found.setdefault(match[1], []).append((int(ending) if ending.isdigit() else -1, ending, name))
    several = [names for names in found.values() if len(names) > 1] or list(found.values())
    return tuple(name for *_, name in sorted(several[0])) if several else ()


def _response(row: Fields, name: str) -> Spoken | None:
    """The response in a field, text or one assistant message; None for a field that is empty, as fields may be."""
    if name not in row:
        message = f"the field {name} is not there; name the fields of the responses (responses)"
        raise RowError(message)
    value = row.get(name)
    if value is None or (isinstance(value, str) and not is_usable(value)):
        return None
    spoken = said(row, name)
    turns = spoken.turns
    if len(turns) != 1 or turns[0].role != "assistant":
        message = f"{name} holds {len(turns)} messages, expected text or one assistant message"
        raise RowError(message)
    return spoken


def _opinions(row: Fields, options: ArgillaOptions, fields: Sequence[str]) -> list[_Opinion]:
    labels = options.labels or tuple(fields)
    if len(labels) != len(fields):
        message = f"{len(labels)} labels for {len(fields)} responses, expected one for each, in their order"
        raise RowError(message)
    if len(set(labels)) < len(labels):
        message = f"labels are {', '.join(labels)}, expected each of them once"
        raise RowError(message)
    questions = options.question or _questions(row, fields)
    answers = [_answers(row, name) for name in questions]
    if not any(answers) and options.suggestion == "unanswered":
        answers = [_suggested(row, name) for name in questions]
        if any(answers):
            row.note(SUGGESTED)
    if not any(answers):
        advice = "" if options.suggestion == "unanswered" else "; set suggestion: unanswered to take the suggestion"
        message = f"no submitted answer to {', '.join(questions)}{advice}"
        raise RowError(message)
    if len(questions) == 1:
        return [_opinion(one.value, questions[0], labels, options.ties) for one in answers[0]]
    if len(questions) != len(fields):
        message = f"{len(questions)} questions for {len(fields)} responses, expected one in all or one for each"
        raise RowError(message)
    return _rated(answers, questions)


def _questions(row: Fields, fields: Sequence[str]) -> tuple[str, ...]:
    """Ratings that are called after the responses, else the row's only question."""
    there = list(_names_of_questions(row.raw))
    for spelled in _RATING_OF:
        if all(spelled.format(name) in there for name in fields):
            return tuple(spelled.format(name) for name in fields)
    if len(there) != 1:
        message = f"the record has the questions {', '.join(there) or 'none'}; name the one that decides (question)"
        raise RowError(message)
    return (there[0],)


def _names_of_questions(raw: Row) -> dict[str, None]:
    found: dict[str, None] = {}
    for name, value in raw.items():
        for ending in (".responses", ".suggestion", "-suggestion"):
            question = name.removesuffix(ending)
            if question != name and (ending[0] == "." or question in raw):
                found[question] = None
        if _is_old(value):
            found[name] = None
    return found


def _is_old(value: object) -> bool:
    """Whether a column is a question as Argilla 1 exported it: objects, or the lists that datasets makes of them."""
    one = value[0] if isinstance(value, list) and value else value
    return isinstance(one, dict) and one.keys() >= {"user_id", "value", "status"}


def _answers(row: Fields, question: str) -> list[_Answer]:
    """The answers that count: those that are submitted."""
    value = row.peek(question)
    if f"{question}.responses" in row:
        values, users, statuses = (_listed(row, f"{question}.responses{part}") for part in ("", ".users", ".status"))
    elif _is_old(value) or (question in row and value in (None, [])):
        row.get(question)
        given = value if isinstance(value, dict) else _columns(value or [], question)
        values, users, statuses = (given[name] for name in ("value", "user_id", "status"))
    elif f"{question}.suggestion" in row:
        return []
    else:
        there = ", ".join(_names_of_questions(row.raw)) or "none"
        message = f"the question {question} is not there; the record has the questions {there}"
        raise RowError(message)
    if values is None:
        return []
    parts = (values, users, statuses)
    if any(part is not None and (not isinstance(part, list) or len(part) != len(values)) for part in parts):
        counts = [len(part) if isinstance(part, list) else "none" for part in parts]
        message = f"{question} has {counts[0]} answers, {counts[1]} users and {counts[2]} states, expected equally many"
        raise RowError(message)
    found = []
    for at, one in enumerate(values):
        user, status = users[at] if users is not None else None, "submitted" if statuses is None else statuses[at]
        if status not in ("submitted", "draft", "discarded", None):
            message = f"{question} has an answer that is {kind_of(status)}, expected submitted, draft or discarded"
            raise RowError(message)
        # One without a status was never submitted: the server takes it for a draft.
        if status == "submitted" and one is not None:
            found.append(_Answer(str(user) if user is not None else None, one))
    return found


def _listed(row: Fields, name: str) -> list[Any] | None:
    value = row.get(name)
    if not isinstance(value, list | None):
        message = f"{name} is {kind_of(value)}, expected a list"
        raise RowError(message)
    return value


def _columns(objects: Any, question: str) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {"user_id": [], "value": [], "status": []}
    for at, one in enumerate(objects):
        if not isinstance(one, dict):
            message = f"{question}[{at}] is {kind_of(one)}, expected an answer"
            raise RowError(message)
        for name, column in found.items():
            column.append(one.get(name))
    return found


def _suggested(row: Fields, question: str) -> list[_Answer]:
    for name in (f"{question}.suggestion", f"{question}-suggestion"):
        if row.peek(name) is not None:
            return [_Answer(None, row.get(name))]
    return []


def _rated(answers: Sequence[Sequence[_Answer]], questions: Sequence[str]) -> list[_Opinion]:
    """Ratings of one annotator, who answered a question for each response."""
    by_user: dict[str | None, dict[int, float]] = {}
    for at, (question, given) in enumerate(zip(questions, answers, strict=True)):
        for one in given:
            opinion = by_user.setdefault(one.user, {})
            if at in opinion:
                who = "several answers without a user" if one.user is None else f"two answers of the user {one.user}"
                message = f"{question} has {who}, so whose rating belongs to which cannot be told"
                raise RowError(message)
            opinion[at] = _number(one.value, question)
    return list(by_user.values())


def _opinion(value: Any, question: str, labels: Sequence[str], ties: Sequence[str]) -> _Opinion:
    """What one answer to a question with labels or to a ranking says."""
    if isinstance(value, list | dict):
        return _ranking(value, question, labels)
    named = f"{value:g}" if type(value) in (int, float) and abs(value) < _LARGEST_LABEL else value
    if not isinstance(named, str):
        named = ""
    if named in labels:
        return {at: float(label == named) for at, label in enumerate(labels)}
    if named in ties:
        return dict.fromkeys(range(len(labels)), 0.0)
    message = (
        f"{question} has the answer {kind_of(value)}, expected one of {', '.join(labels)} (labels) or"
        f" {', '.join(ties) or 'nothing'} (ties)"
    )
    raise RowError(message)


def _ranking(value: Any, question: str, labels: Sequence[str]) -> _Opinion:
    """Names with their ranks, or names from the best to the worst, as the SDK of Argilla 2 exports them."""
    if isinstance(value, dict):
        names, ranks = value.get("value"), value.get("rank")
    elif all(isinstance(one, dict) for one in value):
        names, ranks = [one.get("value") for one in value], [one.get("rank") for one in value]
    else:
        names, ranks = value, list(range(1, len(value) + 1))
    if not isinstance(names, list) or not isinstance(ranks, list) or len(names) != len(ranks):
        message = f"{question} has a ranking of {kind_of(names)} with {kind_of(ranks)}, expected as many ranks as names"
        raise RowError(message)
    if ranks and all(rank is None for rank in ranks):
        ranks = list(range(1, len(names) + 1))
    found: dict[int, float] = {}
    for name, rank in zip(names, ranks, strict=True):
        at = labels.index(name) if isinstance(name, str) and name in labels else None
        if at is None or at in found:
            message = f"{question} ranks {kind_of(name)}, expected each of {', '.join(labels)} once (labels)"
            raise RowError(message)
        found[at] = -_number(rank, question)
    return found


def _number(value: Any, question: str) -> float:
    found = number(value, f"an answer to {question}")
    check_score(found, f"an answer to {question}")
    if found is None:
        message = f"an answer to {question} is null, expected a number"
        raise RowError(message)
    return found


def _looks_like(row: Row) -> bool:
    """Questions of an export, or texts with the mean of their ratings."""
    published = row.keys() >= {"chosen_response", "rejected_response", "chosen_avg_rating"}
    return published or bool(_names_of_questions(row))


KIND: Final = SourceKind(
    options=ArgillaOptions,
    required=frozenset(),
    looks_like=_looks_like,
    adapt=adapt,
    about=About(
        sets={"argilla/ultrafeedback-binarized-preferences": None},
        terms="that of the set in question; UltraFeedback's, of which Argilla's is made, is MIT",
        papers=(ULTRAFEEDBACK,),
        any_set=True,
    ),
)
