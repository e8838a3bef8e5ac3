"""The program's modules, made as new for each start of the program. Runs on MicroPython.

A restart forgets them and imports them again, as on a board. Importing costs more than all that a wake does, so a long
run may instead put back what each module held right after its import: every name, and the contents of lists, dicts and
bytearrays. Attributes that a program writes onto its own classes are not put back; nobody does that here.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PACKAGES = ("suat_node", "suat_wire")


def _is_program(name: str, main: str) -> bool:
    return name.split(".")[0] in PACKAGES or name == main


def forget(main: str) -> "list[str]":
    """Forget all modules of the program; their names."""
    names = [name for name in sys.modules if _is_program(name, main)]
    for name in names:
        del sys.modules[name]
    return names


class Image:
    """What the program's modules held right after their import."""

    def __init__(self, names: "list[str]", main: str) -> None:
        self.main = main
        self.modules = []
        for name in sorted(names):
            if name != main:
                __import__(name)
        for name in sorted(sys.modules):
            if _is_program(name, main):
                module = sys.modules[name]
                held = dict(module.__dict__)
                contents = [(value, value[:]) for value in held.values() if isinstance(value, (list, bytearray))]
                tables = [(value, dict(value)) for value in held.values() if type(value) is dict]
                self.modules.append((module, held, contents, tables))

    def restore(self) -> None:
        """Make all modules as new; the main module, and what was first imported since, are to be imported again."""
        known = [module.__name__ for module, _held, _contents, _tables in self.modules]
        for name in list(sys.modules):
            if _is_program(name, self.main) and name not in known:
                del sys.modules[name]
        for module, held, contents, tables in self.modules:
            now = module.__dict__
            if len(now) != len(held):
                for key in [key for key in now if key not in held]:
                    delattr(module, key)
            for key in held:
                if now[key] is not held[key]:
                    setattr(module, key, held[key])
            for value, content in contents:
                if value != content:
                    value[:] = content
            for table, entries in tables:
                if table != entries:
                    table.clear()
                    table.update(entries)


def run(start: "Any", main: str, fresh_every: int) -> None:
    """Call `start(main)` for each life of the program, its modules as new; import them anew every n-th life."""
    image = None
    lives = 0
    while True:
        lives += 1
        if image is None or lives % fresh_every == 0:
            names = forget(main)  # before the first life: what the simulator itself imported, which is not all
            image = Image(names, main) if fresh_every > 1 and lives > 1 else None
        else:
            image.restore()
        start(main)
