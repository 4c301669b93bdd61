"""Manifest, report and card: what a run says about itself once its data is written."""

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from flows.curate.live_pairs import live_sources
from flows.curate.run import Run
from flows.curate.writing import Written
from flows.models.recipe_models import model_record
from flows.recipe.curation import GENERATED_FOLDER
from flows.versions.fingerprint import git_commit, package_versions
from flows.versions.output_folder import MANIFEST
from transforms.consistency.evidence import Evidence
from transforms.consistency.rates import consistency_rates, decisions, estimator_record, group_rates, proxy_record
from transforms.dataset.curated import curated
from transforms.dataset.shards import file_sha256
from transforms.errors import OutputError
from transforms.preparation.dedupe import DUPLICATE
from transforms.records.generation import GenerationManifest
from transforms.records.manifest import (
    Counts,
    FileRecord,
    GeneratedRecord,
    Manifest,
    ProbeRecord,
    SpendRecord,
    TemplateRecord,
    TokenizerRecord,
)
from transforms.report import render_report
from transforms.report.card import render_card
from transforms.report.examples import Example, choose_examples
from transforms.report.pictures import draw_pictures


def build_manifest(run: Run, written: Written, evidence: Evidence | None) -> Manifest:
    """Everything the run recorded, with its counts checked against each other."""
    policy, reward = run.models.policy, run.models.reward
    return Manifest(
        name=run.recipe.name,
        version=written.version,
        config=run.recipe.model_dump(mode="json"),
        fingerprint=run.fingerprint,
        sources=run.sources,
        tokenizer=TokenizerRecord(name=run.chat.name, sha256=run.chat.sha256, eot=run.chat.eot, eot_id=run.chat.eot_id),
        template=_template_record(run),
        policy=model_record(policy.identity) if policy else None,
        reward=model_record(reward.identity) if reward else None,
        generated=_generated(run.generated, accepted=run.accepted) if run.generated else None,
        packages=package_versions(),
        git_commit=git_commit(),
        counts=checked_counts(run, written),
        tokens=written.tokens,
        **(_consistency(run, evidence) if evidence else {"consistency": []}),
        rounds=run.rounds,
        completions=run.spend.get("completions"),
        scores=run.spend.get("scores"),
        files=[*written.files, *_generated_files(run)],
        seconds={stage: round(seconds, 3) for stage, seconds in run.seconds.items()},
        finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _generated(found: GenerationManifest, *, accepted: bool) -> GeneratedRecord:
    scores = SpendRecord.nothing()
    for annotator in found.annotators:
        scores = scores.plus(annotator.spend)
    return GeneratedRecord(
        version=found.version,
        prompts=found.counts.drawn,
        responses=found.counts.responses,
        pairs=found.counts.pairs,
        ended="accepted" if accepted else found.counts.ended,
        policies=[voice.model for voice in found.voices],
        annotators=[annotator.model for annotator in found.annotators],
        completions=found.completions,
        scores=scores,
    )


def _generated_files(run: Run) -> list[FileRecord]:
    """All that the section `generate` made, below its folder."""
    if run.generated is None:
        return []
    manifest = FileRecord(path=MANIFEST, rows=0, sha256=file_sha256(run.work / GENERATED_FOLDER / MANIFEST))
    return [
        file.model_copy(update={"path": f"{GENERATED_FOLDER}/{file.path}"}) for file in [*run.generated.files, manifest]
    ]


def _template_record(run: Run) -> TemplateRecord:
    chat, policy = run.chat, run.recipe.policy
    asks = chat.template.asked_for_the_date
    return TemplateRecord(
        text=chat.template.text if policy.chat_template else None,
        kwargs=policy.chat_template_kwargs,
        reasoning=policy.reasoning,
        date=run.recipe.chat_template_date.isoformat() if asks else None,
        stops=list(chat.stop_ids),
        before_text=list(chat.lead_ids),
        before_reasoning=list(chat.opens_ids),
        after_text=list(chat.tail_ids),
        changed=run.changed_by_template,
        probes=[ProbeRecord(**probe._asdict()) for probe in run.models.probes],
    )


def _consistency(run: Run, evidence: Evidence) -> dict[str, Any]:
    """What the evidence says of the dataset: rates, groups, decisions and the proxy."""
    recipe, first = run.recipe, run.recipe.sampling.first_round
    threshold = recipe.consistency.threshold
    return {
        "consistency": consistency_rates(evidence, live_sources(run), first),
        "groups": group_rates(evidence, first),
        "decisions": decisions(evidence),
        "proxy": proxy_record(evidence, threshold=threshold, accepted_error=recipe.proxy.error, first=first)
        if recipe.proxy
        else None,
        "estimator": estimator_record(evidence),
    }


def checked_counts(run: Run, written: Written) -> Counts:
    """The funnel's counts.

    Raises:
        OutputError: they do not add up, which is a bug in this project: nothing may be lost silently.
    """
    reasons = written.rows.select("reason").drop_nulls().group_by("reason").agg(pl.len())
    dropped = dict(reasons.sort(-pl.col("len").cast(pl.Int64), "reason").collect(engine="streaming").iter_rows())
    counts = Counts(
        raw_rows=sum(record.raw_rows for record in run.sources),
        pairs=sum(record.pairs for record in run.sources),
        kept=sum(written.splits.values()),
        dropped=dropped,
        quarantined=sum(stage.quarantined for stage in run.stages),
        splits=written.splits,
        stages=run.stages,
        contradictions=run.contradictions,
        contradicting=run.contradicting,
        unmeasured=dict(run.unmeasured),
    )
    accounted = counts.kept + sum(dropped.values()) + counts.quarantined
    on_disk = run.quarantined_on_disk()
    if accounted != counts.pairs or dropped != run.dropped or on_disk != counts.quarantined:
        message = (
            f"the counts do not add up: {counts.pairs} pairs came in, {counts.kept} kept + "
            f"{sum(dropped.values())} dropped + {counts.quarantined} quarantined ({on_disk} on disk) came out, "
            f"stages recorded {run.dropped}. This is a bug; please report it with the recipe"
        )
        raise OutputError(message)
    return counts


def write_pages(run: Run, manifest: Manifest, written: Written) -> Manifest:
    """Write report.html, the figures and README.md; the manifest with the hashes of all files."""
    (run.work / "report.html").write_text(
        render_report(manifest, written.rows, _examples(run, written.rows)), encoding="utf-8"
    )
    (run.work / "figures").mkdir()
    pictures = {f"figures/{name}.png": png for name, png in draw_pictures(manifest, written.rows).items()}
    for path, png in pictures.items():
        (run.work / path).write_bytes(png)
    pages = {"quarantine.jsonl": manifest.counts.quarantined, "report.html": 0} | dict.fromkeys(pictures, 0)
    manifest = _with_files(run, manifest, pages)
    # The card links to the files that the manifest has.
    (run.work / "README.md").write_text(render_card(manifest), encoding="utf-8")
    return _with_files(run, manifest, {"README.md": 0})


def _with_files(run: Run, manifest: Manifest, rows: dict[str, int]) -> Manifest:
    """The manifest with the hashes of more files, each with its number of rows."""
    more = [FileRecord(path=path, rows=count, sha256=file_sha256(run.work / path)) for path, count in rows.items()]
    return manifest.model_copy(update={"files": [*manifest.files, *more]})


def _examples(run: Run, rows: pl.LazyFrame) -> list[Example]:
    wanted = choose_examples(rows)
    found = [part.filter(pc.is_in(part["pair_id"], pa.array(wanted, pa.string()))) for part in run.judged]
    texts = curated(pa.concat_tables(found), run.chat).to_pylist()
    # A kept pair and its dropped duplicates share an id; the kept one is meant.
    by_id = {row["pair_id"]: Example.of(row) for row in texts if row["reason"] != DUPLICATE}
    return [by_id[key] for key in wanted]
