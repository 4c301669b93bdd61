"""What Prefect's UI shows of decoding rules: reward and distance of each."""

from pathlib import Path

from prefect.artifacts import create_markdown_artifact

from flows.runtime.artifacts import in_a_flow_run, slug
from transforms.records.decoding import Decodings
from transforms.report.decode_page import prompts_in_words


def show_decodings(found: Decodings, folder: Path) -> None:
    """Reward and distance of every decoding rule."""
    if not in_a_flow_run():
        return
    lines = [f"# {found.name}: decoding", "", "| rule | reward | 95 % interval | Σ log(π/π_ref), nats |"]
    lines += ["| --- | ---: | --- | ---: |"]
    lines += [
        f"| {rule.kind} {rule.name} | {rule.reward.value:.2f} | {rule.reward.low:.2f} – {rule.reward.high:.2f} "
        f"| {rule.log_ratio.value:.2f} |"
        for rule in found.rules
    ]
    if found.read is not None:
        lines += ["", f"Prompts: {prompts_in_words(found)}."]
    lines += ["", f"Report: `{(folder / 'decode.html').resolve()}`"]
    key = f"{slug(found.name)}-decode"
    create_markdown_artifact("\n".join(lines), key=key, description="Reward against distance from the reference.")
