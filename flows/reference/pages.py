"""The pages of docs/reference as text, each from the code that it describes."""

import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, get_args

import pyarrow as pa
from pydantic import BaseModel

from flows.compare.config import ComparisonConfig
from flows.decode.config import DecodeConfig
from flows.evaluate.annotation_config import Annotations
from flows.evaluate.config import EvaluationConfig
from flows.publish.config import PublishConfig
from flows.recipe.curation import Recipe
from flows.recipe.generation import AnnotatorConfig, AnsweringPolicy, Generation
from flows.reference.keys import described, first_paragraph, keys, paragraphs, type_in_words
from flows.reference.reproduction import reproduction_page
from flows.reference.rows import rows_page
from flows.rounds.config import RoundsConfig
from flows.train.config import TrainingRecipe
from transforms import errors
from transforms.records import generation, manifest
from transforms.report.codes_in_words import REASONS
from transforms.sources.kinds import EVALUATED, SOURCES
from transforms.sources.options import SourceOptions
from transforms.tables import columns, schema

if TYPE_CHECKING:
    from trainers.objectives.published import Published

HEADER: Final = "<!-- Made by `python -m flows.reference` from the code. Change the code, then run it. -->\n"
# Keys that have a table elsewhere.
_SOURCES: Final = {"sources": "list of [sources](sources.md), at least 1"}
_ELSEWHERE: Final[dict[type[BaseModel], dict[str, str]]] = {
    Recipe: {
        "sources": "list of [sources](sources.md)",
        "generate": "section: [generation](generation.md) without `name`, `output`, `ledger`, `chat_template_date`",
    },
    Generation: {
        "prompts": "list of [sources](sources.md), at least 1",
        "policies": "list of [policies](#policies)",
        "annotators": "list of [annotators](#annotators)",
    },
    EvaluationConfig: {
        "sources": "list of [sources](sources.md)",
        "annotations": "list of [annotations](#annotations)",
        "prompts": "list of [sources](sources.md), at least 1",
        "models": "list of [policies](generation.md#policies), at least 2, each with a label; `n` is 1 by default",
        "judge": "[annotator](generation.md#annotators)",
        "completer": "[policy](generation.md#policies); `n` is 3 by default",
    },
    ComparisonConfig: {
        "prompts": "list of [sources](sources.md)",
        "judge": "[annotator](generation.md#annotators)",
    },
    DecodeConfig: {"prompts": "list of [sources](sources.md)"},
    RoundsConfig: {
        "sources": "list of [sources](sources.md)",
        "prompts": "list of [sources](sources.md), at least 1",
        "policies": "list of [policies](generation.md#policies)",
        "annotators": "list of [annotators](generation.md#annotators)",
    },
}
CONFIGS: Final[dict[str, tuple[str, type[BaseModel], str]]] = {
    "recipe.md": (
        "Recipe",
        Recipe,
        "What `python -m flows.curate FILE` and `python -m flows.audit FILE` read. Every key is a flag too: "
        "`--truncate.method ratio`. A list or a section may be given as JSON: "
        """`--proxy '{"audit": 0.1, "error": 0.05}'`.""",
    ),
    "generation.md": (
        "Generation",
        Generation,
        "What `python -m flows.generate FILE` reads; a [recipe](recipe.md) may hold it as its section `generate`. "
        "Every key is a flag too: `--pairing.min_margin 0.5`. A list is given as JSON: "
        """`--policies '[{"model": "smollm2", "n": 2}]'`.""",
    ),
    "training.md": (
        "Training",
        TrainingRecipe,
        "What `python -m flows.train FILE` reads. Every key is a flag too: `--optimisation.learning_rate "
        "1e-6`. The settings of each objective are in [objectives.md](objectives.md).",
    ),
    "evaluation.md": (
        "Evaluation",
        EvaluationConfig,
        "What `python -m flows.evaluate FILE` reads. Every key is a flag too: `--reward.model ./my-reward-model`.",
    ),
    "comparison.md": (
        "Comparison",
        ComparisonConfig,
        "What `python -m flows.compare FILE` reads. Every key is a flag too: `--seeds 5`. `--training FILE` names the "
        "[training](training.md) that is compared.",
    ),
    "publishing.md": (
        "Publishing",
        PublishConfig,
        "What `python -m flows.publish RUN --repo ORG/NAME` takes. A key is a flag with dashes: `--token-env NAME`. "
        "`--dry-run` lists files, sizes and the version, and changes nothing.",
    ),
    "decoding.md": (
        "Decoding",
        DecodeConfig,
        "What `python -m flows.decode RUN --policy MODEL` takes, or `python -m flows.decode FILE.yaml`. A key is a "
        "flag with dashes: `--policy-revision main`, `--mix 0 0.5 1`, `--prompts mine.jsonl`.",
    ),
    "rounds.md": (
        "Rounds",
        RoundsConfig,
        "What `python -m flows.rounds FILE` reads. Every key is a flag too: `--rounds 4`. `curate` takes the keys of a "
        "[recipe](recipe.md) with its section `generate`, `train` those of a [training](training.md).",
    ),
}


