"""What trackers are told of a generation: prompts, pairs, scores and cost."""

from flows.runtime.trackers import Tracked, flat, spend_figures
from transforms.records.generation import GenerationManifest


def tracked(manifest: GenerationManifest) -> Tracked:
    """A finished generation as trackers are told of it."""
    settings: dict[str, str | float] = {"made_by": "generate", "version": manifest.version}
    settings["fingerprint"] = manifest.fingerprint
    models = [(one.label, one.model) for one in manifest.voices]
    models += [(one.label, one.model) for one in manifest.annotators]
    for label, model in models:
        settings |= {f"{label}.model": model.name, f"{label}.engine": model.engine}
    settings |= flat("pairing", manifest.config.get("pairing"))
    return Tracked(manifest.name, manifest.fingerprint, settings, _figures(manifest))


def _figures(manifest: GenerationManifest) -> dict[str, float]:
    counts = manifest.counts
    found: dict[str, float] = {
        "prompts/raw_rows": counts.raw_rows,
        "prompts/found": counts.found,
        "prompts/repeated": counts.repeated,
        "prompts/weighed_out": counts.weighed_out,
        "prompts/quarantined": counts.quarantined,
        "prompts/drawn": counts.drawn,
        "prompts/with_pair": counts.with_pair,
        **{f"prompts/without_pair/{why}": prompts for why, prompts in counts.without_pair.items()},
        "responses/all": counts.responses,
        "responses/quarantined": counts.quarantined_responses,
        **{f"responses/status/{status}": responses for status, responses in counts.status.items()},
        "pairs/made": counts.pairs,
        "pairs/beyond": counts.beyond,
        **{f"seconds/{stage}": seconds for stage, seconds in manifest.seconds.items()},
        **spend_figures("completions", manifest.completions),
    }
    if counts.drawn:
        found["prompts/with_pair_share"] = counts.with_pair / counts.drawn
    for voice in manifest.voices:
        found[f"policies/{voice.label}/finished_share"] = voice.finished / voice.responses if voice.responses else 0.0
        if voice.mean_score is not None:
            found[f"policies/{voice.label}/mean_score"] = voice.mean_score
    for annotator in manifest.annotators:
        found |= spend_figures(f"annotators/{annotator.label}", annotator.spend)
        found[f"annotators/{annotator.label}/scored"] = annotator.scored
    accounts = [manifest.completions, *(annotator.spend for annotator in manifest.annotators)]
    found["cost/engine_seconds"] = sum(spend.seconds for spend in accounts)
    return found
