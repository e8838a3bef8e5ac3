"""docs/payload.md is what the code prints."""

import subprocess
import sys

from suat_wire import control, document, fields


def test_the_page_is_up_to_date() -> None:
    assert document.path().read_text() == document.page(), "run: python -m suat_wire.document > docs/payload.md"


def test_every_field_and_setting_is_explained_and_no_other() -> None:
    named = {f"{group.rstrip('1234')}.{field[0]}" for group, table in fields.GROUPS for field in table}
    assert set(document.FIELD_MEANING) == named
    assert set(document.SETTING_MEANING) == {setting[1] for setting in control.SETTINGS}


def test_it_is_printed_by_the_command_that_it_names() -> None:
    command = [sys.executable, "-m", "suat_wire.document"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == document.page()