def pages() -> dict[str, str]:
    """Every generated page, by its name in docs/reference."""
    configs = {name: _config(*parts) for name, parts in CONFIGS.items()}
    configs["generation.md"] += "\n" + _answering()
    configs["evaluation.md"] += "\n" + _annotated()
    others = {
        "sources.md": _sources(),
        "rows.md": rows_page(_table),
        "objectives.md": _objectives(),
        "columns.md": _columns(),
        "manifest.md": _manifest(),
        "errors.md": _errors(),
        "reproduction.md": reproduction_page(_table),
    }
    return {name: HEADER + text.rstrip() + "\n" for name, text in (configs | others).items()}


def _config(title: str, model: type[BaseModel], about: str) -> str:
    """One table a section; those of one word stand together at the top."""
    found = list(keys(model, elsewhere=_ELSEWHERE.get(model, _SOURCES)))
    sections = dict.fromkeys(key.name.rpartition(".")[0] for key in found)
    parts = [f"# {title}\n", about + "\n"]
    for section in sections:
        rows = [key for key in found if key.name.rpartition(".")[0] == section]
        shown = [(f"`{key.name}`", key.kind, key.default, key.meaning) for key in rows]
        heading = [f"## {section}\n"] if section else []
        parts += [*heading, _table(("key", "type", "default", "meaning"), shown)]
    return "\n".join(parts)


def _answering() -> str:
    """The sections that a generation has lists of: policies, and a kind of annotator each."""
    parts = ["## policies\n", first_paragraph(AnsweringPolicy) + "\n", _keys_table(AnsweringPolicy)]
    parts += ["## annotators\n", "Each names its `kind`, and may have a `name` of its own.\n"]
    for annotator in annotator_models():
        kind = annotator.model_fields["kind"].default
        parts += [f"### kind: {kind}\n", first_paragraph(annotator) + "\n", _keys_table(annotator, leave_out="kind")]
    return "\n".join(parts)


def _annotated() -> str:
    """The section of an evaluation that is a list of judged files, and a kind of them each."""
    kinds: list[type[BaseModel]] = list(get_args(get_args(Annotations)[0]))
    parts = ["## annotations\n", "Files of verdicts that a chat benchmark's own tool wrote. Each names its `kind`.\n"]
    for kind in kinds:
        [name] = get_args(kind.model_fields["kind"].annotation)
        parts += [f"### kind: {name}\n", first_paragraph(kind) + "\n", _keys_table(kind, leave_out="kind")]
    return "\n".join(parts)


def annotator_models() -> list[type[BaseModel]]:
    """The sections that an annotator may be, one a kind."""
    union = get_args(AnnotatorConfig)[0]
    return list(get_args(union))


