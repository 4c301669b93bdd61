"""A policy's answers for a chat benchmark's own tool: chosen, joined with the benchmark's questions, written, told."""

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

from rich.console import Console

from flows.export.output import NUMBERS, staged
from flows.versions.output_folder import CARD
from flows.versions.version import RESPONSES, GeneratedVersion, Version
from transforms.errors import ConfigError, SourceError, first_line
from transforms.exports import arena_hard, mt_bench
from transforms.exports.alpaca_eval import alpaca_eval_row, json_list
from transforms.exports.answers import COLUMNS, Answers, Joined, Turns, joined, question_of, read_answers, status_of
from transforms.exports.generated import generated_columns
from transforms.exports.json_lines import json_line
from transforms.exports.layouts import SECOND_TURNS
from transforms.exports.mt_bench import second_turn_prompt
from transforms.exports.questions import Benchmark, Questions, named, read_questions
from transforms.records.export import AnswersRecord
from transforms.report.markdown import code
from transforms.text import visible_plain

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
# What the benchmark's own tool does without an answer to a question, and so whether one may be missing.
_WITHOUT: Final = {
    "alpaca_eval": "its rate is then of the others, which no leaderboard has",
    "arena_hard": "gen_judgment.py warns of each and judges the others",
}


class Wanted(NamedTuple):
    """What is asked for.

    Attributes:
        layout: of ANSWER_LAYOUTS.
        policy: its label in the generation; None where there is one.
        model: what the benchmark's files are to call it; None for the label.
        benchmark: its own file of questions; only AlpacaEval does without one.
        allow_missing: write what there is where questions have no answer.
        style_metadata: of Arena-Hard, write what style control reads.
    """

    layout: str
    policy: str | None = None
    model: str | None = None
    benchmark: str | None = None
    allow_missing: bool = False
    style_metadata: bool = False


class _Chosen(NamedTuple):
    """A policy of a generation, and what it answered."""

    version: GeneratedVersion
    policy: str
    answers: Answers


def export_answers(
    version: Version | GeneratedVersion, wanted: Wanted, second: Version | GeneratedVersion | None, out: Path | None
) -> tuple[AnswersRecord, Path]:
    """Write a policy's answers; an export that lies there is replaced, and stays where this one fails.

    Args:
        version: of a generation.
        wanted: what is asked for.
        second: of MT-Bench, the generation that answered the second turns.
        out: the folder; None for `exports` in the run's own.

    Returns:
        Its numbers, and the folder.

    Raises:
        ConfigError: a curated run; it is not said which policy; no file of questions; a name that no file can have.
        SourceError: questions without an answer, or none with one; files that are missing or of another layout.
        OutputError: as `output.export`.
    """
    layout = wanted.layout
    benchmark = _benchmark_of(layout)
    if wanted.benchmark is None and benchmark != "alpaca_eval":
        message = f"--to {layout} needs the benchmark's own questions: --benchmark question.jsonl"
        raise ConfigError(message)
    if layout == "mt_bench" and second is None:
        message = (
            "--to mt_bench needs the answers to second turns: --second RUN, a generation that answered the prompts of "
            f"--to {SECOND_TURNS}"
        )
        raise ConfigError(message)
    first = _chosen(version, wanted.policy)
    model = wanted.model or first.policy
    if not _NAME.fullmatch(model):
        message = (
            f"--model {visible_plain(model)!r} cannot name a file; expected up to 96 letters, digits, dots, dashes"
        )
        raise ConfigError(message)
    further = _second(first, second) if second is not None else None
    questions = _questions(first, wanted.benchmark, benchmark)
    found = joined(questions, first.answers, further.answers if further else None)
    _check(found, questions, first, further, wanted)
    last = further or first
    tstamp = datetime.fromisoformat(last.version.manifest.finished_at).timestamp()
    path, content = _content(layout, found, model, tstamp, style_metadata=wanted.style_metadata)
    answers = [answer for turns in found.found for answer in turns.answers]
    record = AnswersRecord(
        layout=layout,
        where=first.version.where,
        name=first.version.manifest.name,
        version=first.version.manifest.version,
        policy=first.policy,
        model=model,
        second=f"{further.version.where}, version {further.version.manifest.version}" if further else None,
        path=path,
        benchmark=wanted.benchmark,
        benchmark_sha256=questions.sha256 if wanted.benchmark else None,
        counts=found.counts,
        further=first.answers.further + (further.answers.further if further else 0),
        status=dict(status_of(answers)),
        unfinished=sum(not answer.finished for answer in answers),
        tstamp=tstamp if layout in ("arena_hard", "mt_bench") else None,
        metadata=wanted.style_metadata if layout == "arena_hard" else None,
    )
    with staged(first.version.where, out) as (staging, folder):
        (staging / path).parent.mkdir(parents=True)
        (staging / path).write_bytes(content)
        (staging / CARD).write_text(readme(record), encoding="utf-8")
        (staging / NUMBERS).write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return record, folder


