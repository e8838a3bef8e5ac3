"""What versions of the firmware must have in common, so that an update and a roll-back lose no counter."""

import os

import bench
import flash
from suat_node.keep import counters
from suat_node.mac.session import Session


def written_by(names, folder):
    """Counters as a version with these names leaves them: each its place in the table, plus 100."""
    own = counters._NAMES
    counters._NAMES = names
    try:
        made = counters.Counters(folder)
        for i, name in enumerate(names):
            setattr(made, name, i + 100)
        made.waiting, made.named = [7, 9], [5]
        made.save(Session(bench.settings()))
    finally:
        counters._NAMES = own


def test_counters_pass_between_versions_that_know_more_and_fewer_of_them():
    own = counters._NAMES
    for names in (own[:-2], own, own + ("later", "later_still")):
        flash.remove_tree(bench.FOLDER)
        os.mkdir(bench.FOLDER)
        written_by(names, bench.FOLDER)
        session = Session(bench.settings())
        read = counters.Counters(bench.FOLDER)
        remembered = counters.newest_copy(bench.FOLDER)[0]
        assert not read.load(remembered, session), "from RTC memory as from flash"
        for i, name in enumerate(own):
            assert getattr(read, name) == (i + 100 if name in names else 0), name
        assert read.waiting == [7, 9] and read.named == [5]
        assert session.joined and session.dev_addr == 0x01020304
