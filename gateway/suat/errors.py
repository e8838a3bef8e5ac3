"""What can go wrong, said in one line that a person can act on."""

from __future__ import annotations


class SuatError(Exception):
    """It failed: the message says what, where and what to do. The commands exit with `exit_status`."""

    exit_status = 1


class UsageError(SuatError):
    """A command or a configuration that can't be meant so."""

    exit_status = 2
