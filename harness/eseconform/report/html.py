"""The page: one file, ``index.html``, that needs neither network nor scripts to be read."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from eseconform.report.drawing import draw_case, opens, timeline
from eseconform.report.matrix import Source, merge
from eseconform.report.words import MEANING, ledger_text, printable, shown_how
from eseconform.results import RuleText
from eseconform.sequence import size_text
from eseconform.verdicts import Axis, Verdict

HTML_NAME = "index.html"
DRAWN_CASES_MAX = 600
"""Sequences in one page; beyond it, those of cases that passed are left to the transcripts."""
OPEN_CASES_MAX = 10
"""Cases whose sections are open from the start: the worst ones."""
BARS_MAX = 400
CRITICAL_MAX = 20
TEXT_CHARACTERS_MAX = 20_000


def html(sources: Sequence[Source]) -> str:
    """The page for one run, or for several beside one another."""
    matrix = merge(sources)
    rules: dict[str, RuleText] = {}
    for run in matrix.runs:
        rules.update(run.rules)
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            matrix=matrix,
            rules=dict(sorted(rules.items())),
            axes=list(Axis),
            single=matrix.runs[0] if len(matrix.runs) == 1 else None,
            open_max=OPEN_CASES_MAX,
            many_columns=len(matrix.columns) > 1,
            many_profiles=len({e.case.profile for e in matrix.entries if e.case.profile}) > 1,
            critical_max=CRITICAL_MAX,
            draws_all=len(matrix.entries) <= DRAWN_CASES_MAX,
            timelines=[timeline(matrix, number)[:BARS_MAX] for number in range(len(sources))],
        )
    )


def write_html(sources: Sequence[Source], folder: Path) -> Path:
    """Write ``index.html`` into a folder; returns its path."""
    path = folder / HTML_NAME
    path.write_text(html(sources), encoding="utf-8", errors="replace")
    return path


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("eseconform.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"size": size_text, "css": css_class, "web": web_link}
    environment.filters |= {"ledger": ledger_text, "shown_how": shown_how}
    environment.globals |= {
        "draw_case": draw_case,
        "opens": opens,
        "transcript_link": transcript_link,
        "meaning": MEANING,
        "good": lambda verdict: verdict.is_good,
    }
    return environment


def _shown(value: Any) -> Any:
    """Every value on its way into the page: made printable, and cut."""
    if isinstance(value, str) and not isinstance(value, Markup):
        if len(value) > TEXT_CHARACTERS_MAX:
            value = f"{value[:TEXT_CHARACTERS_MAX]} ... cut at {TEXT_CHARACTERS_MAX} characters"
        return printable(value)
    return value


def css_class(verdict: Verdict) -> str:
    """A verdict as the name of a class: ``v-fail``."""
    return f"v-{verdict.name.lower().replace('_', '-')}"


def web_link(link: str) -> str:
    """A link that leads to the web; empty for any other, such as one that runs a script."""
    return link if link.startswith(("https://", "http://")) else ""


def transcript_link(source: Source, name: str | None) -> str:
    """A link to a transcript beside the results; empty for a name that leads elsewhere."""
    if not name or name.startswith("/") or "\\" in name or ".." in name.split("/"):
        return ""
    folder = f"{source.folder}/" if source.folder else "./"
    return quote(unicodedata.normalize("NFC", folder + name), errors="replace")
