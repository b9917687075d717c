"""Files of any number of comments, for measurements: real ones, repeated."""

import csv
import hashlib
import json
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

NEWS = ("c3-constructive", "unhealthy-conversations")
GROUP_ROWS = 50_000


def write_comments(data: Path | None, path: Path, rows: int) -> None:
    """Write a file of comments with ``id`` and ``text``, in the format that its ending tells.

    Parameters
    ----------
    data
        Folder of the labelled data sets, whose news comments are taken, in an order of no source; None for
        the examples that come with the package.
    """
    texts = list(_texts(data))
    values = islice(zip(range(rows), cycle(texts), strict=False), rows)
    if path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = pa.schema([("id", pa.int64()), ("text", pa.string())])
        with pq.ParquetWriter(path, schema) as writer:
            while group := list(islice(values, GROUP_ROWS)):
                writer.write_table(pa.table([*map(list, zip(*group, strict=True))], schema=schema))
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        if path.suffix == ".csv":
            writer = csv.writer(file)
            writer.writerow(("id", "text"))
            writer.writerows(values)
        else:
            file.writelines(json.dumps({"id": n, "text": text}, ensure_ascii=False) + "\n" for n, text in values)


def _texts(data: Path | None) -> Iterator[str]:
    if data is None:
        from moderation.paths import DATA

        with (DATA / "examples" / "comments.csv").open(encoding="utf-8", newline="") as file:
            yield from (row["comment"] for row in csv.DictReader(file))
        return
    from moderation import datasets

    news = {row.text for row in datasets.public(data, ("news",)) if row.source in NEWS}
    yield from sorted(news, key=lambda text: hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest())
