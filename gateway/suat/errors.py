"""What can go wrong, said in one line that a person can act on."""

from __future__ import annotations

import difflib


class SuatError(Exception):
    """It failed: the message says what, where and what to do. The commands exit with `exit_status`."""

    exit_status = 1


class UsageError(SuatError):
    """A command or a configuration that can't be meant so."""

    exit_status = 2


def did_you_mean(word: str, known: list[str]) -> str:
    """' (did you mean "..."?)', or nothing when no known word is close."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f' (did you mean "{close[0]}"?)' if close else ""


def printable(text: str) -> str:
    """One line on any terminal, whatever was quoted in it."""
    return "".join([sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text])
