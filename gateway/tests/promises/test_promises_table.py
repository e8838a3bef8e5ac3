"""docs/promises.md names a test for each promise, and each test it names is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "promises.md"
TEST = re.compile(r"`([\w/]+/test_\w+\.py)::(\w+)`")
PROMISES = range(1, 18)


def rows() -> dict[int, list[str]]:
    """The cells behind the number, of each row of the table."""
    found: dict[int, list[str]] = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if match := re.match(r"\| *(\d+) *\|(.*)\|$", line):
            assert int(match[1]) not in found, f"promise {match[1]} has two rows"
            found[int(match[1])] = [cell.strip() for cell in match[2].split("|")]
    return found


def functions(path: Path) -> set[str]:
    """The tests that a file defines; FileNotFoundError when there is none."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}


def test_the_table_has_each_promise_once() -> None:
    assert list(rows()) == list(PROMISES)


@pytest.mark.parametrize("number", PROMISES)
def test_a_promise_is_proved_by_a_test_that_is_there(number: int) -> None:
    promise, tests, command, figure = rows()[number]
    assert promise and command and figure
    named = TEST.findall(tests)
    assert named, "no test is named"
    for file, function in named:
        assert function in functions(ROOT / file), f"{file} has no {function}"


@pytest.mark.parametrize("number", PROMISES)
def test_the_command_of_the_full_run_starts_what_is_there(number: int) -> None:
    """A test by its id, or a program of the tree."""
    command = rows()[number][2]
    for file, function in TEST.findall(command.replace(" ", "` `")):
        assert function in functions(ROOT / file)
    programs = re.findall(r"[\w/]+\.py", command)
    assert programs, command
    for program in programs:
        assert (ROOT / program).exists(), f"there is no {program}"


def test_a_missing_test_is_seen(tmp_path: Path) -> None:
    """The check itself can fail."""
    assert "test_that_nobody_wrote" not in functions(Path(__file__))
    with pytest.raises(FileNotFoundError):
        functions(tmp_path / "test_gone.py")
