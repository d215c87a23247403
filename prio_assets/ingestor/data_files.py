"""A person's own data: a file with a row for each client and a column for each bin, all cells 0 or 1."""

import csv
import tokenize
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prio_assets.errors import ConfigurationError, MalformedError

Rows = NDArray[np.uint8]

BITS = frozenset("01")
NPY_BEGINNING = b"\x93NUMPY"
NPY_ERRORS = (
    ValueError,
    EOFError,
    TypeError,
    OverflowError,
    MemoryError,
    RecursionError,
    SyntaxError,
    tokenize.TokenError,
)
"""What numpy raises for a file that it cannot read: its header is evaluated as Python, and sizes what is allocated."""


def read_rows(path: Path) -> Rows:
    """The rows of a `.csv` file (without headings) or a two-dimensional `.npy` file, uint8 [clients, bins] of 0 and 1.

    Raises `MalformedError` that names the file and, counted from 1, the row and column.
    """
    readers = {".csv": _read_csv, ".npy": _read_npy}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise ConfigurationError(f"{path} is neither .csv nor .npy: save the rows in one of these formats")
    if path.exists() and not path.is_file():
        raise MalformedError(f"{path} is not a regular file: save the rows to one")
    try:
        rows = reader(path)
    except OSError as error:
        raise MalformedError(f"{path} cannot be read: {error.strerror or error}") from error
    if not rows.size:
        raise MalformedError(f"{path} holds no rows: give a row for each client and a column for each bin")
    return rows


def _read_csv(path: Path) -> Rows:
    bits = bytearray()
    clients = bins = 0
    for clients, cells in enumerate(_csv_rows(path), start=1):
        if not cells:
            raise MalformedError(f"{path}, row {clients} is empty: remove it")
        bins = bins or len(cells)
        if len(cells) != bins:
            raise MalformedError(f"{path}, row {clients} has {len(cells)} columns, the first row has {bins}")
        if not BITS.issuperset(cells):
            _refuse_cell(path, clients, cells)
        bits += "".join(cells).encode()
    return (np.frombuffer(bytes(bits), dtype=np.uint8) - ord("0")).reshape(clients, bins)


def _csv_rows(path: Path) -> Iterator[list[str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for cells in csv.reader(file):
                yield cells if BITS.issuperset(cells) else [cell.strip() for cell in cells]
    except (UnicodeDecodeError, csv.Error) as error:
        raise MalformedError(f"{path} is not a text of comma-separated values: {error}") from error


def _refuse_cell(path: Path, row: int, cells: list[str]) -> None:
    column, cell = next((number, cell) for number, cell in enumerate(cells, start=1) if cell not in BITS)
    hint = " (a heading? remove it)" if row == 1 else ""
    raise MalformedError(f"{path}, row {row}, column {column}: {_shown(cell)} is not 0 or 1{hint}")


def _read_npy(path: Path) -> Rows:
    with path.open("rb") as file:
        beginning = file.read(len(NPY_BEGINNING))  # np.load takes other formats, too
    fault = MalformedError(f"{path} is not a .npy file of numbers, or is cut off: write the rows with numpy.save")
    if beginning != NPY_BEGINNING:
        raise fault
    try:
        table = np.load(path, allow_pickle=False)
    except NPY_ERRORS as error:
        raise fault from error
    if table.ndim != 2 or table.dtype.kind not in "biuf":
        raise MalformedError(f"{path} is not a table of numbers: give a two-dimensional array, a row for each client")
    wrong = np.argwhere((table != 0) & (table != 1))
    if len(wrong):
        row, column = wrong[0].tolist()
        raise MalformedError(
            f"{path}, row {row + 1}, column {column + 1}: {_shown(str(table[row, column]))} is not 0 or 1"
        )
    return table.astype(np.uint8)


def _shown(cell: str) -> str:
    """A cell as an error may show it: short and on one line."""
    return repr(cell if len(cell) <= 40 else cell[:40] + "…")