def _keys_table(model: type[BaseModel], *, leave_out: str = "") -> str:
    rows = [row for row in _rows(model) if row[0] != f"`{leave_out}`"]
    return _table(("key", "type", "default", "meaning"), rows)


def _sources() -> str:
    parts = [
        "# Sources\n",
        "`sources` of a [recipe](recipe.md) or an [evaluation](evaluation.md) is a list. Each entry names its `kind` "
        "and `path`; data_cards/sources has a page a kind, with a raw row and the traps. What any row may say beside "
        "its texts is in [rows.md](rows.md).\n",
        "## Every kind\n",
        _table(("key", "type", "default", "meaning"), _rows(SourceOptions)),
    ]
    for kind, source in EVALUATED.items():
        own = [row for row in _rows(source.options) if row not in _rows(SourceOptions) and row[0] != "`kind`"]
        columns = ", ".join(sorted(source.required)) or "those of one of its layouts"
        about = f"[Page](../../data_cards/sources/{kind}.md). Columns: {columns}.\n"
        about = about if kind in SOURCES else f"For evaluations alone. {about}"
        parts += [f"## {kind}\n", about]
        parts += [_table(("key", "type", "default", "meaning"), own)] if own else ["No keys of its own.\n"]
    return "\n".join(parts)


def _objectives() -> str:
    from trainers.objectives.published import PUBLISHED
    from trainers.objectives.registry import OBJECTIVES

    parts = [
        "# Objectives\n",
        "`objective: {name: …, settings: {…}}` of a [training](training.md). Notation: [methods](../methods.md). "
        "Defaults are published values where a paper names one. An objective of pairs trains on chosen and rejected; "
        "one of responses or prompts also on all responses of a prompt (`dataset.responses: all`).\n",
    ]
    for name in sorted(OBJECTIVES):
        found = OBJECTIVES[name]
        needs = ", ".join(sorted(found.needs - {"lengths"})) or "nothing but the policy"
        text = inspect.getdoc(found.function) or ""
        facts = f"Mean over {found.over}. Reads: {needs.replace('_', ' ')}. Source: {found.source}.\n"
        parts += [f"## {name}\n", text + "\n", facts]
        rows = [(f"`{key.name}`", key.kind, key.default) for key in keys(found.settings)]
        parts += [_table(("setting", "type", "default"), rows)]
        if name in PUBLISHED:
            parts += [_table(("published for", "settings", "learning rate", "known from"), _published(PUBLISHED[name]))]
    return "\n".join(parts)


def _published(models: Mapping[str, "Published"]) -> list[Sequence[str]]:
    return [
        (
            model,
            ", ".join(
                f"`{key}` {value:.4g}" if isinstance(value, float) else f"`{key}` {value}"
                for key, value in found.settings.items()
            ),
            "–" if found.learning_rate is None else f"{found.learning_rate:g}",
            found.source,
        )
        for model, found in models.items()
    ]


_SCORE_TYPES: Final = {"chosen_in": "`int32`", "rejected_in": "`int32`"}


def _columns() -> str:
    def rows(fields: pa.Schema, meanings: Mapping[str, str]) -> list[Sequence[str]]:
        return [(f"`{field.name}`", f"`{_arrow(field.type)}`", meanings[field.name]) for field in fields]

    head = ("column", "type", "meaning")
    return "\n".join(
        [
            "# Columns\n",
            "The order of the columns is part of the version.\n",
            "## dataset/ and dropped/\n",
            "`train` and `test` of `dataset/`, and `dropped/`, have the same columns.\n",
            _table(head, rows(schema.CURATED, columns.CURATED)),
            "## responses/\n",
            "Every response of sources that have several a prompt, whatever became of their pairs.\n",
            _table(head, rows(schema.RESPONSES, columns.RESPONSES)),
            "## dataset/ of a generation\n",
            "`train`, the pairs that `python -m flows.generate` made; sorted by prompt.\n",
            _table(head, rows(schema.PAIRED, columns.PAIRED)),
            "## responses/ of a generation\n",
            "All that was answered, a prompt's responses side by side.\n",
            _table(
                head,
                [
                    *rows(schema.ANSWERS, columns.ANSWERS),
                    *[
                        (f"`{name}`", _SCORE_TYPES.get(name, "`double`"), words)
                        for name, words in columns.SCORES.items()
                    ],
                ],
            ),
            "## Reasons\n",
            "A pair is dropped for one reason, the first that applies.\n",
            _table(("reason", "meaning"), [(f"`{name}`", words) for name, words in REASONS.items()]),
        ]
    )


