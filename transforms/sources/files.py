"""One data file → raw rows: JSON lines, a JSON array, Parquet, Arrow file or stream; local or remote.

Memory is bounded by a batch of rows (a JSON array alone is read whole, up to `MAX_JSON_BYTES`).
"""

import io
import json
from collections.abc import Iterator
from typing import IO, Any, Final

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from transforms.errors import SourceError
from transforms.sources.adapter import BadRow, Row, row_hash
from transforms.sources.canonical import content_hash
from transforms.sources.tables import JsonColumns, rows_of

TEXT_ENDINGS: Final = (".jsonl", ".ndjson", ".json")
TABLE_ENDINGS: Final = (".parquet", ".arrow", ".feather")
COMPRESSIONS: Final = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2", ".lz4": "lz4"}
ENDINGS: Final = (*TABLE_ENDINGS, *TEXT_ENDINGS, *(f".jsonl{packed}" for packed in COMPRESSIONS))

MAX_LINE_BYTES: Final = 64 << 20  # a longer line is skipped, not held
MAX_JSON_BYTES: Final = 512 << 20
BATCH_ROWS: Final = 1024
BATCH_BYTES: Final = 32 << 20  # of decoded rows, as the Parquet footer tells it
SHOWN_CHARS: Final = 2_000

# What an Arrow stream ends with. One that was cut between two batches reads back short without an error.
END_OF_STREAM: Final = b"\xff\xff\xff\xff\x00\x00\x00\x00"


def ending_of(path: str) -> tuple[str, str | None]:
    """Return the lower-case format ending of `path` ("" if unknown) and the compression ending, if any."""
    name = path.rsplit("/", 1)[-1].lower()
    packed = next((ending for ending in COMPRESSIONS if name.endswith(ending)), None)
    if packed:
        name = name.removesuffix(packed)
    allowed = TEXT_ENDINGS if packed else TEXT_ENDINGS + TABLE_ENDINGS
    return next((ending for ending in allowed if name.endswith(ending)), ""), packed


def read_file(filesystem: Any, path: str) -> Iterator[Row | BadRow]:
    """Yield the rows of one file.

    Raises:
        SourceError: the file as a whole cannot be read.
    """
    ending, packed = ending_of(path)
    try:
        with filesystem.open(path, "rb") as raw:
            if ending == ".parquet":
                yield from _parquet(raw)
            elif ending in TABLE_ENDINGS:
                yield from _arrow(raw, path)
            else:
                plain = pa.CompressedInputStream(raw, COMPRESSIONS[packed]) if packed else raw
                stream = io.BufferedReader(plain, 1 << 20)
                yield from _json_array(stream, path) if _is_array(stream, ending) else _json_lines(stream)
    except (OSError, EOFError, pa.ArrowException) as error:
        message = f"{path}: cannot be read as {ending.lstrip('.')}: {type(error).__name__}: {error}"
        raise SourceError(message) from error


def _is_array(stream: io.BufferedReader, ending: str) -> bool:
    # Many `.json` files on the Hub hold lines.
    return ending == ".json" and stream.peek(64).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")


def _json_lines(stream: IO[bytes]) -> Iterator[Row | BadRow]:
    if not (line := stream.readline(MAX_LINE_BYTES).removeprefix(b"\xef\xbb\xbf")):
        return
    while line:
        if len(line) >= MAX_LINE_BYTES and not line.endswith(b"\n"):
            while (rest := stream.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
                pass
            yield _bad_line(f"the line is longer than {MAX_LINE_BYTES:,} bytes", line)
        elif stripped := line.strip():
            yield _json_line(stripped)
        line = stream.readline(MAX_LINE_BYTES)


def _json_line(line: bytes) -> Row | BadRow:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return _bad_line(f"not a JSON object: {error}", line)
    if not isinstance(row, dict):
        return _bad_line(f"expected a JSON object, found {type(row).__name__}", line)
    return row


def _bad_line(error: str, line: bytes) -> BadRow:
    shown = line[:SHOWN_CHARS].decode("utf-8", "backslashreplace")
    if len(line) > SHOWN_CHARS:
        shown += f"… [{len(line) - SHOWN_CHARS:,} more bytes]"
    return BadRow(error, shown, content_hash(line.decode("latin-1")))


def _json_array(stream: IO[bytes], path: str) -> Iterator[Row | BadRow]:
    content = stream.read(MAX_JSON_BYTES + 1).removeprefix(b"\xef\xbb\xbf")
    if len(content) > MAX_JSON_BYTES:
        message = f"{path}: a JSON array of more than {MAX_JSON_BYTES:,} bytes; write it as JSON lines (.jsonl)"
        raise SourceError(message)
    try:
        rows = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        # json takes what orjson refuses (lone surrogates, NaN), so that only those rows are lost.
        try:
            rows = json.loads(content.decode("utf-8", "surrogateescape"))
        except (ValueError, RecursionError):
            message = f"{path}: not a JSON array: {error}"
            raise SourceError(message) from error
    for row in rows:
        if not isinstance(row, dict):
            error_text = f"expected a JSON object, found {type(row).__name__}"
            yield BadRow(error_text, row, row_hash({"row": row}))
        else:
            yield _json_row(row)


def _json_row(row: Row) -> Row | BadRow:
    try:
        orjson.dumps(row)
    except TypeError as error:
        return BadRow(f"the row holds text that UTF-8 cannot hold: {error}", row, row_hash(row))
    return row


def _parquet(raw: Any) -> Iterator[Row | BadRow]:
    # Without pre_buffer and with a buffer size, pages are read as they are needed, not a row group at a time.
    file = pq.ParquetFile(raw, pre_buffer=False, buffer_size=1 << 20)
    groups = [file.metadata.row_group(at) for at in range(file.metadata.num_row_groups)]
    widest = max((group.total_byte_size // max(group.num_rows, 1) for group in groups), default=1)
    columns = JsonColumns(file.schema_arrow)
    for batch in file.iter_batches(batch_size=max(16, min(BATCH_ROWS, BATCH_BYTES // max(widest, 1)))):
        yield from rows_of(batch, columns)


def _arrow(raw: Any, path: str) -> Iterator[Row | BadRow]:
    is_file = raw.read(6) == b"ARROW1"
    if not is_file:
        size = raw.seek(0, io.SEEK_END)
        raw.seek(max(0, size - len(END_OF_STREAM)))
        if raw.read() != END_OF_STREAM:
            message = f"{path}: not an Arrow file, and as an Arrow stream it is cut short; copy or write it again"
            raise SourceError(message)
    raw.seek(0)
    columns = None
    for batch in _record_batches(raw, is_file=is_file):
        columns = columns or JsonColumns(batch.schema)
        for start in range(0, batch.num_rows, BATCH_ROWS):
            yield from rows_of(batch.slice(start, BATCH_ROWS), columns)


def _record_batches(raw: Any, *, is_file: bool) -> Iterator[pa.RecordBatch]:
    if is_file:
        reader = pa.ipc.open_file(raw)
        for at in range(reader.num_record_batches):
            yield reader.get_batch(at)
    else:
        yield from pa.ipc.open_stream(raw)
