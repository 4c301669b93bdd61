"""What a finished run prints: the funnel, the consistency rate, what it cost and where the report is."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from flows.versions.output_folder import read_manifest
from transforms.records.manifest import DecisionRecord, Manifest, RateRecord, SpendRecord
from transforms.report.chat_template import template_in_words
from transforms.report.codes_in_words import ended_in_words, reason_in_words
from transforms.report.remarks import remarks
from transforms.report.replicas import replicas_in_words


def print_summary(console: Console, folder: Path, *, seconds: float, unchanged: bool) -> None:
    """Print what lies in `folder`; says so where nothing had to be done."""
    manifest = read_manifest(folder)
    if manifest is None:
        return
    if unchanged:
        console.print(f"Nothing changed since {manifest.finished_at}: no model was loaded.", style="bold green")
    console.print(funnel_table(manifest))
    if found := manifest.generated:
        console.print(
            f"generated    {found.pairs:,} pairs from {found.responses:,} responses to {found.prompts:,} prompts; "
            f"no more, for {ended_in_words(found.ended)}. {folder / 'generated' / 'report.html'} has the rest",
            highlight=False,
        )
    for about, words in remarks(manifest):
        # Names and texts are strangers': no markup, and no link or colour that Rich would see in them.
        console.print(f"{about:<12} {words}", markup=False, highlight=False, style="yellow" if about == "marks" else "")
    for rate in manifest.consistency:
        if rate.source == "all":
            console.print(_rate_line(rate))
    if manifest.decisions:
        console.print(_decision_line(manifest.decisions))
    if manifest.proxy:
        console.print(f"proxy        {manifest.proxy.why}")
    if manifest.estimator:
        console.print(f"estimator    {manifest.estimator.why}")
    console.print(_token_line(manifest))
    if facts := template_in_words(manifest):
        console.print(f"template     {'; '.join(facts)}", markup=False)
    if not unchanged:
        for name, spend in (("completions", manifest.completions), ("rewards", manifest.scores)):
            if spend:
                console.print(_spend_line(name, spend))
                if by := replicas_in_words(spend):
                    console.print(f"{'':<12} by {by}", markup=False, highlight=False)
        stages = " · ".join(f"{stage} {value:.0f} s" for stage, value in manifest.seconds.items())
        rest = max(seconds - sum(manifest.seconds.values()), 0.0)
        console.print(f"seconds      {seconds:.0f} in all · {stages} · rest {rest:.0f} s")
    console.print(f"dataset      {folder / 'dataset'}  (version {manifest.version})")
    console.print(f"report       {folder / 'report.html'}")


def funnel_table(manifest: Manifest) -> Table:
    """Rows in → kept, dropped by reason, quarantined."""
    counts = manifest.counts
    table = Table(title=f"{manifest.name}: {counts.pairs:,} pairs from {counts.raw_rows:,} rows", title_justify="left")
    table.add_column("pairs", justify="right")
    table.add_column("what became of them")
    splits = ", ".join(f"{rows:,} {name}" for name, rows in counts.splits.items())
    table.add_row(f"{counts.kept:,}", f"[bold green]kept[/] ({splits})")
    for reason, rows in counts.dropped.items():
        table.add_row(f"{rows:,}", f"[yellow]dropped[/] {reason}: {reason_in_words(reason)}")
    table.add_row(f"{counts.quarantined:,}", "[red]quarantined[/] (quarantine.jsonl says why)")
    return table


def _rate_line(rate: RateRecord) -> str:
    against = "the label" if rate.reference == "label" else "the reward model's own order"
    return (
        f"consistency  {rate.rate:.1%} [{rate.low:.1%}, {rate.high:.1%}] against {against} "
        f"({rate.pairs:,} pairs, {rate.sampled:,} sampled)"
    )


def _decision_line(decisions: list[DecisionRecord]) -> str:
    names = {
        "uncut": "nothing cut",
        "proxy": "reward margin",
        "sampling": "posterior sure",
        "n_max": "all completions used",
        "stopped": "more were worth too little",
        "undecided": "undecided",
    }
    counted = " · ".join(f"{names[one.by]} {one.keep + one.drop:,}" for one in decisions)
    cut = sum(one.keep + one.drop for one in decisions if one.by != "uncut")
    spent = sum(one.completions for one in decisions)
    mean = f" ({spent / cut:.1f} completions a cut pair)" if cut else ""
    return f"decided by   {counted}{mean}"


def _token_line(manifest: Manifest) -> str:
    tokens = manifest.tokens
    before = tokens.chosen_before + tokens.rejected_before
    after = tokens.chosen_after + tokens.rejected_after
    saved = 1 - after / before if before else 0.0
    return f"tokens       {before:,} in the kept responses before, {after:,} after truncation ({saved:.1%} saved)"


def _spend_line(name: str, spend: SpendRecord) -> str:
    speed = f", {spend.tokens_generated / spend.seconds:,.0f} tokens/s" if spend.seconds else ""
    return (
        f"{name:<12} {spend.generated:,} made ({spend.tokens_generated:,} tokens{speed}), "
        f"{spend.reused:,} reused from the ledger ({spend.tokens_reused:,} tokens)"
    )
