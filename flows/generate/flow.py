"""`python -m flows.generate`: prompts in, scored responses and preference pairs out.

`generate` is the list of the stages. As for a curation, restart comes from the ledger and the manifest.
"""

from functools import partial
from pathlib import Path

from prefect import flow

from flows.generate.annotating import annotate
from flows.generate.answering import answer
from flows.generate.artifacts import show_generation
from flows.generate.drawing import next_wave
from flows.generate.finish import build_manifest, write_pages
from flows.generate.pairing import Paired, pair_up
from flows.generate.plan import GenerationPlan, plan_generation
from flows.generate.prompts import read_prompts
from flows.generate.run import GenerationRun
from flows.generate.sources import load
from flows.generate.tracked import tracked
from flows.generate.writing import write_data
from flows.models.engine_calls import Pay
from flows.recipe.generation import Generation
from flows.runtime.artifacts import show_progress
from flows.runtime.tasks import engine_call, stage
from flows.runtime.temporary_server import end_server_with_us
from flows.runtime.trackers import tell_trackers
from flows.versions.copies import copy_run
from flows.versions.output_folder import output_folder, publish
from transforms.records.generation import GenerationManifest


@flow(name="generate", flow_run_name="generate {config.name}", persist_result=False)
def generate(config: Generation) -> str:
    """Make preference pairs from prompts; the version of what now lies in the recipe's output folder."""
    end_server_with_us()
    plan = plan_generation(config)
    if plan.finished:
        copy_out(plan)
        return plan.finished.version
    manifest = make(plan, plan.folder, engine_call)
    copy_out(plan)
    show_generation(manifest, plan.folder)
    return manifest.version


def copy_out(plan: GenerationPlan) -> None:
    """Copy the finished generation to the second place that the recipe names; nothing where it lies there."""
    if plan.config.output.copy_to:
        stage("copy", partial(copy_run, plan.folder, plan.config.output.copy_to))


def make(plan: GenerationPlan, folder: Path, pay: Pay) -> GenerationManifest:
    """Make what a plan says in a folder; nothing half-made there ever looks complete.

    Args:
        plan: with everything found.
        folder: where it goes, the plan's own or a curation's work folder.
        pay: calls a batch of expensive work by a name, and again if its engine fails.
    """
    for policy in plan.policies:
        _ = policy.voice  # what is wrong with a tokenizer is said before the last run's files go
    overwrite = plan.config.output.overwrite
    with output_folder(folder, fingerprint=plan.fingerprint, overwrite=overwrite) as work:
        run = GenerationRun(plan, work)
        show_progress(run.progress)
        manifest = run_generation(run, pay)
        publish(folder, manifest)
    tell_trackers(plan.config.report_to, tracked(manifest), folder)
    return manifest


def run_generation(run: GenerationRun, pay: Pay) -> GenerationManifest:
    """Every stage in order, into the run's work folder; whoever calls it says that the folder is complete.

    Args:
        run: just made.
        pay: calls a batch of expensive work by a name, and again if its engine fails.
    """
    with run.timed("load"):
        buckets = stage("load prompts", partial(load, run))
        stage("tokenise prompts", partial(read_prompts, run, buckets))
    paired: Paired | None = None
    while count := next_wave(run, paired):
        first_part = len(run.answers)
        with run.timed("answer"):
            answer(run, run.drawn, count, pay)
        run.drawn += count
        with run.timed("annotate"):
            annotate(run, first_part, pay)
        paired = stage("pair", partial(pair_up, run))
    paired = paired or pair_up(run)
    with run.timed("write"):
        written = stage("write shards", partial(write_data, run, paired))
        return stage("report", partial(write_pages, run, build_manifest(run, paired, written), paired, written))
