"""`python -m flows.curate`: raw preference pairs in, a curated dataset with its report out.

`curate` is the list of the stages. Restart comes from the ledger and the manifest, never from Prefect's cache:
its keys hash the run's id or the task's own lines, and neither is what decides an answer.
"""

if __name__ == "__main__":  # before the imports below: --help and an unchanged rerun wait for no Prefect
    from flows.command import curate_command

    curate_command()

import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
from prefect import Task, flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import exponential_backoff

from flows import artifacts
from flows.config import Recipe
from flows.finish import build_manifest, write_pages
from flows.judging import judge_parts, unscored
from flows.loading import load, prepare_parts
from flows.output import output_folder, publish
from flows.plan import Plan, plan_run
from flows.run import Run
from flows.sampling import Sampler
from flows.scoring import Scorer
from flows.temporary_server import end_server_with_us
from flows.writing import write_data
from transforms.errors import EngineError
from transforms.manifest import Manifest
from transforms.scoring import Scored

Result = TypeVar("Result")
logger = logging.getLogger(__name__)


def _worth_a_retry(_task: "Task[..., Any]", _run: TaskRun, state: "State[Any]") -> bool:
    return isinstance(state.result(raise_on_failure=False), EngineError)


@task(task_run_name="{name}", cache_policy=NO_CACHE, persist_result=False)
def stage(name: str, work: Callable[[], Result]) -> Result:
    """One stage. Prefect looks into arguments, and a closure has nothing to look into."""
    return work()


@task(
    task_run_name="{name}",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=3,
    retry_delay_seconds=exponential_backoff(backoff_factor=2),
    retry_condition_fn=_worth_a_retry,
)
def engine_call(name: str, work: Callable[[], None]) -> None:
    """One batch of expensive work; an engine that failed is asked again, a bad input is not."""
    try:
        work()
    except EngineError as error:
        logger.warning("%s: %s", name, error)
        raise


@flow(name="curate", flow_run_name="curate {recipe.name}", persist_result=False)
def curate(recipe: Recipe) -> str:
    """Curate a preference dataset; the version of what now lies in the recipe's output folder."""
    end_server_with_us()
    plan = plan_run(recipe)
    return plan.finished.version if plan.finished else run_stages(plan).version


def run_stages(plan: Plan) -> Manifest:
    """Every stage in order. Rows travel through files in the work folder, a part at a time."""
    folder = Path(plan.recipe.output.dir)
    with output_folder(folder, fingerprint=plan.fingerprint, overwrite=plan.recipe.output.overwrite) as work:
        run = Run(plan, work)
        artifacts.show_progress(run.progress)
        with run.timed("load"):
            buckets = stage("load sources", partial(load, run))
            stage("tokenise and truncate", partial(prepare_parts, run, buckets))
        if run.samples:
            sampler = sample(run)
            judge_parts(run, score(run, sampler))
        else:
            judge_parts(run, unscored(run))
        with run.timed("write"):
            written = stage("write shards", partial(write_data, run))
        manifest = stage("report", partial(write_pages, run, build_manifest(run, written), written))
        publish(folder, manifest)
    artifacts.show_result(manifest, folder)
    return manifest


def sample(run: Run) -> Sampler:
    """Complete the truncated prefixes; the policy is unloaded before the reward model comes."""
    sampler = Sampler(run)
    bar = run.progress.bar("sample", unit="completions", total=sampler.total())
    with run.timed("sample"), bar as advance, closing(sampler.calls):
        for number, batch in enumerate(sampler.batches()):
            work = partial(sampler.calls.run, batch, advance)
            engine_call(f"sample batch {number}", work) if batch.missing else work()
    return sampler


def score(run: Run, sampler: Sampler) -> Iterator[tuple[pa.Table, Scored]]:
    """Score full responses and completions, part by part."""
    scorer = Scorer(run, sampler)
    bar = run.progress.bar("score", unit="conversations", total=scorer.total())
    with run.timed("score"), bar as advance, closing(scorer.calls):
        for part in scorer.parts():
            for number, batch in enumerate(scorer.batches(part)):
                work = partial(scorer.calls.run, batch, advance)
                engine_call(f"score part {part.number} batch {number}", work) if batch.missing else work()
            yield part.pairs, scorer.rewards(part)
