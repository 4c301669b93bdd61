"""What Prefect's UI shows of a refresh: what it changed, what it paid, where it went."""

from collections.abc import Callable
from pathlib import Path

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from flows.curate.artifacts import show_result
from flows.publish.artifacts import show_publication
from flows.refresh.stages import Refreshed
from flows.runtime.artifacts import as_code, in_a_flow_run, slug
from transforms.records.manifest import Manifest, SourceRecord, SpendRecord


def show_refresh(done: Refreshed, folder: Path) -> None:
    """What a refresh changed and what it paid; a funnel where it brought another run."""
    if not in_a_flow_run():
        return
    key = slug(done.manifest.name)
    create_markdown_artifact(_changes(done, folder), key=f"{key}-refresh", description=done.message)
    create_table_artifact(_bill(done), key=f"{key}-paid", description="What this refresh paid for.")
    if done.publication:
        show_publication(done.publication)
    if done.changed:
        show_result(done.manifest, folder)


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
        label = as_code(source.label)
        lines.append(f"| source {label} | {known.get(source.label, '')} | {_holds(source)} |")
    return "\n".join(lines)


def _overall(manifest: Manifest) -> str:
    rate = next((one for one in manifest.consistency if one.source == "all"), None)
    return f"{rate.rate:.1%} ({rate.low:.1%} – {rate.high:.1%})" if rate else "not sampled"


def _holds(source: SourceRecord) -> str:
    return f"{source.pairs:,} pairs at `{(source.revision or source.fingerprint)[:12]}`"