def _manifest() -> str:
    parts = [
        "# manifest.json\n",
        "Written last: a folder without it holds no finished run. `version` comes from content alone. A generation's "
        "says `made_by: generate` and is [another](#the-whole-of-a-generation).\n",
    ]
    wholes = {manifest.Manifest: "The whole", generation.GenerationManifest: "The whole of a generation"}
    curated = _records(manifest.Manifest)
    for record in [*curated, *(one for one in _records(generation.GenerationManifest) if one not in curated)]:
        meanings = described(record)
        rows = [
            (f"`{name}`", _record_type(field.annotation) or type_in_words(field), meanings.get(name, ""))
            for name, field in record.model_fields.items()
        ]
        title = wholes.get(record, record.__name__)
        parts += [f"## {title}\n", paragraphs(record) + "\n", _table(("field", "type", "meaning"), rows)]
    return "\n".join(parts)


def _errors() -> str:
    tree = "\n".join((inspect.getdoc(errors) or "").splitlines()[2:])
    return "\n".join(
        [
            "# Exit codes and errors\n",
            "A command prints one message on stderr and no traceback. It says what was found, what was expected and "
            "what to do. A traceback is a bug.\n",
            _table(
                ("code", "meaning"),
                [
                    ("0", "done, or nothing had changed"),
                    ("1", "`flows.compare`: a training failed; the page says which, the others are compared"),
                    ("2", "an error below, or a wrong argument"),
                    ("130", "Ctrl-C; finished batches are in the ledger, the same command goes on"),
                    ("143", "SIGTERM; likewise"),
                ],
            ),
            "## Errors\n",
            f"```text\n{tree}\n```\n",
            "[Troubleshooting](../troubleshooting.md) has the ones that people meet.\n",
        ]
    )


def _rows(model: type[BaseModel]) -> list[tuple[str, str, str, str]]:
    return [(f"`{key.name}`", key.kind, key.default, key.meaning) for key in keys(model)]


def _records(model: type[BaseModel]) -> list[type[BaseModel]]:
    """The model and all that are inside it, each once, in the order in which they are met."""
    found = [model]
    for record in found:
        inside = [_model_in(field.annotation) for field in record.model_fields.values()]
        found += [kind for kind in dict.fromkeys(inside) if kind is not None and kind not in found]
    return found


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)


def _record_type(annotation: Any) -> str:
    found = _model_in(annotation)
    if found is None:
        return ""
    link = f"[{found.__name__}](#{found.__name__.lower()})"
    return f"list of {link}" if getattr(annotation, "__origin__", None) is list else link


def _arrow(kind: pa.DataType) -> str:
    """`list<struct<role: string, …>>` without the names that Arrow gives to items."""
    return re.sub(r"(element|item): ", "", str(kind)).replace("|", "/")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines) + "\n"


def _cell(text: str) -> str:
    """Text as GitHub shows it in a table: a bar ends a cell everywhere, and `<` outside code begins a tag."""
    parts = text.replace("|", "\\|").split("`")
    return "`".join(part if number % 2 else part.replace("<", "&lt;") for number, part in enumerate(parts))
