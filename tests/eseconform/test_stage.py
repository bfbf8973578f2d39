"""The stage of a case: servers that are started once and copied, restores that are remembered."""

from __future__ import annotations

from pathlib import Path

import pytest

from eseconform.cases import catalogue, topology_of
from eseconform.judge.chains import assemble, set_files
from eseconform.judge.replay import Chain, restore
from eseconform.runner import run_case
from eseconform.stage import Stage
from eseconform.verdicts import Verdict
from eseconform.zoo.reference import ReferenceClient
from esesim.server import SimulatedServer
from tests.support.conformance import Job, case, run_full, settings

TINY = topology_of(case("copy-first"), catalogue())


def rows(server: SimulatedServer) -> dict[str, object]:
    (group,) = server.groups
    server.run_workload(group.name, 80)
    (store,) = group.spec.stores
    generation = group.running.log.generation
    found = server.journal.rows(store.streams[0], generation - 1)
    assert all(found.values()), "no log was closed, so that there is nothing to compare"
    return {"generation": generation, "rows": found}


def test_each_stage_has_a_server_of_its_own_that_is_like_a_new_one() -> None:
    fresh = SimulatedServer(TINY, seed=1)
    with Stage(TINY, 1) as used:
        used.work(60)
        with Stage(TINY, 1) as second:
            assert used.closed_logs() != second.closed_logs()
            second.server.groups[0].steps_per_call = fresh.groups[0].steps_per_call
            assert rows(second.server) == rows(fresh)
    fresh.close()


def test_another_seed_is_another_server() -> None:
    with Stage(TINY, 1) as one, Stage(TINY, 2) as other:
        assert rows(one.server) != rows(other.server)


def chain_of(job: Job) -> Chain:
    files = set_files(job.record, job.group)
    assert files is not None
    chain = assemble([files], job.facts[job.group].config.base)
    assert chain is not None
    return chain


def test_the_same_bytes_are_restored_once_and_changed_ones_again(tmp_path: Path) -> None:
    job = run_full(tmp_path, steps=4)
    facts, chain = job.facts[job.group], chain_of(job)
    first = restore(chain, facts.config, facts.clock)
    assert first.generation is not None
    assert restore(chain_of(job), facts.config, facts.clock) is first
    log = job.saved(".log")
    good = log.read_bytes()
    log.write_bytes(good[:4096] + bytes(4096) + good[8192:])
    assert restore(chain, facts.config, facts.clock).problem
    log.write_bytes(good)
    assert restore(chain, facts.config, facts.clock) is first
    log.unlink()
    assert restore(chain, facts.config, facts.clock).problem


class _OneByOne(ReferenceClient):
    """Declares that it can do two groups at the same time, and doesn't."""

    def back_up(self) -> None:
        for group in self.task.groups:
            self.in_context((group,))


@pytest.mark.uncovered
def test_groups_one_by_one_show_nothing_about_groups_at_the_same_time(tmp_path: Path) -> None:
    def client(api: object, task: object) -> object:
        return _OneByOne(api, task).run()  # type: ignore[arg-type]

    client.capabilities = ("parallel", "incremental")  # type: ignore[attr-defined]
    result = run_case(case("parallel-groups"), settings(tmp_path, client))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "never fired: meet before backup_open_file 1" in result.note
