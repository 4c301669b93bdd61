"""The page beside exported files: what each is, how its tool reads it, and what that does at the end of a turn."""

from typing import Final

from flows.export.export import FIGURE, LEFT_OUT_FILE
from transforms.exports.layouts import KTO
from transforms.exports.pairs import LEFT_OUT
from transforms.exports.thresholds import EVEN_SPREAD, ONE_HEAP
from transforms.records.export import ExportedFile, ExportRecord, GenerationPart, ThresholdRecord
from transforms.report.markdown import Trusted, code
from transforms.text import percent

# What a tool appends, where it was read or run, and what is left to do about it there.
_ENDS: Final = {
    "trl": "TRL 1.16 renders each response with the chat template, which ends the turn. Hand over token ids instead "
    "(`docs/how-to/use-in-trl.md` of the project), or leave those rows out.",
    KTO: "KTOTrainer of TRL 1.16 renders each response with the chat template, which ends the turn, and takes no token "
    "ids of a dataset. Leave those rows out.",
    "nemo_rl": "NeMo RL appends the eos token wherever the template has not. Leave those rows out.",
    "openrlhf": "OpenRLHF 0.11 writes the eos token over the last token of every sequence. Leave those rows out.",
}
# Of runs that end every response themselves.
_WANTED: Final = (
    "So the run wants it (`truncate.eot: always`, for reproducing Shallow Preference Signals): its own trainings read "
    "one there too. It teaches a policy to stop in mid-sentence."
)
_LEAVE_OUT: Final = {
    KTO: 'rows.filter(lambda row: not row["completion_cut"])',
    "trl": 'rows.filter(lambda row: not (row["chosen_cut"] or row["rejected_cut"]))',
}


def render_readme(record: ExportRecord) -> str:
    """README.md of the folder."""
    commit = f" at {record.commit[:12]}" if record.commit else ""
    layouts = list(dict.fromkeys(file.layout for file in record.files))
    told = f", and `{LEFT_OUT_FILE}` a line for each row that is in no file, with its reason"
    left_out = told if any(file.left_out for file in record.files) else ""
    parts = [
        f"# {code(record.name)}, exported",
        f"Made by `python -m flows.export` of {code(record.where)}{commit}, version {code(record.version)}. "
        f"{_rows(record.generation)} `export.json` has the numbers of this page{left_out}.",
        _file_table(record.files),
        "## End of turn",
        *end_of_turn(record),
        "A row says it: `chosen_cut` and `rejected_cut` (of kto `completion_cut`), true where the kept tokens have no "
        "end-of-turn, and `…_finished`, false where the response did not end by itself. The tools read none of these. "
        f"`python -m flows.train` of the project trains on the token ids{_once_curated(record.generation)} and appends "
        f"{'what the run says' if record.appended else 'nothing'}. To leave such rows out:",
        _leave_out(layouts),
        *(part for layout in layouts for part in (f"## {layout}", *_HOW[layout])),
        *(_threshold(record.threshold) if record.threshold else ()),
    ]
    return "\n\n".join(parts) + "\n"


def generation_in_words(part: GenerationPart) -> Trusted:
    """How many responses there are, how many of them are in pairs, and who scored them."""
    return Trusted(
        f"A generation: {part.responses:,} responses to {part.prompts:,} prompts, of which {part.in_pairs:,} are in "
        f"{part.pairs:,} pairs. Scores are the {_scores(part)}."
    )


def _scores(part: GenerationPart) -> str:
    names = ", ".join(map(code, part.annotators))
    if len(part.annotators) == 1:
        return f"annotator's ({names})"
    return f"aggregate ({code(part.aggregate)}) of {len(part.annotators)} annotators ({names})"


def _rows(part: GenerationPart | None) -> str:
    if part is None:
        return "A row is a kept pair (of kto a response); `chosen` and `rejected` are the kept tokens as text."
    return (
        f"{generation_in_words(part)} A row is a pair; of kto a response, of all of them, with `side` where it is in a "
        "pair (`both`: chosen in one, rejected in another). Responses are whole, without reasoning where the recipe "
        "cuts it."
    )


def _once_curated(part: GenerationPart | None) -> str:
    return " of a generation once it is curated (`kind: generated`)" if part else ""


def end_of_turn(record: ExportRecord) -> list[Trusted]:
    """A sentence a layout: of how many responses it is so, and what to do."""
    said = []
    for layout in dict.fromkeys(file.layout for file in record.files):
        files = [file for file in record.files if file.layout == layout]
        ends, responses, unfinished = (
            sum(getattr(file, name) for file in files) for name in ("without_end", "responses", "unfinished")
        )
        if ends:
            counted = (
                f"{ends:,} of {responses:,} responses were cut or never finished ({unfinished:,} of them the latter)"
            )
            if record.appended:
                said.append(Trusted(f"**{layout}**: {counted}, and get an end-of-turn all the same. {_WANTED}"))
                continue
            said.append(Trusted(f"**{layout}**: {counted}, and would get an end-of-turn all the same. {_ENDS[layout]}"))
        else:
            said.append(Trusted(f"**{layout}**: all {responses:,} responses end by themselves."))
    return said


def in_words(left_out: dict[str, int]) -> str:
    """`3 tools, 1 repeated`, and a dash for none."""
    return ", ".join(f"{number:,} {reason}" for reason, number in left_out.items()) or "–"


