"""What Prefect's UI shows of a run: progress, funnel, consistency, cost and where the report lies."""

from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.context import FlowRunContext

from flows.publish.publication import Publication
from flows.refresh.stages import Refreshed
from flows.runtime.progress import Progress
from flows.train.output import MODEL
from flows.train.record import TrainingRecord
from flows.train.summary import figures
from transforms.records.audit import Audit
from transforms.records.comparison import Comparison
from transforms.records.decoding import Decodings
from transforms.records.evaluation import AccuracyRecord, Evaluation, SectionRecord
from transforms.records.manifest import Manifest, SourceRecord, SpendRecord
from transforms.report.codes_in_words import reason_in_words
from transforms.report.comparison_words import AT, headline, points, share
from transforms.report.pictures import draw_funnel
from transforms.report.remarks import remarks
from transforms.text import one_line, visible_plain


def show_progress(progress: Progress) -> None:
    """Let a run's bars appear in the UI too, where there is a flow run to show them in."""
    if FlowRunContext.get() is not None:
        progress.ui = _update


def show_result(manifest: Manifest, folder: Path) -> None:
    """Funnel, consistency and figures of a finished run."""
    if FlowRunContext.get() is None:
        return
    slug = _slug(manifest.name)
    create_table_artifact(_funnel(manifest), key=f"{slug}-funnel", description="What became of every pair.")
    create_markdown_artifact(_markdown(manifest, folder), key=f"{slug}-result", description="The run at a glance.")


def show_refresh(done: Refreshed, folder: Path) -> None:
    """What a refresh changed and what it paid; a funnel where it brought another run."""
    if FlowRunContext.get() is None:
        return
    slug = _slug(done.manifest.name)
    create_markdown_artifact(_changes(done, folder), key=f"{slug}-refresh", description=done.message)
    create_table_artifact(_bill(done), key=f"{slug}-paid", description="What this refresh paid for.")
    if done.publication:
        show_publication(done.publication)
    if done.changed:
        show_result(done.manifest, folder)


def show_audit(audit: Audit, folder: Path) -> None:
    """Advice and rates of a finished audit."""
    if FlowRunContext.get() is None:
        return
    lines = [f"# {audit.name}: audit", "", *[f"- {sentence}" for sentence in audit.advice], ""]
    lines += ["| cut | consistency | 95 % interval | tokens saved | verdict |", "| --- | ---: | --- | ---: | --- |"]
    lines += [
        f"| {m.name} | {m.consistency.value:.1%} | {m.consistency.low:.1%} – {m.consistency.high:.1%} "
        f"| {m.tokens_saved:.1%} | {m.verdict} |"
        for m in audit.methods
    ]
    lines += ["", f"Report: `{(folder / 'audit.html').resolve()}`"]
    key = f"{_slug(audit.name)}-audit"
    create_markdown_artifact("\n".join(lines), key=key, description="What truncation would do to this data.")


def show_decodings(found: Decodings, folder: Path) -> None:
    """Reward and distance of every decoding rule."""
    if FlowRunContext.get() is None:
        return
    lines = [f"# {found.name}: decoding", "", "| rule | reward | 95 % interval | Σ log(π/π_ref), nats |"]
    lines += ["| --- | ---: | --- | ---: |"]
    lines += [
        f"| {rule.kind} {rule.name} | {rule.reward.value:.2f} | {rule.reward.low:.2f} – {rule.reward.high:.2f} "
        f"| {rule.log_ratio.value:.2f} |"
        for rule in found.rules
    ]
    lines += ["", f"Report: `{(folder / 'decode.html').resolve()}`"]
    key = f"{_slug(found.name)}-decode"
    create_markdown_artifact("\n".join(lines), key=key, description="Reward against distance from the reference.")


def show_evaluation(evaluation: Evaluation, folder: Path) -> None:
    """Accuracies of a finished evaluation."""
    if FlowRunContext.get() is None:
        return
    lines = [f"# {evaluation.name}: evaluation", ""]
    lines += ["| model | of | pairs | accuracy | 95 % interval |", "| --- | --- | ---: | ---: | --- |"]
    for what, found in (("reward model", evaluation.reward), ("policy", evaluation.policy)):
        if found:
            lines += [_accuracy(what, f"{r.source} {r.subset or ''}".rstrip(), r) for r in found.accuracy]
            lines += [_accuracy(what, f"{r.source} {r.section}", r) for r in found.sections]
    lines += ["", f"Report: `{(folder / 'evaluation.html').resolve()}`"]
    create_markdown_artifact("\n".join(lines), key=f"{_slug(evaluation.name)}-evaluation", description="Accuracies.")


def _accuracy(what: str, name: str, row: AccuracyRecord | SectionRecord) -> str:
    return f"| {what} | {_as_code(name)} | {row.pairs} | {row.value:.1%} | {row.low:.1%} – {row.high:.1%} |"


def _as_code(name: str, limit: int = 80) -> str:
    # Sources and subsets are named by strangers: as code, without what would end it or the cell.
    safe = one_line(visible_plain(name), limit).replace("`", "'").replace("|", "/")
    return f"`{safe}`"


def show_training(record: TrainingRecord, folder: Path) -> None:
    """What a finished training changed, and where the model lies."""
    if FlowRunContext.get() is None:
        return
    lines = [f"# {record.name}: {record.objective['name']}", "", "| | before | after |", "| --- | ---: | ---: |"]
    lines += [f"| {words} | {before:.4f} | {after:.4f} |" for words, before, after in figures(record)]
    lines += ["", f"Model: `{(folder / MODEL).resolve()}`"]
    key = f"{_slug(record.name)}-training"
    create_markdown_artifact("\n".join(lines), key=key, description="What training changed.")


