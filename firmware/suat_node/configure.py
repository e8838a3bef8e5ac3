"""Settings from the network (FPort 5): on trial until a downlink is heard under them, else back by themselves.

While something is on trial each uplink asks for an acknowledgement. The first genuine downlink accepts it; after
`settings.UPLINKS` uplinks or cold starts without one, or `_TRIAL_S`, the values of before are in force again.
"""

from micropython import const
from suat_wire.control import decode_config
from suat_wire.fields import PayloadError

from suat_node import power
from suat_node.keep import delivery

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from suat_node.node import Node

_TRIAL_S = const(43200)
_SOON_S = const(10)
_ROLLED_BACK = const(64)  # bit of suat_wire.document.EVENTS
_ACTIONS = ("resend_from", "rejoin", "restart")


def change(node: "Node", data: bytes) -> "tuple[bool, bool]":
    """Take a settings downlink, all of it or nothing; (rejoin, restart) for the caller."""
    try:
        settings = decode_config(data)
    except PayloadError:
        return False, False
    actions = [settings.pop(name, None) for name in _ACTIONS]
    session, counters, now = node.session, node.counters, power.clock()
    if settings:
        if not node.settings.begin(settings, session.adr, session.dr, now):
            return False, False
        _tune(node)
        counters.next_sense = min(counters.next_sense, now + _SOON_S)
    if actions[0] is not None:
        for record in node.backlog.held[-64:]:  # no more can wait
            if record >= actions[0]:
                delivery.waits(counters, record)
    return actions[1] == 1, actions[2] == 1


def heard(node: "Node") -> None:
    """A genuine downlink came while something was on trial."""
    node.settings.accept()
    node.counters.health_at = 0  # health goes with the next sample


def restarted(node: "Node") -> None:
    """A cold start in the middle of a trial counts as an uplink without an answer: it may have been the cause."""
    node.settings.count(power.clock())
    _tune(node)  # the power may have gone before the counters were saved


def _tune(node: "Node") -> None:
    trial, session = node.settings.trial, node.session
    session.adr = trial.get("adr", session.adr) == 1
    session.dr = trial.get("data_rate", session.dr)


def unheard(node: "Node") -> None:
    """An uplink got no answer while something was on trial."""
    node.settings.count()
    check(node)


def check(node: "Node") -> None:
    """Go back if the trial has failed."""
    settings, session, counters = node.settings, node.session, node.counters
    if settings.left and 0 <= power.clock() - settings.since < _TRIAL_S:
        return
    if "adr" in settings.trial or "data_rate" in settings.trial:
        session.adr, session.dr = settings.adr == 1, settings.dr
    counters.events |= _ROLLED_BACK
    counters.health_at = 0
    try:  # before the trial is forgotten, so that a power cut in between goes back once more
        counters.save(session)
    except OSError:
        pass
    settings.trial = {}
    settings.save()
