"""The audit as a Prefect flow."""

import tempfile
from functools import partial
from pathlib import Path
from typing import Final

from prefect import flow

from flows.audit.artifacts import show_audit
from flows.audit.stages import audit_run
from flows.curate.loading import load, prepare_parts
from flows.curate.plan import plan_run
from flows.curate.run import Run
from flows.recipe.curation import Recipe
from flows.runtime.artifacts import show_progress
from flows.runtime.tasks import engine_call, stage
from flows.runtime.temporary_server import end_server_with_us
from flows.versions.output_folder import write_text
from transforms.preparation.truncation import Truncation
from transforms.records.audit import Audit, AuditSettings
from transforms.report.audit_page import render_audit

DEFAULTS: Final = AuditSettings()


@flow(name="audit", flow_run_name="audit {recipe.name}", persist_result=False)
def audit(recipe: Recipe, folder: Path, settings: AuditSettings = DEFAULTS) -> Audit:
    """Measure what truncation would do to a dataset; audit.json and audit.html go to `folder`.

    Args:
        recipe: as for curate; its own truncation is replaced by each one under audit.
        folder: where the result goes.
        settings: how much to look at.
    """
    end_server_with_us()
    whole = Truncation(method="none", max_length=recipe.truncate.max_length)
    plan = plan_run(recipe.model_copy(update={"truncate": whole, "report_to": ()}))
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".work-") as work:
        run = Run(plan, Path(work))
        show_progress(run.progress)
        buckets = stage("load sources", partial(load, run))
        stage("tokenise", partial(prepare_parts, run, buckets))
        found = audit_run(run, engine_call, settings)
    write_text(folder / "audit.json", found.model_dump_json(indent=2))
    write_text(folder / "audit.html", render_audit(found))
    show_audit(found, folder)
    return found
