"""A person's own rows are read, and what is wrong with them is named by file, row and column."""

import os
from pathlib import Path

import numpy as np
import pytest

from prio_assets.errors import ConfigurationError, MalformedError
from prio_assets.ingestor.data_files import read_rows


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("1,0,1\n0,0,1\n", [[1, 0, 1], [0, 0, 1]]),
        ("1\r\n0\r\n1", [[1], [0], [1]]),
        ('\ufeff1, 0\n"0" ,1\n', [[1, 0], [0, 1]]),
    ],
    ids=["plain", "one bin", "marked, spaced and quoted"],
)
def test_rows_of_csv(tmp_path: Path, text: str, rows: list[list[int]]) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(text, encoding="utf-8", newline="")
    assert read_rows(path).tolist() == rows


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.bool_, np.float64])
def test_rows_of_npy(tmp_path: Path, dtype: type) -> None:
    np.save(tmp_path / "rows.npy", np.array([[1, 0], [0, 1], [1, 1]], dtype=dtype))
    rows = read_rows(tmp_path / "rows.npy")
    assert rows.dtype == np.uint8
    assert rows.tolist() == [[1, 0], [0, 1], [1, 1]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no rows"),
        ("a,b\n1,0\n", r"row 1, column 1: 'a' is not 0 or 1 \(a heading\? remove it\)$"),
        ("1,0\n1,2\n", "row 2, column 2: '2' is not 0 or 1$"),
        ("1,0\n1,\n", "row 2, column 2: '' is not 0 or 1$"),
        ("1,0\n1.0,0\n", "row 2, column 1: '1.0' is not 0 or 1$"),
        ("10\n01\n", "row 1, column 1: '10' is not 0 or 1"),
        ("1,0\n1\n", "row 2 has 1 columns, the first row has 2"),
        ("\n1,0\n", "row 1 is empty"),
        ("1,0\n\n", "row 2 is empty"),
        ("1,\ud800\n", "not a text of comma-separated values"),
    ],
)
def test_faults_of_csv(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(MalformedError, match=rf"rows\.csv.*{message}"):
        read_rows(path)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([[0, 1], [3, 1]]), "row 2, column 1: '3' is not 0 or 1"),
        (np.array([[0.5]]), "row 1, column 1: '0.5' is not 0 or 1"),
        (np.array([[np.nan]]), "row 1, column 1: 'nan' is not 0 or 1"),
        (np.array([0, 1]), "not a table of numbers"),
        (np.array([["0"]]), "not a table of numbers"),
        (np.zeros((0, 3)), "holds no rows"),
        (np.zeros((3, 0)), "holds no rows"),
    ],
)
def test_faults_of_npy(tmp_path: Path, array: np.ndarray, message: str) -> None:
    np.save(tmp_path / "rows.npy", array)
    with pytest.raises(MalformedError, match=rf"rows\.npy.*{message}"):
        read_rows(tmp_path / "rows.npy")


def test_a_npy_file_that_would_run_code_or_is_none_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "objects.npy", np.array([[object()]], dtype=object), allow_pickle=True)
    (tmp_path / "text.npy").write_text("1,0\n")
    (tmp_path / "empty.npy").touch()
    with (tmp_path / "several.npy").open("wb") as file:
        np.savez(file, np.eye(2))
    for name in ("objects.npy", "text.npy", "empty.npy", "several.npy"):
        with pytest.raises(MalformedError, match=f"{name} is not a .npy file of numbers"):
            read_rows(tmp_path / name)


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000, 10), }",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (10000000000000000000000, 10), }",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (True, 2), }",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 2), }",
        "{'descr': '|u1', 'fort",
        "-" * 9000 + "1",
    ],
    ids=["beyond memory", "beyond integers", "no number", "cut off", "no dictionary", "too deep"],
)
def test_a_npy_file_with_a_wrong_header_is_refused(tmp_path: Path, header: str) -> None:
    path = tmp_path / "rows.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + b"\x01\x00")
    with pytest.raises(MalformedError, match=r"rows\.npy is not a \.npy file of numbers, or is cut off"):
        read_rows(path)


def test_a_named_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "rows.csv")
    with pytest.raises(MalformedError, match="not a regular file"):
        read_rows(tmp_path / "rows.csv")


def test_other_kinds_of_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"rows\.xlsx is neither \.csv nor \.npy"):
        read_rows(tmp_path / "rows.xlsx")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MalformedError, match=r"rows\.csv cannot be read: No such file"):
        read_rows(tmp_path / "rows.csv")
