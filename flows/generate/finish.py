"""Manifest, report and card: what a generation says about itself once its data is written."""

from collections import Counter
from datetime import UTC, datetime

import numpy as np

from flows.generate.pairing import Paired, agreement_records, length_record, reliability_record
from flows.generate.run import Floats, GenerationRun
from flows.generate.shown import pair_rows, prompts_to_read, quarantined, response_rows
from flows.generate.voices import FoundPolicy
from flows.generate.writing import Written
from flows.models.recipe_models import model_record
from flows.versions.fingerprint import git_commit, package_versions
from transforms.dataset.shards import file_sha256
from transforms.errors import OutputError
from transforms.records.generation import AnnotatorRecord, GenerationCounts, GenerationManifest, VoiceRecord
from transforms.records.manifest import FileRecord, TokenizerRecord
from transforms.report.generation_card import render_generation_card
from transforms.report.generation_page import render_generation
from transforms.report.generation_words import longer_chosen
from transforms.report.pictures import draw_generation


def build_manifest(run: GenerationRun, paired: Paired, written: Written) -> GenerationManifest:
    """Everything the run recorded, with its counts checked against each other."""
    config, scored = run.config, paired.scored
    return GenerationManifest(
        name=config.name,
        version=written.version,
        config=config.settings(),
        fingerprint=run.plan.fingerprint,
        sources=run.plan.sources,
        voices=_voices(run, paired, written),
        annotators=_annotators(run),
        agreement=agreement_records(paired) if len(run.plan.annotators) > 1 else [],
        reliability=[
            reliability_record(annotator.label, judged, scored.scores[:, at], scored.prompt)
            for at, (annotator, judged) in enumerate(zip(run.plan.annotators, run.judged, strict=True))
        ],
        length=length_record(paired, applied=config.pairing.length_controlled),
        counts=_counts(run, paired, written),
        completions=run.spend,
        files=written.files,
        packages=package_versions(),
        git_commit=git_commit(),
        seconds={stage: round(seconds, 3) for stage, seconds in run.seconds.items()},
        finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def write_pages(
    run: GenerationRun, manifest: GenerationManifest, paired: Paired, written: Written
) -> GenerationManifest:
    """Write report.html, the figures and README.md; the manifest with the hashes of all files."""
    responses, pairs = response_rows(run, paired), pair_rows(paired)
    examples = prompts_to_read(run, paired, responses, pairs)
    page = render_generation(manifest, responses, pairs, examples, quarantined(run))
    (run.work / "report.html").write_text(page, encoding="utf-8")
    (run.work / "figures").mkdir()
    pictures = {f"figures/{name}.png": png for name, png in draw_generation(manifest, responses, pairs).items()}
    for path, png in pictures.items():
        (run.work / path).write_bytes(png)
    lines = manifest.counts.quarantined + manifest.counts.quarantined_responses
    manifest = _with_files(run, manifest, {"quarantine.jsonl": lines, "report.html": 0} | dict.fromkeys(pictures, 0))
    # The card shows the figures that the manifest has.
    card = render_generation_card(manifest, longer_chosen(responses, pairs))
    (run.work / "README.md").write_text(card, encoding="utf-8")
    return _with_files(run, manifest, {"README.md": 0})


def _with_files(run: GenerationRun, manifest: GenerationManifest, rows: dict[str, int]) -> GenerationManifest:
    """The manifest with the hashes of more files, each with its number of rows."""
    more = [FileRecord(path=path, rows=count, sha256=file_sha256(run.work / path)) for path, count in rows.items()]
    return manifest.model_copy(update={"files": [*manifest.files, *more]})


def _counts(run: GenerationRun, paired: Paired, written: Written) -> GenerationCounts:
    """The funnel's counts.

    Raises:
        OutputError: they do not add up, which is a bug in this project: nothing may be lost silently.
    """
    prompted, account = run.prompted, paired.pairs.account
    status = sum((Counter(states) for states in written.status.values()), Counter[str]())
    on_disk = run.quarantined_on_disk()
    counts = GenerationCounts(
        raw_rows=sum(source.raw_rows for source in run.plan.sources),
        found=prompted.found,
        repeated=prompted.repeated,
        weighed_out=prompted.weighed_out,
        quarantined=prompted.quarantined,
        prompts=prompted.prompts,
        drawn=run.drawn,
        ended=run.ended,
        responses=len(paired.score),
        status=dict(status),
        with_pair=account.paired,
        without_pair={why: count for why, count in account.unpaired.items() if count},
        pairs=account.pairs - paired.beyond,
        beyond=account.beyond + paired.beyond,
        quarantined_responses=run.quarantined_responses,
    )
    sums = {
        "found = prompts + repeated + weighed out + quarantined": (
            counts.found,
            counts.prompts + counts.repeated + counts.weighed_out + counts.quarantined,
        ),
        "drawn = with pairs + without": (counts.drawn, counts.with_pair + sum(counts.without_pair.values())),
        "responses = drawn × responses a prompt": (counts.responses, counts.drawn * run.responses_a_prompt),
        "responses by status": (counts.responses, sum(counts.status.values())),
        "lines of quarantine.jsonl": (on_disk, counts.quarantined + counts.quarantined_responses),
        "pairs on disk": (counts.pairs, sum(f.rows for f in written.files if f.path.startswith("dataset/"))),
    }
    for what, (left, right) in sums.items():
        if left != right:
            message = f"the counts do not add up: {what}: {left} and {right}. This is a bug; please report it"
            raise OutputError(message)
    return counts


def _voices(run: GenerationRun, paired: Paired, written: Written) -> list[VoiceRecord]:
    names = np.array([name for part in run.answers for name in part["policy"].to_pylist()], object)
    return [_voice(policy, names == policy.label, paired, written) for policy in run.plan.policies]


def _voice(policy: FoundPolicy, mine: Floats, paired: Paired, written: Written) -> VoiceRecord:
    chat, label = policy.chat, policy.label
    rows = np.flatnonzero(mine)
    score = paired.score[rows]
    prompts = paired.scored.prompt[rows]
    distinct = len({(int(prompt), paired.texts[row]) for prompt, row in zip(prompts, rows, strict=True)})
    return VoiceRecord(
        label=label,
        model=model_record(policy.model.identity),
        interpolation=policy.made_of,
        tokenizer=TokenizerRecord(name=chat.name, sha256=chat.sha256, eot=chat.eot, eot_id=chat.eot_id),
        responses=len(rows),
        finished=int(paired.scored.finished[rows].sum()),
        status=written.status[label],
        tokens=int(paired.scored.tokens[rows].sum()),
        distinct=distinct / len(rows) if len(rows) else 0.0,
        chosen=written.chosen.get(label, 0),
        rejected=written.rejected.get(label, 0),
        mean_score=None if np.isnan(score).all() else float(np.nanmean(score)),
    )


def _annotators(run: GenerationRun) -> list[AnnotatorRecord]:
    found = []
    for annotator, config, judged in zip(run.plan.annotators, run.config.annotators, run.judged, strict=True):
        scores = np.concatenate([np.zeros(0), *judged.scores])
        scores = scores[~np.isnan(scores)]
        found.append(
            AnnotatorRecord(
                label=annotator.label,
                kind=config.kind,
                model=model_record(annotator.identity),
                objectives=list(annotator.objectives),
                pairwise=bool(judged.margin),
                scored=len(scores),
                unscored=dict(judged.unscored.most_common()),
                mean=float(scores.mean()) if len(scores) else None,
                sd=float(scores.std()) if len(scores) else None,
                spend=annotator.spend,
                price=annotator.spend.price,
            )
        )
    return found
