"""What there is: cases, rules and the zoo, as tables and in full."""

from __future__ import annotations

from rich.table import Table

from eseconform.cases import Case, catalogue
from eseconform.cmdspec import PLACEHOLDERS, variable_of
from eseconform.errors import UsageError
from eseconform.requirements import Requirement, requirements
from eseconform.restorejob import describe
from eseconform.serverside.rules import server_rules
from eseconform.zoo.specimens import SPECIMENS


def case_table() -> Table:
    """All cases."""
    cases = catalogue().cases
    table = Table(title=f"{len(cases)} cases", title_justify="left")
    for column in ("case", "family", "suites", "what it is about"):
        table.add_column(column, no_wrap=column == "case")
    for case in cases.values():
        table.add_row(case.id, case.family, ", ".join(case.suites), case.title)
    return table


def requirement_table() -> Table:
    """All rules."""
    rules = requirements()
    table = Table(title=f"{len(rules)} rules", title_justify="left")
    for column in ("rule", "level", "evidence", "axis", "statement"):
        table.add_column(column, no_wrap=column == "rule")
    for rule in rules.values():
        table.add_row(rule.id, rule.level, rule.evidence.value, rule.axis, rule.statement)
    return table


def zoo_table() -> Table:
    """All clients of the zoo."""
    table = Table(title=f"{len(SPECIMENS)} clients", title_justify="left")
    for column in ("client", "caught on", "what is special about it"):
        table.add_column(column, no_wrap=column == "client")
    for specimen in SPECIMENS:
        axis = specimen.axis.value if specimen.axis else "passes"
        table.add_row(specimen.sut, axis, specimen.explanation)
    return table


def placeholder_table() -> Table:
    """What the command line of a client that is a program may name."""
    table = Table(title=f"{len(PLACEHOLDERS)} placeholders of --sut cmd:", title_justify="left")
    for column in ("placeholder", "variable", "what it stands for"):
        table.add_column(column, no_wrap=column != "what it stands for")
    for name, meaning in PLACEHOLDERS.items():
        table.add_row(f"{{{name}}}", variable_of(name), meaning)
    return table


def server_table() -> Table:
    """All checks of servers."""
    from eseconform.serverside.run import CHECKS

    table = Table(title=f"{len(CHECKS)} checks of servers", title_justify="left")
    for column in ("check", "family", "what it is about", "rules"):
        table.add_column(column, no_wrap=column == "check")
    for check in CHECKS:
        table.add_row(check.id, check.family, check.title, ", ".join(check.rules))
    return table


def description(name: str) -> str:
    """Everything about a case or a rule.

    Raises:
        UsageError: there is neither of that name.
    """
    case = catalogue().cases.get(name)
    if case is not None:
        return _describe_case(case)
    if name.upper() in requirements():
        return _describe_requirement(requirements().find(name))
    if name.upper() in server_rules():
        return _describe_server_rule(server_rules().find(name))
    raise UsageError(f"there is no case and no rule {name!r}; `eseconform list` names them")


def _describe_case(case: Case) -> str:
    lines = [f"{case.id}: {case.title}", f"family {case.family}, topology {case.topology}", ""]
    for number, job in enumerate(case.jobs, 1):
        groups = ", ".join(job.groups) or "all storage groups"
        work = f" after {job.steps_before} steps of work" if job.steps_before else ""
        if job.databases:
            groups = f"{', '.join(job.databases)} in {groups}"
        outcome = {
            "success": "must succeed",
            "any": "may fail, honestly",
            "refused": f"is refused with {job.answer}",
            "hopeless": "can't succeed, whoever notices",
        }[job.expect.value]
        how = describe(job)
        lines.append(f"job {number}: {job.kind.value} of {groups}{work}{how}; {outcome}")
    lines += [f"fault in job {fault.job + 1}: {fault.text}" for fault in case.faults]
    lines += [f"in job {event.job + 1} others: {event.text}" for event in case.events]
    if case.profile or case.quirks:
        lines.append(f"server: {', '.join([case.profile or 'as the topology', *case.quirks])}")
    if case.needs:
        lines.append(f"needs a client that declares: {', '.join(sorted(case.needs))}")
    lines += ["", "can decide:"]
    for key in case.requirements:
        lines.append(f"  {key}  {requirements()[key].statement}")
    return "\n".join(lines)


def _describe_server_rule(rule: Requirement) -> str:
    from eseconform.serverside.run import CHECKS

    lines = _rule_lines(rule)
    lines.append(f"a server that breaks it gets {rule.verdict_when_broken}")
    lines.append(f"decided by: {', '.join(c.id for c in CHECKS if rule.id in c.rules)}")
    return "\n".join(lines)


def _describe_requirement(rule: Requirement) -> str:
    lines = _rule_lines(rule)
    lines.append(f"a client that breaks it gets {rule.verdict_when_broken}")
    cases = ", ".join(case.id for case in catalogue().deciding(rule.id))
    lines.append(f"decided by: {cases}")
    return "\n".join(lines)


def _rule_lines(rule: Requirement) -> list[str]:
    lines = [
        f"{rule.id} ({rule.level.value}, {rule.evidence.value}, axis {rule.axis})",
        rule.statement,
        "",
        f"source: {rule.source}",
    ]
    if rule.link:
        lines.append(f"        {rule.link}")
    lines.append(f"phases: {', '.join(rule.phases)}")
    return lines
