"""The comparison of decoding rules as a Prefect flow: answer prompts by every rule, score the answers, sum up."""

import logging
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from prefect import flow

from flows.decode.artifacts import show_decodings
from flows.decode.config import DecodeConfig
from flows.decode.files import PAGE, RESULT, TABLE, quarantine_is_ours
from flows.decode.plan import DecodePlan, plan_decoding
from flows.decode.prompts import Prompts, prompts_of
from flows.models import recipe_models as models
from flows.models.engine_calls import Pay
from flows.models.scoring import Scorer
from flows.replicas.crews import reward_crew
from flows.runtime.artifacts import show_progress
from flows.runtime.progress import Advance, Progress
from flows.runtime.tasks import engine_call
from flows.runtime.temporary_server import end_server_with_us
from flows.versions.output_folder import write_bytes, write_text
from flows.versions.run_record import QUARANTINE
from trainers.policies.decoding import Decoded, Decoder, Rule, Settings
from transforms.asking.readings import spoken
from transforms.asking.requests import request_seed
from transforms.chat.conversation import Asked, Turn
from transforms.choices import RuleKind
from transforms.engines.causal_model import load_causal
from transforms.engines.models import ResolvedModel
from transforms.evaluation.decodings import policy_curve, rule_results
from transforms.records.decoding import Decodings
from transforms.records.manifest import SpendRecord
from transforms.report.decode_page import render_decodings
from transforms.tables.ragged import Ids
from transforms.tables.schema import DECODED, check

logger = logging.getLogger(__name__)


class _Task(NamedTuple):
    """One response to decode."""

    prompt: int  # its number
    sample: int
    seed: int


@flow(name="decode", flow_run_name="decode {config.name}", persist_result=False)
def decode(config: DecodeConfig) -> Decodings:
    """Answer prompts by every rule; decode.json, decode.parquet and decode.html go to `config.out`."""
    end_server_with_us()
    plan = plan_decoding(config)
    if plan.finished is not None:
        return plan.finished
    progress = Progress()
    show_progress(progress)
    found = decode_run(plan, engine_call, progress)
    show_decodings(found, config.out)
    return found