def print_answers(console: Console, record: AnswersRecord, folder: Path) -> None:
    """What was written, what is in no file, and what comes next."""
    lines = [f"{folder / record.path}", *in_words(record), f"what to do with it: {folder / CARD}"]
    for line in lines:
        console.print(visible_plain(line), highlight=False, markup=False)


def in_words(record: AnswersRecord) -> list[str]:
    """A sentence on each count that is not zero."""
    counts = record.counts
    asked = "questions" if record.benchmark else "prompts"
    said = [
        f"{counts.answered:,} of {counts.questions:,} {asked} are answered by {record.policy}, called {record.model}; "
        f"{counts.missing:,} missing."
    ]
    if counts.doubled:
        said.append(f"{counts.doubled:,} questions repeat another, and have the same answer.")
    if counts.foreign:
        said.append(f"{counts.foreign:,} of {counts.prompts:,} prompts of the run are no question of the benchmark.")
    if counts.second_foreign:
        said.append(
            f"{counts.second_foreign:,} of {counts.second_prompts:,} prompts of the second run are no second turn "
            "behind these answers."
        )
    if record.further:
        said.append(f"{record.further:,} further responses are left out: the first to each prompt is taken.")
    if record.unfinished:
        said.append(f"{record.unfinished:,} answers ran out of room, and are judged as they stand.")
    if odd := {name: number for name, number in record.status.items() if name not in ("usable", "unscored")}:
        words = ", ".join(f"{number:,} {name}" for name, number in odd.items())
        said.append(f"Not usable in pairs, and written all the same, since the model said no more: {words}.")
    return said


def readme(record: AnswersRecord) -> str:
    """README.md of the folder."""
    parts = [
        f"# Answers of {code(record.model)} for {_TITLES[record.layout]}",
        f"Made by `python -m flows.export` of {code(record.where)}, version {code(record.version)}"
        + (f", and of {code(record.second)}" if record.second else "")
        + (f", for the questions of {code(record.benchmark)}" if record.benchmark else "")
        + f". `{NUMBERS}` has the numbers of this page.",
        "\n".join(f"- {sentence}" for sentence in in_words(record)),
        *_next_steps(record),
    ]
    return "\n\n".join(parts) + "\n"


_TITLES: Final = {
    "alpaca_eval": "AlpacaEval",
    "arena_hard": "Arena-Hard v2",
    "mt_bench": "MT-Bench",
    SECOND_TURNS: "MT-Bench: prompts of second turns",
}


def _next_steps(record: AnswersRecord) -> list[str]:
    if record.layout == "alpaca_eval":
        return [f"```text\nalpaca_eval --model_outputs {record.path} --output_path FOLDER\n```"]
    if record.layout == SECOND_TURNS:
        return [
            "Answer them with the same policy, then export both runs:",
            f"```yaml\nprompts:\n  - {{kind: prompts, path: ./{record.path}}}\n```",
        ]
    if record.layout == "mt_bench":
        return [
            "In fastchat/llm_judge, with the benchmark's own data beside it:",
            "```text\ncp -r mt_bench/data FASTCHAT/fastchat/llm_judge\n"
            f"python gen_judgment.py --model-list {record.model}\n```",
        ]
    steps = [
        "In arena-hard-auto, with the benchmark's own data beside it, and the model in `model_list` of "
        "config/arena-hard-v2.0.yaml:",
        "```text\ncp -r arena_hard/data ARENA_HARD\npython gen_judgment.py\npython show_result.py\n```",
    ]
    if record.metadata:
        return steps
    return [
        *steps,
        "Rows have no `metadata`, which style control (`--control-features`) reads: it counts tokens of GPT-4o. The "
        "benchmark's own script adds it, or `--style-metadata` of the export:",
        f"```text\npython utils/add_markdown_info.py --dir {arena_hard.FOLDER} --output-dir {arena_hard.FOLDER}\n```",
    ]


