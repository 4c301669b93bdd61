"""All responses of a generation, as the responses table of a curation has them."""

from collections.abc import Iterator
from typing import Final

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.dataset.run_files import named_files, tables_of
from transforms.errors import SourceError
from transforms.sources.kinds.generated import GeneratedOptions
from transforms.sources.read import checked_sha256
from transforms.tables.schema import RESPONSES, STRUCTURE

_TABLE: Final = "responses"


def generated_responses(options: GeneratedOptions, label: str) -> Iterator[pa.Table]:
    """Responses that say something, in tables of schema.RESPONSES; none where the source is no folder of a generation.

    Those with reasoning beside their text are left out: the table has no place for it. They stay in the generation.

    Args:
        options: of the source.
        label: what the source is called.

    Raises:
        SourceError: a file of it cannot be read, or is not the one that its manifest names.
    """
    filesystem, root = fsspec.core.url_to_fs(options.path)
    manifest = f"{root.rstrip('/')}/manifest.json"
    if not filesystem.isfile(manifest):
        return
    for file in tables_of(named_files(filesystem.cat_file(manifest)) or []).get(_TABLE, []):
        path = f"{root.rstrip('/')}/{file.path}"
        checked_sha256(filesystem, path, file.sha256)
        try:
            with filesystem.open(path, "rb") as source, pa.ipc.open_stream(source) as reader:
                for batch in reader:
                    yield _as_responses(pa.Table.from_batches([batch]), label)
        except (OSError, KeyError, pa.ArrowException) as error:  # KeyError: of columns that it has not
            message = f"{path}: cannot be read: {type(error).__name__}: {error}"
            raise SourceError(message) from error


def _as_responses(answers: pa.Table, label: str) -> pa.Table:
    said = pc.is_in(answers["status"], pa.array(["usable", "unscored"]))
    found = answers.filter(pc.and_(said, pc.is_null(answers["reasoning"])))
    columns = {name: found[name] for name in RESPONSES.names if name in found.column_names}
    columns["source"] = pa.array([label] * len(found), pa.string())
    columns["model"] = found["policy"]
    if STRUCTURE.name not in columns:
        columns[STRUCTURE.name] = pa.nulls(len(found), pa.string())
    table = pa.table([columns[name] for name in RESPONSES.names], names=RESPONSES.names)
    return table.cast(RESPONSES).take(pa.array(np.arange(len(found))))
