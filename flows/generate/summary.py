"""What a finished generation prints: prompts to pairs, who answered, who scored, what it cost."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from flows.versions.output_folder import read_generation
from transforms.records.generation import GenerationManifest
from transforms.records.manifest import SpendRecord
from transforms.report.codes_in_words import ended_in_words, unpaired_in_words
from transforms.report.generation_words import remarks
from transforms.report.replicas import replicas_in_words


def print_summary(console: Console, folder: Path, *, seconds: float, unchanged: bool) -> None:
    """Print what lies in `folder`; says so where nothing had to be done."""
    manifest = read_generation(folder)
    if manifest is None:
        return
    if unchanged:
        console.print(f"Nothing changed since {manifest.finished_at}: no model was loaded.", style="bold green")
    console.print(funnel_table(manifest))
    for words in remarks(manifest, None):
        console.print(f"note         {words}", markup=False, highlight=False)
    for voice in manifest.voices:
        share = voice.finished / voice.responses if voice.responses else 0.0
        score = "" if voice.mean_score is None else f", mean score {voice.mean_score:.3f}"
        console.print(
            f"{voice.label:<12} {voice.responses:,} responses of {voice.model.name}, {share:.1%} finished{score}",
            markup=False,
            highlight=False,
        )
    for annotator in manifest.annotators:
        unscored = sum(annotator.unscored.values())
        left = f", {unscored:,} without a score" if unscored else ""
        console.print(
            f"{annotator.label:<12} {annotator.scored:,} responses scored by {annotator.model.name}{left}",
            markup=False,
            highlight=False,
        )
    if not unchanged:
        console.print(_spend("responses", manifest.completions), highlight=False)
        for annotator in manifest.annotators:
            console.print(_spend(annotator.label, annotator.spend), markup=False, highlight=False)
        stages = " · ".join(f"{stage} {value:.0f} s" for stage, value in manifest.seconds.items())
        rest = max(seconds - sum(manifest.seconds.values()), 0.0)
        console.print(f"seconds      {seconds:.0f} in all · {stages} · rest {rest:.0f} s", highlight=False)
    console.print(f"pairs        {folder / 'dataset'}  (version {manifest.version})")
    console.print(f"report       {folder / 'report.html'}")


def funnel_table(manifest: GenerationManifest) -> Table:
    """Prompts in → pairs, prompts without one by reason."""
    counts = manifest.counts
    table = Table(
        title=f"{manifest.name}: {counts.pairs:,} pairs from {counts.drawn:,} of {counts.prompts:,} prompts",
        title_justify="left",
    )
    table.add_column("prompts", justify="right")
    table.add_column("what became of them")
    table.add_row(f"{counts.with_pair:,}", f"[bold green]paired[/] ({counts.pairs:,} pairs)")
    for reason, prompts in counts.without_pair.items():
        table.add_row(f"{prompts:,}", f"[yellow]no pair[/]: {unpaired_in_words(reason)}")
    if counts.prompts > counts.drawn:
        table.add_row(f"{counts.prompts - counts.drawn:,}", f"not drawn: {ended_in_words(counts.ended)}")
    if counts.repeated or counts.weighed_out:
        table.add_row(f"{counts.repeated + counts.weighed_out:,}", "repeated, or left out by a weight")
    table.add_row(f"{counts.quarantined:,}", "[red]quarantined[/] (quarantine.jsonl says why)")
    return table


def _spend(name: str, spend: SpendRecord) -> str:
    speed = f", {spend.tokens_generated / spend.seconds:,.0f} tokens/s" if spend.seconds else ""
    made = f" ({spend.tokens_generated:,} tokens{speed})" if spend.tokens_generated else ""  # a rule reads none
    reused = f" ({spend.tokens_reused:,} tokens)" if spend.tokens_reused else ""
    by = f"\n{'':<12} by {words}" if (words := replicas_in_words(spend)) else ""
    return f"{name:<12} {spend.generated:,} made{made}, {spend.reused:,} reused from the ledger{reused}{by}"
