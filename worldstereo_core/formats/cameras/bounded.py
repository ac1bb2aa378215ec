"""Reading files of unknown origin: bounded size, plain JSON, no way out of the file's own folder."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from ...checks import PathError

MAX_BYTES = 512 * 2**20
_ZIP = b"PK\x03\x04"


def read_bytes(path: Path, expected: str) -> bytes:
    """The content of a file.

    Args:
        expected: what the file should be, for messages, e.g. ``"a COLMAP images.bin"``.

    Raises: PathError if it cannot be read, is empty, larger than 512 MiB, or a zip archive.
    """
    try:
        if path.is_dir():
            raise PathError(f"{path}: is a folder, expected {expected}. Choose the file inside it.")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise PathError(
                f"{path.name}: has {size / 2**20:.0f} MiB, expected {expected} of at most "
                f"{MAX_BYTES // 2**20} MiB. Export the camera alone, without meshes or points."
            )
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise PathError(f"{path}: there is no such file; expected {expected}. Check the name.") from error
    except OSError as error:
        raise PathError(
            f"{path.name}: cannot be read ({error}); expected {expected}. Check the file."
        ) from error
    if not content:
        raise PathError(f"{path.name}: the file is empty, expected {expected}. Export the camera again.")
    if content.startswith(_ZIP):
        raise PathError(
            f"{path.name}: is a zip archive, expected {expected}. Unpack it and choose the file inside it."
        )
    return content


def read_text(path: Path, expected: str) -> str:
    """The content of a UTF-8 text file (a byte order mark is skipped).

    Raises: PathError as ``read_bytes``, or if it is not text.
    """
    content = read_bytes(path, expected)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PathError(
            f"{path.name}: is not text ({error.reason} at byte {error.start}), expected {expected}. Choose "
            "another file."
        ) from error


def parse_json(path: Path, text: str | bytes, expected: str) -> Any:
    """JSON of any shape.

    Raises: PathError if it is not JSON or nested too deeply.
    """
    try:
        # A number too long for a float becomes infinite, which the camera checks refuse with its frame.
        return json.loads(text, parse_int=lambda digits: int(digits) if len(digits) < 300 else float(digits))
    except RecursionError as error:
        raise PathError(
            f"{path.name}: the JSON is nested too deeply, expected {expected}. Export the camera again."
        ) from error
    except ValueError as error:
        raise PathError(
            f"{path.name}: is not JSON ({error}), expected {expected}. Export the camera again."
        ) from error


def read_json_object(path: Path, expected: str) -> dict[str, Any]:
    """A JSON file that holds an object. Raises: PathError."""
    content = parse_json(path, read_text(path, expected), expected)
    if not isinstance(content, dict):
        raise PathError(
            f"{path.name}: holds a JSON {type(content).__name__}, expected {expected}. Choose another file."
        )
    return content


def number(path: Path, field: str, value: Any) -> float:
    """A JSON value as a number. Raises: PathError if it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise PathError(f"{path.name}: {field} is {shown(value)}, expected a number. Correct the file.")
    return float(value)


def pixels(path: Path, field: str, value: Any) -> int:
    """A JSON value as whole pixels above 0. Raises: PathError if it is none."""
    size = number(path, field, value)
    if not 1 <= size <= 1e6 or size != int(size):
        raise PathError(
            f"{path.name}: {field} is {shown(value)}, expected whole pixels above 0. Correct it to the size "
            "of the picture."
        )
    return int(size)


def matrix(path: Path, field: str, value: Any, rows: int, columns: int) -> list[list[float]]:
    """A JSON value as a matrix of numbers. Raises: PathError if it is none."""
    fits = (
        isinstance(value, list)
        and len(value) == rows
        and all(isinstance(row, list) and len(row) == columns for row in value)
    )
    if not fits:
        got = f"{len(value)} entries" if isinstance(value, list) else shown(value)
        raise PathError(
            f"{path.name}: {field} holds {got}, expected {rows}x{columns} numbers. Correct the file."
        )
    for row in value:
        for entry in row:
            if type(entry) is not float:
                number(path, field, entry)
    return value


def beside(path: Path, field: str, name: str) -> Path:
    """A file that another file names, which must lie in the same folder or below it.

    Raises: PathError for absolute names, ``..``, links that lead out, and addresses.
    """
    folder = path.parent.resolve()
    plain = name.replace("\\", "/")
    outside = (
        plain.startswith("/") or re.match(r"^[A-Za-z][A-Za-z0-9+.-]*:", plain) or ".." in plain.split("/")
    )
    target = folder if outside else (folder / plain).resolve()
    if outside or folder not in target.parents:
        raise PathError(
            f"{path.name}: {field} names {name[:80]!r}, expected a file in the folder of {path.name}. Put "
            "the file there, or export everything into one file."
        )
    return target


def shown(value: Any) -> str:
    """A value as it stands in a message, cut short."""
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def natural_order(names: list[str]) -> list[int]:
    """Indices that sort names with numbers in them as a person would: frame_2 before frame_10."""

    def key(index: int) -> list[tuple[int, int, str]]:
        # The length guard keeps absurd digit runs as text.
        return [
            (0, int(part), "") if part.isdecimal() and len(part) < 300 else (1, 0, part)
            for part in re.split(r"(\d+)", names[index])
            if part
        ]

    return sorted(range(len(names)), key=key)