def show_comparison(found: Comparison, folder: Path) -> None:
    """The answer, and each variant's accuracy at each budget."""
    if FlowRunContext.get() is None:
        return
    lines = [f"# {found.name}: {headline(found)}", ""]
    lines += [f"| | variant | accuracy | minus {found.first}, points |", "| --- | --- | ---: | ---: |"]
    lines += [
        f"| {AT[one.budget]} | {one.variant} | {share(one.accuracy)} "
        f"| {points(one.difference.accuracy) if one.difference else ''} |"
        for one in found.standings
    ]
    lines += ["", f"{len(found.failures)} failed. Report: `{(folder / 'comparison.html').resolve()}`"]
    key = f"{_slug(found.name)}-comparison"
    create_markdown_artifact("\n".join(lines), key=key, description="Whether curation helps.")


def show_publication(made: Publication) -> None:
    """What is on the Hub now."""
    if FlowRunContext.get() is None:
        return
    lines = [f"# [{made.repo}]({made.url}) {made.tag}", ""]
    lines += ["Nothing new: it was there."] if made.unchanged else [f"- {reason}" for reason in made.why]
    lines += ["", f"Commit `{made.commit}`, version `{made.version}`, {made.files} files, {made.bytes:,} bytes."]
    create_markdown_artifact("\n".join(lines), key=f"{_slug(made.repo)}-published", description="On the Hub.")


def _bill(done: Refreshed) -> list[dict[str, str | int]]:
    nothing = SpendRecord.nothing()
    spends = {"completions": done.manifest.completions, "rewards": done.manifest.scores}
    rows: list[dict[str, str | int]] = []
    for what, spend in spends.items():
        paid = (spend if done.ran else None) or nothing
        rows.append(
            {"what": what, "made now": paid.generated, "tokens": paid.tokens_generated, "from the ledger": paid.reused}
        )
    return rows


def _changes(done: Refreshed, folder: Path) -> str:
    before, now = done.before, done.manifest
    lines = [f"# {now.name}", "", f"Run: `{folder.resolve()}`", "", "| | before | now |", "| --- | --- | --- |"]
    facts: list[tuple[str, Callable[[Manifest], str]]] = [
        ("version", lambda one: f"`{one.version}`"),
        ("made at", lambda one: one.finished_at.removesuffix("+00:00").replace("T", " ")),
        ("pairs in", lambda one: f"{one.counts.pairs:,}"),
        ("kept", lambda one: f"{one.counts.kept:,}"),
        ("dropped", lambda one: f"{sum(one.counts.dropped.values()):,}"),
        ("quarantined", lambda one: f"{one.counts.quarantined:,}"),
        ("consistency", _overall),
    ]
    lines += [f"| {name} | {fact(before) if before else ''} | {fact(now)} |" for name, fact in facts]
    known = {source.label: _holds(source) for source in before.sources} if before else {}
    for source in now.sources:
        label = _as_code(source.label)
        lines.append(f"| source {label} | {known.get(source.label, '')} | {_holds(source)} |")
    return "\n".join(lines)


def _overall(manifest: Manifest) -> str:
    rate = next((one for one in manifest.consistency if one.source == "all"), None)
    return f"{rate.rate:.1%} ({rate.low:.1%} – {rate.high:.1%})" if rate else "not sampled"


def _holds(source: SourceRecord) -> str:
    return f"{source.pairs:,} pairs at `{(source.revision or source.fingerprint)[:12]}`"


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name.lower()).strip("-")


def _update(artifact: UUID | None, description: str, percent: float) -> UUID:
    if artifact is None:
        created = create_progress_artifact(percent, description=description)
        return created if isinstance(created, UUID) else UUID(str(created))
    update_progress_artifact(artifact, percent, description=description)
    return artifact


def _funnel(manifest: Manifest) -> list[dict[str, str | int]]:
    counts = manifest.counts
    rows: list[dict[str, str | int]] = [{"pairs": counts.pairs, "what": "came in", "why": ""}]
    rows.append({"pairs": counts.kept, "what": "kept", "why": ""})
    rows += [
        {"pairs": number, "what": "dropped", "why": reason_in_words(reason)}
        for reason, number in counts.dropped.items()
    ]
    rows.append({"pairs": counts.quarantined, "what": "quarantined", "why": "see quarantine.jsonl"})
    return rows


def _markdown(manifest: Manifest, folder: Path) -> str:
    lines = [f"# {manifest.name}", "", f"Version `{manifest.version}` in `{folder}`.", ""]
    # As a data URI: the UI shows pictures in markdown, and no file of this machine.
    lines += [f"![funnel](data:image/png;base64,{b64encode(draw_funnel(manifest.counts)).decode()})", ""]
    if said := remarks(manifest):
        lines += [*(f"- {about}: {_as_code(words, 400)}" for about, words in said), ""]
    if manifest.consistency:
        lines += ["| source | against | pairs | consistency | 95 % interval |", "| --- | --- | ---: | ---: | --- |"]
        lines += [
            f"| {rate.source} | {rate.reference} | {rate.pairs} | {rate.rate:.1%} | {rate.low:.1%} – {rate.high:.1%} |"
            for rate in manifest.consistency
        ]
    for name, spend in (("completions", manifest.completions), ("rewards", manifest.scores)):
        if spend:
            lines += ["", f"**{name}**: {spend.generated:,} made, {spend.reused:,} reused from the ledger."]
    lines += ["", f"Report: `{(folder / 'report.html').resolve()}`"]
    return "\n".join(lines)
