"""Make the sample of Forest Covertype that travels with the package from the original file.

    python scripts/make_covertype_sample.py DATA_DIR [--out FOLDER]

DATA_DIR holds covtype.data or covtype.data.gz, or a subfolder ``covertype`` that does. The sample
is 2,567 rows of class 1 and 3,433 of class 2, the share of each in the whole set, taken at equal
distances along the rows of the class, so that it does not hang on how the file begins. The lines
are the original's, in its order. The same original gives the same bytes on every run (another
build of zlib may pack the same content otherwise).
"""

from __future__ import annotations

import argparse
import gzip
import io
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experiments.datasets import covertype
from experiments.datasets.covertype import DIGESTS, FILE, Table, read_table
from experiments.datasets.idx import md5
from experiments.errors import InputError


def spread(count: int, chosen: int) -> NDArray[np.intp]:
    """Return ``chosen`` of the indices 0 … count − 1: the middles of as many equal parts."""
    return (2 * np.arange(chosen) + 1) * count // (2 * chosen)


def rows_of(classes: NDArray[np.int16], wanted: dict[int, int]) -> NDArray[np.intp]:
    """Return the indices of the rows to take, in ascending order.

    Args:
        classes: the class of every row.
        wanted: class → how many rows of it.
    """
    places = {k: np.flatnonzero(classes == k) for k in wanted}
    chosen = [places[k][spread(len(places[k]), count)] for k, count in wanted.items()]
    return np.sort(np.concatenate(chosen))


def lines(table: Table, rows: Sequence[int] | NDArray[np.intp]) -> bytes:
    """Return rows of the table as the original writes them."""
    values = np.column_stack([table.features[rows], table.classes[rows]])
    return "".join(",".join(map(str, row)) + "\n" for row in values.tolist()).encode()


def pack(content: bytes) -> bytes:
    """Return the content gzipped, with neither a time nor a file name in the header."""
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=packed, compresslevel=9, mtime=0) as file:
        file.write(content)
    return packed.getvalue()


def make(data_dir: Path, out: Path) -> str:
    """Write the sample's file to a folder.

    Returns:
        The MD5 of its content, decompressed.

    Raises:
        InputError: the original is missing, at fault, or not Forest Covertype.
    """
    table = read_table(data_dir)
    if table.digest != DIGESTS[FILE]:
        raise InputError(
            f"The data folder {data_dir} does not hold Forest Covertype: expected {FILE} with MD5 "
            f"{DIGESTS[FILE]}, found {table.digest}."
        )
    content = lines(table, rows_of(table.classes, covertype.SAMPLE_ROWS))
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{FILE}.gz").write_bytes(pack(content))
    return md5(content)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return 0, or 2 where the original is at fault."""
    parser = argparse.ArgumentParser(description="Make the sample of Covertype in the package.")
    parser.add_argument("data_dir", type=Path, help=f"folder that holds {FILE}, gzipped or not")
    parser.add_argument("--out", type=Path, default=covertype.SAMPLE_FOLDER, help="folder to write")
    options = parser.parse_args(arguments)
    try:
        digest = make(options.data_dir, options.out)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{digest}  {FILE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