def threshold_in_words(found: ThresholdRecord) -> list[str]:
    """What labels a response, what it says of chosen and rejected, and the weights."""
    how = {
        "otsu": "it parts the scores with the greatest between-class variance (Otsu 1979)",
        "median": "the median of all responses",
        "given": "as given",
    }[found.method]
    scale = {
        "reward": "reward model's rewards",
        "source": "source's scores",
        "aggregate": "generation's scores",
    }[found.score]
    several = f"; {found.several_scores:,} have several scores, whose mean counts" if found.several_scores else ""
    band = f"; what is less than {found.margin:g} away from it is left out" if found.margin else ""
    ratio = found.desirable / found.undesirable
    lambdas = f"desirable_weight={found.desirable_weight:.4g} and undesirable_weight={found.undesirable_weight:.4g}"
    ranges = (f"{low:.3g} to {high:.3g}" for low, high in (found.desirable_range, found.undesirable_range))
    alone = "desirable_weight {} with undesirable_weight 1, or undesirable_weight {} with desirable_weight 1".format(
        *ranges
    )
    return [
        f"Desirable is a score of {found.value:.6g} and more: {how}{band}. Scores are the {scale} of "
        f"{found.responses:,} different responses of {found.split}{several}.",
        f"The two classes explain {percent(found.separation)} of the scores' variance. A normal heap in two halves "
        f"explains {percent(ONE_HEAP)}, an even spread {percent(EVEN_SPREAD)}{_gap(found.separation)}.",
        f"{found.chosen_below:,} of {found.chosen:,} chosen responses lie below the threshold, and "
        f"{found.rejected_above:,} of {found.rejected:,} rejected ones do not.{_unpaired(found)}",
        f"{found.split} has {found.desirable:,} desirable and {found.undesirable:,} undesirable rows, "
        f"{ratio:.3g} to 1. Set {lambdas}. KTO asks for λ_D n_D / (λ_U n_U) between 1 and 4/3: {alone}.",
    ]


def _unpaired(found: ThresholdRecord) -> str:
    if found.unpaired is None:
        return ""
    return f" Of {found.unpaired:,} responses in no pair {found.unpaired_above:,} are desirable."


def _gap(separation: float) -> str:
    if separation > EVEN_SPREAD:
        return ""
    return ": nothing says that there are two groups, and --margin leaves out what is near the threshold"


def _threshold(found: ThresholdRecord) -> list[str]:
    # In Markdown an underscore between letters is no markup, and these sentences hold no words of strangers.
    scores = (
        "A score is of the response as the annotators were shown it, and says how good it is among all: whether it is "
        "in a pair does not matter."
        if found.score == "aggregate"
        else "A score is of the whole response as its source has it; where it was cut, the row holds the beginning of "
        "what was scored."
    )
    return ["## Which responses are desirable", *threshold_in_words(found), scores, f"![scores]({FIGURE})"]


def _file_table(files: list[ExportedFile]) -> str:
    lines = ["| file | rows in | written | left out | without end-of-turn |", "| --- | ---: | ---: | --- | ---: |"]
    for file in files:
        path = f"`{file.path}`" if file.path else f"none: {file.layout}, {file.split}"
        ends = f"{file.without_end:,} of {file.responses:,}"
        lines.append(f"| {path} | {file.rows_in:,} | {file.rows:,} | {in_words(file.left_out)} | {ends} |")
    reasons = sorted({reason for file in files for reason in file.left_out})
    return "\n".join([*lines, *([""] if reasons else []), *(f"- {reason}: {LEFT_OUT[reason]}" for reason in reasons)])


def _leave_out(layouts: list[str]) -> str:
    wanted = dict.fromkeys(_LEAVE_OUT[KTO if layout == KTO else "trl"] for layout in layouts)
    lines = [f"rows = {call}" + (f"  # {KTO}" if "completion" in call and len(wanted) > 1 else "") for call in wanted]
    return "\n".join(["```python", *lines, "```"])


_LOAD: Final = '```python\nrows = datasets.load_dataset("json", data_files="{}/train.jsonl", split="train")\n```'
_HOW: Final = {
    "trl": [
        "For DPOTrainer, RewardTrainer and others that take preferences, as they are:",
        _LOAD.format("trl"),
    ],
    KTO: [
        "For KTOTrainer. Labels are of each response alone, by its score; with pairs KTOTrainer would call all that is "
        "chosen desirable.",
        _LOAD.format(KTO),
    ],
    "nemo_rl": [
        "For DPO and reward models of NeMo RL:",
        "```yaml\ndata:\n  train: {data_path: nemo_rl/train.jsonl}\n  validation: {data_path: nemo_rl/test.jsonl}\n"
        "  default: {dataset_name: PreferenceDataset}\n```",
    ],
    "openrlhf": [
        "For `openrlhf.cli.train_dpo` and `openrlhf.cli.train_rm`. Name the folder and not a file of it, or there is "
        "no split `test` for `--eval.dataset`:",
        "```text\n--data.dataset openrlhf --eval.dataset openrlhf --eval.split test\n"
        "--data.prompt_key prompt --data.chosen_key chosen --data.rejected_key rejected\n"
        "--data.apply_chat_template\n```",
    ],
}
