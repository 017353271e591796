"""Make the sample of MNIST that travels with the package from MNIST's own files.

    python scripts/make_mnist_sample.py DATA_DIR [--out FOLDER]

DATA_DIR holds MNIST's four files, or a subfolder ``mnist`` that does. The sample is the first 600
training and the first 100 test digits of each class, in the order of MNIST's files. The same
originals give the same bytes on every run (another build of zlib may pack the same content
otherwise).
"""

from __future__ import annotations

import argparse
import gzip
import io
import struct
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experiments.datasets import mnist
from experiments.datasets.idx import (
    CLASSES,
    TEST_IMAGES,
    TEST_LABELS,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    Pixels,
    md5,
    read_folder,
)
from experiments.datasets.mnist import different_files
from experiments.errors import InputError


def first_of_each_class(labels: NDArray[np.uint8], count: int) -> NDArray[np.intp]:
    """Return the indices of the first ``count`` labels of each class, in ascending order."""
    return np.sort(np.concatenate([np.flatnonzero(labels == k)[:count] for k in range(CLASSES)]))


def encode_idx(values: NDArray[np.uint8]) -> bytes:
    """Return unsigned bytes as an IDX file."""
    header = struct.pack(f">4B{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    return header + values.tobytes()


def pack(content: bytes) -> bytes:
    """Return the content gzipped, with neither a time nor a file name in the header."""
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=packed, compresslevel=9, mtime=0) as file:
        file.write(content)
    return packed.getvalue()


def make(data_dir: Path, out: Path) -> dict[str, str]:
    """Write the sample's four files to a folder.

    Returns:
        File name, without ``.gz`` → MD5 of the content, decompressed.

    Raises:
        InputError: the originals are missing, at fault, or not MNIST's.
    """
    originals = read_folder(data_dir)
    different = different_files(originals.digests)
    if different:
        raise InputError(
            f"The data folder {data_dir} does not hold MNIST: expected its digests, found others "
            f"for {', '.join(different)}."
        )
    train = _first(originals.train, mnist.TRAIN_PER_CLASS)
    test = _first(originals.test, mnist.TEST_PER_CLASS)
    contents = {
        TRAIN_IMAGES: encode_idx(train.images),
        TRAIN_LABELS: encode_idx(train.labels),
        TEST_IMAGES: encode_idx(test.images),
        TEST_LABELS: encode_idx(test.labels),
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (out / f"{name}.gz").write_bytes(pack(content))
    return {name: md5(content) for name, content in contents.items()}


def _first(pixels: Pixels, count: int) -> Pixels:
    chosen = first_of_each_class(pixels.labels, count)
    return Pixels(pixels.images[chosen], pixels.labels[chosen])


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return 0, or 2 where the originals are at fault."""
    parser = argparse.ArgumentParser(description="Make the sample of MNIST in the package.")
    parser.add_argument("data_dir", type=Path, help="folder that holds MNIST's four files")
    parser.add_argument("--out", type=Path, default=mnist.SAMPLE_FOLDER, help="folder to write to")
    options = parser.parse_args(arguments)
    try:
        digests = make(options.data_dir, options.out)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    for name, digest in digests.items():
        print(f"{digest}  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