def _benchmark_of(layout: str) -> Benchmark:
    return "mt_bench" if layout == SECOND_TURNS else cast("Benchmark", layout)


def _chosen(version: Version | GeneratedVersion, policy: str | None) -> _Chosen:
    """A policy's answers in a generation.

    Raises:
        ConfigError: a curated run, several policies of which none is named, or one that it does not have.
    """
    if not isinstance(version, GeneratedVersion):
        message = (
            f"{version.where} is a curated run, which has no answers of a policy by name; name the folder of a "
            "generation, such as RUN/generated of a curation with a section generate"
        )
        raise ConfigError(message)
    labels = [voice.label for voice in version.manifest.voices]
    if policy is None and len(labels) > 1:
        found = f"{version.where} has answers of {len(labels)} policies ({', '.join(labels)})"
        message = f"{found}; say whose: --policy {labels[0]}"
        raise ConfigError(message)
    label = labels[0] if policy is None else policy
    if label not in labels:
        message = f"{version.where} has no policy {visible_plain(label)!r}; it has {', '.join(labels)}"
        raise ConfigError(message)
    recipe = version.recipe
    thinking = dict(zip(recipe.policy_labels(), (one.thinking for one in recipe.policies), strict=True))[label]
    names = next(version.batches(RESPONSES)).column_names
    tables = version.all_batches(RESPONSES, generated_columns(COLUMNS, names))
    return _Chosen(version, label, read_answers(tables, label, thinking, version.where))


def _second(first: _Chosen, version: Version | GeneratedVersion) -> _Chosen:
    """The same policy in the run of second turns: by its label, unless that run has one policy only.

    Raises:
        ConfigError: as `_chosen`; it is another model there.
    """
    alone = isinstance(version, GeneratedVersion) and len(version.manifest.voices) == 1
    found = _chosen(version, None if alone else first.policy)
    models = [_model(first), _model(found)]
    if models[0] != models[1]:
        message = (
            f"{first.policy} is {' '.join(models[0])} in {first.version.where} and {found.policy} "
            f"{' '.join(models[1])} in {version.where}; expected one model for both turns"
        )
        raise ConfigError(message)
    return found


def _model(chosen: _Chosen) -> tuple[str, str]:
    [model] = [voice.model for voice in chosen.version.manifest.voices if voice.label == chosen.policy]
    return model.name, model.fingerprint


def _questions(first: _Chosen, path: str | None, benchmark: Benchmark) -> Questions:
    """The benchmark's, or where its file is not named the run's own prompts as they are.

    Raises:
        SourceError: as `read_questions`.
        ConfigError: prompts of the run that are no single instruction.
    """
    if path is not None:
        return read_questions(path, benchmark)
    found = [question_of(answer, row) for row, answer in enumerate(first.answers.of.values(), 1)]
    single = [question for question in found if question is not None]
    if len(single) < first.answers.prompts or not single:
        message = (
            f"{len(single):,} of {first.answers.prompts:,} prompts of {first.version.where} are a single instruction, "
            "expected all; name the benchmark's file, --benchmark alpaca_eval.json, and the others are left out"
        )
        raise ConfigError(message)
    return Questions("", "", single, 0)


def _check(found: Joined, questions: Questions, first: _Chosen, second: _Chosen | None, wanted: Wanted) -> None:
    """Raise for questions without an answer, and for first answers that no second turn can stand behind."""
    layout, counts = wanted.layout, found.counts
    if found.missing and not (wanted.allow_missing and layout in _WITHOUT and found.found):
        raise SourceError(_missing(found, first, second, wanted))
    silent = [one.question for one in found.found if len(one.question.turns) == 2 and not one.answers[0].text.strip()]
    if layout == SECOND_TURNS and silent:
        message = (
            f"{len(silent):,} of {counts.questions:,} questions have an empty first answer, and no chat template takes "
            f"an empty turn: {named(silent)}. Answer the first turns again, with more max_new_tokens or another seed"
        )
        raise SourceError(message)
    if layout == SECOND_TURNS and all(len(one.turns) == 1 for one in questions.rows):
        message = f"{wanted.benchmark} has no question of two turns, so there is no second one to ask"
        raise SourceError(message)


