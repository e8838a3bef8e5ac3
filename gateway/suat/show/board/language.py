"""Which language a reader gets: what was chosen last, else what the browser asks for, else the first."""

from __future__ import annotations

from starlette.requests import Request

from suat.locales import LANGUAGES

COOKIE = "suat_language"
COOKIE_AGE_S = 400 * 24 * 3600  # the longest that browsers keep one


def chosen(request: Request) -> str | None:
    """The language that this very request chooses (`?lang=`), None when it chooses none that there is."""
    language = request.query_params.get("lang")
    return language if language in LANGUAGES else None


def of(request: Request) -> str:
    """The language to answer in."""
    remembered = request.cookies.get(COOKIE)
    if (language := chosen(request)) is not None:
        return language
    if remembered in LANGUAGES:
        return str(remembered)
    return _accepted(request.headers.get("accept-language", "")) or LANGUAGES[0]


def _accepted(header: str) -> str | None:
    """The language of an Accept-Language header that is wanted most and that there is; None for none."""
    wanted = []
    for place, part in enumerate(header[:500].split(",")):
        tag, _, quality = part.strip().partition(";q=")
        language = tag.split("-")[0].lower()
        try:
            weight = float(quality or 1)
        except ValueError:
            continue
        if language in LANGUAGES and weight > 0:
            wanted.append((-weight, place, language))
    return min(wanted)[2] if wanted else None
