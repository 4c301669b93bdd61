"""The evaluation as a Prefect flow."""

import time
from datetime import UTC, datetime
from functools import partial

from prefect import flow

from flows.answers.stage import drop_other_answers, evaluate_answers
from flows.evaluate.annotations import read_annotations
from flows.evaluate.artifacts import show_evaluation
from flows.evaluate.config import EvaluationConfig
from flows.evaluate.data import load_pairs, write_quarantine
from flows.evaluate.plan import NUMBERS, PAGE, QUARANTINE, EvaluationPlan, plan_evaluation
from flows.evaluate.policy import evaluate_policy
from flows.evaluate.reward import evaluate_reward
from flows.evaluate.rewardbench2 import evaluate_benchmark, load_benchmark
from flows.evaluate.tasks import keep_files, run_tasks
from flows.models.engine_calls import Pay
from flows.runtime.artifacts import show_progress
from flows.runtime.progress import Progress
from flows.runtime.tasks import engine_call, stage
from flows.runtime.temporary_server import end_server_with_us
from flows.versions.fingerprint import git_commit, package_versions
from flows.versions.output_folder import write_text
from transforms.paths import ledger_root
from transforms.records.evaluation import Evaluation
from transforms.report.evaluation_page import render_evaluation
from transforms.sources.kinds import rewardbench2


@flow(name="evaluate", flow_run_name="evaluate {config.name}", persist_result=False)
def evaluate(config: EvaluationConfig) -> Evaluation:
    """Hold models against labelled pairs, judge their answers, or both; numbers and page go into a folder.

    And what a chat benchmark's own judge said of answers.
    """
    end_server_with_us()
    plan = plan_evaluation(config)
    return plan.finished or run_evaluation(plan, engine_call)


def run_evaluation(plan: EvaluationPlan, pay: Pay) -> Evaluation:
    """Read, score, write. evaluation.json comes last: its presence means that the rest is there.

    Args:
        plan: with everything found.
        pay: calls a batch of expensive work by a name, and again if its engine fails.
    """
    start = time.monotonic()
    config, progress = plan.config, Progress()
    show_progress(progress)
    # First, for they cost nothing, and a file that is no such file should end no evaluation that was paid for.
    annotations = stage("read annotations", partial(read_annotations, config.annotations)) if config.annotations else []
    # Then, while no model of ours fills the GPU that it shares.
    tasks = None
    if plan.tasks:
        tasks = stage("tasks of lm_eval", partial(run_tasks, plan.tasks, plan.folder, plan.fingerprint, progress))
    of_pairs = [record for record in plan.sources if record.kind != rewardbench2.NAME]
    of_benchmarks = [record for record in plan.sources if record.kind == rewardbench2.NAME]
    loaded = stage("load pairs", partial(load_pairs, config.pairs, of_pairs, progress))
    benchmarks = [
        stage(f"load {record.label}", partial(load_benchmark, source, record, progress))
        for source, record in zip(config.benchmarks, of_benchmarks, strict=True)
    ]
    quarantined = list(loaded.quarantined)
    reward = policy = None
    judged = []
    if plan.reward and of_pairs:
        found = evaluate_reward(
            loaded.labelled,
            plan.reward.model,
            plan.reward.config,
            plan.reward.chat,
            ledger_root=ledger_root(config.ledger),
            pay=pay,
            progress=progress,
        )
        reward = found.result
        quarantined += found.quarantined
    for benchmark in benchmarks:
        if plan.reward:
            scored = evaluate_benchmark(
                benchmark,
                plan.reward.model,
                plan.reward.config,
                plan.reward.chat,
                ledger_root=ledger_root(config.ledger),
                pay=pay,
                progress=progress,
            )
            judged.append(scored.result)
            quarantined += scored.quarantined
    if plan.policy and config.policy:
        read = evaluate_policy(
            loaded.labelled,
            plan.policy,
            config.policy,
            seed=config.seed,
            ledger_root=ledger_root(config.ledger),
            pay=pay,
            progress=progress,
        )
        policy = read.result
        quarantined += read.quarantined
    answers = None
    if plan.answers:
        (plan.folder / NUMBERS).unlink(missing_ok=True)  # what they are of may be replaced now
        drop_other_answers(plan.folder, plan.answers)
        answers = evaluate_answers(plan.answers, pay, progress)
    evaluation = Evaluation(
        name=config.name,
        fingerprint=plan.fingerprint,
        sources=plan.sources,
        counts=loaded.counts,
        reward=reward,
        policy=policy,
        answers=answers,
        rewardbench2=judged,
        tasks=tasks,
        annotations=annotations,
        packages=package_versions(),
        git_commit=git_commit(),
        seconds=round(time.monotonic() - start, 3),
        finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    plan.folder.mkdir(parents=True, exist_ok=True)
    (plan.folder / NUMBERS).unlink(missing_ok=True)
    keep_files(plan.folder, tasks)
    write_quarantine(plan.folder / QUARANTINE, quarantined)
    write_text(plan.folder / PAGE, render_evaluation(evaluation))
    write_text(plan.folder / NUMBERS, evaluation.model_dump_json(indent=2))
    show_evaluation(evaluation, plan.folder)
    return evaluation