def decode_run(plan: DecodePlan, pay: Pay, progress: Progress) -> Decodings:
    """Decode, score and write decode.parquet, decode.html and decode.json to the configuration's folder.

    Args:
        plan: of what to compare.
        pay: calls a batch of expensive work by a name, and again if its engine fails.
        progress: shows responses, tokens a second and the time that is left.

    Raises:
        SourceError: prompts that cannot be read.
        ConfigError: fewer than two prompts leave room for a response.
        EngineError: a model failed, whatever was tried.
    """
    start = time.monotonic()
    config = plan.config
    prompts = prompts_of(plan, progress)
    # Before anything is decoded: a ledger that cannot be written would cost all of it.
    scorer = _scorer(plan)
    table = _scored(plan, prompts, _decode(plan, prompts, pay, progress), scorer, pay, progress)
    check(table, DECODED, where="decode")
    found = Decodings(
        name=plan.name,
        version=plan.version,
        fingerprint=plan.fingerprint,
        settings=plan.settings,
        policy=models.model_record(plan.policy.identity),
        reference=models.model_record(plan.reference.identity),
        reward=models.model_record(plan.reward.identity),
        prompts=len(prompts.ids),
        prompts_too_long=prompts.too_long,
        read=prompts.read,
        unscored=table["reward"].null_count,
        rules=rule_results(table),
        policy_kl=policy_curve(table),
        seconds=round(time.monotonic() - start, 3),
        finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    config.out.mkdir(parents=True, exist_ok=True)
    if prompts.read is None and quarantine_is_ours(config.out):  # asked while decode.json is there to say so
        (config.out / QUARANTINE).unlink(missing_ok=True)
    (config.out / RESULT).unlink(missing_ok=True)
    if prompts.read is not None:
        write_bytes(config.out / QUARANTINE, prompts.quarantine)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    write_bytes(config.out / TABLE, sink.getvalue().to_pybytes())
    write_text(config.out / PAGE, render_decodings(found))
    write_text(config.out / RESULT, found.model_dump_json(indent=2))
    return found


def rules_of(config: DecodeConfig) -> list[Rule]:
    """The grid that a configuration spans."""
    grid: list[tuple[RuleKind, Sequence[float]]] = [("mix", config.mix), ("length", config.length), ("kl", config.kl)]
    return [Rule(kind, float(value)) for kind, values in grid for value in values]


class _Answers(NamedTuple):
    """What every rule made of every task, in the order of the tasks."""

    tasks: list[_Task]
    by_rule: dict[Rule, list[Decoded]]


def _decode(plan: DecodePlan, prompts: Prompts, pay: Pay, progress: Progress) -> _Answers:
    config, rules = plan.config, rules_of(plan.config)
    # The seed is the prompt's and the sample's, not the rule's: rules are compared on the same luck.
    tasks = [
        _Task(number, sample, request_seed(config.seed, pair_id, "decode", 0, sample))
        for number, pair_id in enumerate(prompts.pair_ids)
        for sample in range(config.samples)
    ]
    by_length = sorted(range(len(tasks)), key=lambda at: (len(prompts.ids[tasks[at].prompt]), at))
    batches = [by_length[start : start + config.batch] for start in range(0, len(tasks), config.batch)]
    found: dict[Rule, dict[int, Decoded]] = {rule: {} for rule in rules}
    decoder = Decoder(*(_load(model, plan) for model in (plan.policy, plan.reference)))
    try:
        with progress.bar("decode", unit="responses", total=len(rules) * len(tasks)) as advance:
            for rule in rules:
                how = Settings(rule, plan.chat.stop_ids, config.max_tokens, config.temperature, config.top_p)
                for number, batch in enumerate(batches):
                    asked = {at: tasks[at] for at in batch}
                    work = partial(_decode_batch, decoder, prompts.ids, asked, how, found[rule], advance)
                    pay(f"decode {rule.kind} {rule.value:g} batch {number}", work)
    finally:
        decoder.close()
    return _Answers(tasks, {rule: [answers[at] for at in range(len(tasks))] for rule, answers in found.items()})


def _load(model: ResolvedModel, plan: DecodePlan) -> Any:
    return load_causal(model, trust_remote_code=plan.config.trust_remote_code)


def _decode_batch(
    decoder: Decoder,
    prompts: Sequence[Ids],
    tasks: Mapping[int, _Task],
    how: Settings,
    found: dict[int, Decoded],
    advance: Advance,
) -> None:
    answers = decoder.decode([prompts[t.prompt] for t in tasks.values()], how, [t.seed for t in tasks.values()])
    found.update(zip(tasks, answers, strict=True))
    advance(len(tasks), sum(len(answer.token_ids) for answer in answers))


def _scored(
    plan: DecodePlan, prompts: Prompts, answers: _Answers, scorer: Scorer, pay: Pay, progress: Progress
) -> pa.Table:
    """schema.DECODED, rule by rule."""
    rows = [
        {
            "rule": rule.kind,
            "value": rule.value,
            "pair_id": prompts.pair_ids[task.prompt],
            "sample": task.sample,
            "seed": task.seed,
            **answer._asdict(),
            **_row_of(prompts, task.prompt),
            "text": plan.chat.response_text(np.array(answer.token_ids, np.int32)),
        }
        for rule, of_rule in answers.by_rule.items()
        for task, answer in zip(answers.tasks, of_rule, strict=True)
    ]
    asked = [prompts.asked[task.prompt] for _ in answers.by_rule for task in answers.tasks]
    turns = [spoken(plan.chat, np.array(row["token_ids"], np.int32)) for row in rows]
    for row, reward in zip(rows, _rewards(scorer, asked, turns, pay, progress), strict=True):
        row["reward"] = reward
    return pa.Table.from_pylist(rows, schema=DECODED)


def _row_of(prompts: Prompts, number: int) -> dict[str, str | None]:
    label, row = prompts.rows[number] if prompts.rows else (None, None)
    return {"source": label, "source_id": row}


def _scorer(plan: DecodePlan) -> Scorer:
    crew = reward_crew(plan.reward, plan.reward_config, None)
    spend = SpendRecord.nothing()
    return Scorer(plan.reward, plan.reward_config, ledger_root=plan.ledger, spend=spend, today=plan.today, crew=crew)


def _rewards(
    scorer: Scorer, asked: Sequence[Asked], answers: Sequence[Turn], pay: Pay, progress: Progress
) -> list[float | None]:
    """Of each response; None where the reward model cannot read it or gives no number."""
    requests = scorer.of_answers(asked, answers)
    with closing(scorer.calls):
        scorer.pay(requests, "score responses", pay=pay, progress=progress)
    found = scorer.rewards(requests)
    for reason in sorted({reward for reward in found if isinstance(reward, str)}):
        logger.warning("left without a reward: %s", reason)
    return [reward if isinstance(reward, float) and math.isfinite(reward) else None for reward in found]
