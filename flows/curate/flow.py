"""`python -m flows.curate`: raw preference pairs in, a curated dataset with its report out.

`curate` is the list of the stages. Restart comes from the ledger and the manifest, never from Prefect's cache:
its keys hash the run's id or the task's own lines, and neither is what decides an answer.
"""

import logging
import shutil
from functools import partial
from pathlib import Path

from prefect import flow

from flows.curate.accepting import leave_out_the_rest, pairs_to_make
from flows.curate.artifacts import show_result
from flows.curate.estimating import estimate
from flows.curate.finish import build_manifest, write_pages
from flows.curate.judging import judge_parts
from flows.curate.loading import load, prepare_parts
from flows.curate.plan import Plan, plan_run
from flows.curate.run import Run
from flows.curate.tracked import tracked
from flows.curate.writing import write_data
from flows.generate.flow import make
from flows.recipe.curation import GENERATED_FOLDER, Recipe
from flows.runtime.artifacts import show_progress
from flows.runtime.tasks import engine_call, stage
from flows.runtime.temporary_server import end_server_with_us
from flows.runtime.trackers import tell_trackers
from flows.versions.copies import copy_run
from flows.versions.output_folder import output_folder, publish
from transforms.consistency.evidence import Evidence
from transforms.records.manifest import Manifest
from transforms.report.codes_in_words import APPENDED_ENDS

logger = logging.getLogger(__name__)


@flow(name="curate", flow_run_name="curate {recipe.name}", persist_result=False)
def curate(recipe: Recipe) -> str:
    """Curate a preference dataset; the version of what now lies in the recipe's output folder."""
    end_server_with_us()
    plan = plan_run(recipe)
    if plan.finished:
        copy_out(plan)
        return plan.finished.version
    manifest = run_stages(plan)
    show_result(manifest, plan.folder)
    return manifest.version


def run_stages(plan: Plan) -> Manifest:
    """Every stage in order. Rows travel through files in the work folder, a part at a time."""
    plan.models.load()  # what is wrong with a tokenizer is said before the last run's files go
    if plan.recipe.truncate.eot == "always":
        logger.warning(APPENDED_ENDS)
    with output_folder(plan.folder, fingerprint=plan.fingerprint, overwrite=plan.recipe.output.overwrite) as work:
        run, evidence = _judged(plan, work)
        while more := pairs_to_make(run):
            shutil.rmtree(work)
            work.mkdir()
            run, evidence = _judged(plan.making(more), work)
        leave_out_the_rest(run)
        with run.timed("write"):
            written = stage("write shards", partial(write_data, run))
        manifest = stage("report", partial(write_pages, run, build_manifest(run, written, evidence), written))
        publish(plan.folder, manifest)
    copy_out(plan)
    tell_trackers(plan.recipe.report_to, tracked(manifest), Path(plan.recipe.output.dir))
    return manifest


def copy_out(plan: Plan) -> None:
    """Copy the finished run to the second place that the recipe names; nothing where it lies there."""
    if plan.recipe.output.copy_to:
        stage("copy", partial(copy_run, plan.folder, plan.recipe.output.copy_to))


def _judged(plan: Plan, work: Path) -> tuple[Run, Evidence | None]:
    """The stages up to a verdict for every pair."""
    run = Run(plan, work)
    show_progress(run.progress)
    if plan.generation:
        with run.timed("generate"):
            run.generated = make(plan.generation, work / GENERATED_FOLDER, engine_call)
    with run.timed("load"):
        buckets = stage("load sources", partial(load, run))
        stage("tokenise and truncate", partial(prepare_parts, run, buckets))
    evidence = estimate(run, engine_call) if run.samples else None
    judge_parts(run, evidence)
    return run, evidence