def _missing(found: Joined, first: _Chosen, second: _Chosen | None, wanted: Wanted) -> str:
    counts = found.counts
    runs = first.version.where + (f" and {second.version.where}" if second else "")
    problem = (
        f"{wanted.benchmark} has {counts.questions:,} questions ({counts.doubled:,} repeated): {runs} answered "
        f"{counts.answered:,} by {first.policy}, {counts.missing:,} are missing, and {counts.foreign:,} prompts are "
        f"none of it. Missing: {named(found.missing)}. "
    )
    if found.other_first:
        return (
            f"{problem}{found.other_first:,} second turns stand behind other first answers than {first.policy}'s in "
            f"{first.version.where}: answer the prompts of --to {SECOND_TURNS} anew"
        )
    what = "the prompts of --to mt_bench_second_turns" if second else f"{wanted.benchmark} as kind: prompts"
    problem += f"Answer {what}, without limit or max_prompts; a run's quarantine.jsonl says what it could not answer"
    if wanted.layout in _WITHOUT:
        if found.found:
            return f"{problem}. Or write what there is, --allow-missing: {_WITHOUT[wanted.layout]}"
        return problem
    return f"{problem}. MT-Bench's gen_judgment.py ends where one is missing"


def _content(layout: str, found: Joined, model: str, tstamp: float, *, style_metadata: bool) -> tuple[str, bytes]:
    """The path of the file, and what it holds.

    Raises:
        ConfigError: tokens of GPT-4o cannot be counted.
    """
    if layout == "alpaca_eval":
        rows = (alpaca_eval_row(one.question, one.answers[0].text, model=model) for one in found.found)
        return "alpaca_eval/model_outputs.json", json_list(rows)
    if layout == SECOND_TURNS:
        return f"{SECOND_TURNS}/prompts.jsonl", _lines([_second_prompt(one) for one in _once(found.found)])
    if layout == "mt_bench":
        texts = [(one.question, [answer.text for answer in one.answers]) for one in found.found]
        lines = [mt_bench.mt_bench_row(question, said, model=model, tstamp=tstamp) for question, said in texts]
        return f"mt_bench/{mt_bench.FOLDER}/{model}.jsonl", _lines(lines)
    tokens = gpt4o_tokens() if style_metadata else None
    lines = [
        arena_hard.arena_hard_row(one.question, one.answers[0].text, model=model, tstamp=tstamp, tokens=tokens)
        for one in found.found
    ]
    return f"arena_hard/{arena_hard.FOLDER}/{model}.jsonl", _lines(lines)


def gpt4o_tokens() -> Callable[[str], int]:
    """How many tokens of GPT-4o a text has, as Arena-Hard counts them.

    Raises:
        ConfigError: tiktoken or its vocabulary is not there.
    """
    try:
        import tiktoken

        encoding = tiktoken.encoding_for_model(arena_hard.ENCODING_OF)
    except Exception as error:  # it downloads its vocabulary by whatever the machine has for that
        message = (
            f"--style-metadata counts tokens of {arena_hard.ENCODING_OF} with tiktoken, which cannot: "
            f"{first_line(error)}. It needs the package and, the first time, the network for its vocabulary. Or leave "
            "the flag out, and let Arena-Hard's utils/add_markdown_info.py add the metadata"
        )
        raise ConfigError(message) from error
    return lambda text: len(encoding.encode(text, disallowed_special=()))


def _second_prompt(turns: Turns) -> dict[str, Any]:
    answer = turns.answers[0]
    return second_turn_prompt(turns.question, answer.asked.turns, answer.text)


def _once(found: Sequence[Turns]) -> list[Turns]:
    """Questions of two turns, one that is doubled once."""
    seen: dict[tuple[str, ...], Turns] = {}
    for one in found:
        if len(one.question.turns) == 2:
            seen.setdefault(one.question.turns, one)
    return list(seen.values())


def _lines(rows: Sequence[dict[str, Any]]) -> bytes:
    return b"".join(map(json_line, rows))
