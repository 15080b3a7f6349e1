"""A store behind a URL: mirrored, sent, followed, and whole at every moment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from storage import Following, Store, StoreError, address_of
from storage.remote import Mirror, patience
from storage.remote.mirror import CACHE
from tests.storage import audit


@pytest.fixture(params=["file", "memory"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where a store may be made."""
    yield f"file://{tmp_path / 'there'}" if request.param == "file" else "memory://bucket/audits"
    fsspec.filesystem("memory").store.clear()


class Machine:
    """`machine("b")`: from now on this process is on machine b, with a cache of its own."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._patch = monkeypatch
        self("a")

    def __call__(self, name: str) -> None:
        self._patch.setenv(CACHE, str(self._folder / name))


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def names_at(address: str) -> list[str]:
    system, root = fsspec.core.url_to_fs(address)
    system.invalidate_cache()
    prefix = root.rstrip("/") + "/"
    return sorted(path.removeprefix(prefix) for path in system.find(root))


def write(address: str, indices: range, *, seal: bool = False, send: bool = True) -> Store:
    store = Store.open(address, create=True)
    with store.writer("run", audit.record(), seal_every=0, grace_seconds=0) as writer:
        audit.commit(writer, *indices)
        if seal:
            writer.seal()
    if send:
        store.send("run")
    return store


def samples(store: Store) -> list[int]:
    with store.reader("run") as reader:
        return [row["sample_id"] for row in reader.query("SELECT sample_id FROM samples ORDER BY sample_id")]


def test_what_one_machine_sends_another_reads(address: str, machine: Machine) -> None:
    here = write(address, range(3))
    machine("b")
    there = Store.open(address)
    assert there.root != here.root and there.run_ids() == ["run"]
    assert samples(there) == samples(here) != []
    assert there.address == here.address == address_of(there.root) == address
    assert not [name for name in names_at(address) if name.endswith((".tmp", "lock")) or "mirror" in name]


def test_another_machine_goes_on(address: str, machine: Machine) -> None:
    write(address, range(2))
    machine("b")
    store = Store.open(address, create=True)
    with store.writer("run", audit.record()) as writer:
        assert writer.committed == {0, 1}
    write(address, range(2, 4), seal=True)
    machine("a")
    assert samples(Store.open(address)) == audit.explained_ids(*range(4))


def test_parts_that_a_segment_replaced_go_there_and_in_every_mirror(address: str, machine: Machine) -> None:
    store = write(address, range(3))
    machine("b")
    other = Store.open(address)
    assert len(list(other.layout.run("run").parts.iterdir())) == 6
    machine("a")
    write(address, range(3), seal=True)  # sealed now,
    write(address, range(0))  # and the parts are removed when the run is opened the next time
    assert not [name for name in names_at(address) if "/parts/" in name]
    assert [name for name in names_at(address) if name.endswith(".duckdb")]
    machine("b")
    assert samples(Store.open(address)) == samples(store) == audit.explained_ids(*range(3))
    assert not list(other.layout.run("run").parts.iterdir())


def test_only_what_changed_travels(address: str, machine: Machine) -> None:
    write(address, range(3))
    mirror = Mirror(address)
    assert mirror.push("run") == 0 and mirror.pull() == 0
    machine("b")
    other = Mirror(address)
    assert other.pull() == len(names_at(address)) > 6
    assert other.pull() == other.push("run") == 0


def test_a_lost_index_costs_copying_and_nothing_else(address: str, machine: Machine) -> None:
    store = write(address, range(3))
    before = samples(store)
    (store.root / ".mirror.json").write_text("{")
    assert Mirror(address).pull() > 6
    assert samples(Store.open(address)) == before


def test_what_was_not_sent_yet_stays(address: str, machine: Machine) -> None:
    write(address, range(1))
    store = write(address, range(1, 3), send=False)
    assert Mirror(address).pull() == 0
    assert samples(store) == audit.explained_ids(*range(3))
    with store.sending("run"):
        pass
    machine("b")
    assert samples(Store.open(address)) == audit.explained_ids(*range(3))


def test_a_bucket_that_was_emptied_does_not_empty_this_machine(address: str, machine: Machine) -> None:
    store = write(address, range(2))
    system, root = fsspec.core.url_to_fs(address)
    system.rm(root, recursive=True)
    with pytest.raises(StoreError, match=r"has gone .* was left as it is"):
        Store.open(address)
    following = Following(Mirror(address))
    assert following.problem is not None and "has gone" in following.problem
    following.stop()
    assert samples(store) == audit.explained_ids(0, 1)


def test_a_withdrawn_run_disappears(address: str, machine: Machine) -> None:
    store = Store.open(address, create=True)
    with store.sending("run"), store.writer("run", audit.record()) as writer:
        store.send("run")
        assert any("run.json" in name for name in names_at(address))
        writer.withdraw()
    assert names_at(address) == ["store.json"]


def test_at_every_moment_of_sending_another_machine_finds_a_whole_store(
    address: str, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after 0, 1, 2, ... files: what is there can be read, and is a subset of the samples."""
    write(address, range(2))
    store = write(address, range(2, 4), seal=True, send=False)
    everything = set(samples(store))
    whole = Mirror._send
    sent, counts = 0, []

    class Killed(BaseException):
        pass

    def send(*given: Any) -> None:
        nonlocal sent
        if sent == limit:
            raise Killed
        whole(*given)
        sent += 1

    for limit in range(1, 9):
        machine("a")
        sent = 0
        with monkeypatch.context() as patched:
            patched.setattr(Mirror, "_send", send)
            try:
                store.send("run")
                over = True
            except Killed:
                over = False
        machine(f"b{limit}")
        found = samples(Store.open(address))
        assert (
            len(found) == len(set(found)) and set(found) <= everything and len(found) >= len(audit.explained_ids(0, 1))
        )
        counts.append(len(found))
        if over:
            break
    assert counts == sorted(counts) and counts[-1] == len(everything) and len(counts) > 2


def test_a_follower_sees_what_comes_later(address: str, machine: Machine) -> None:
    write(address, range(1))
    machine("b")
    following = Following(Mirror(address), seconds=0.05)
    try:
        with Store(Mirror(address).folder).reader("run") as reader:
            machine("a")
            write(address, range(1, 2))
            for _ in range(200):
                reader.refresh()
                if reader.progress().explained == len(audit.explained_ids(0, 1)):
                    break
                following._over.wait(0.05)
            assert reader.progress().explained == len(audit.explained_ids(0, 1))
        assert following.problem is None
    finally:
        following.stop()


def test_wrong_addresses_are_one_line(machine: Machine, tmp_path: Path) -> None:
    for address, said in (
        (f"file://{tmp_path}/none", "there is no store at file://"),
        ("s3x://bucket/a", "unknown kind of address s3x://"),
    ):
        with pytest.raises(StoreError, match=said) as wrong:
            Store.open(address)
        assert "\n" not in str(wrong.value)


def test_a_place_that_takes_nothing_is_told_and_nothing_is_lost(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    address = f"file://{tmp_path}/file/audits"
    with pytest.raises(StoreError, match=r"cannot be (written|read)") as wrong:
        write(address, range(2))
    assert address in str(wrong.value) and "\n" not in str(wrong.value)


class Unsteady(MemoryFileSystem):
    """A store elsewhere whose network is away for the next `failing` files that are sent."""

    protocol = "unsteady"
    cachable = False
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    failing = 0
    attempts = 0
    error: type[OSError] = ConnectionResetError

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.replace("unsteady://", "memory://")))

    def put_file(self, *given: Any, **options: Any) -> None:
        Unsteady.attempts += 1
        if Unsteady.failing:
            Unsteady.failing -= 1
            raise self.error("the network is away")
        super().put_file(*given, **options)


@pytest.fixture
def unsteady(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of an empty store there, with short waits."""
    fsspec.register_implementation("unsteady", Unsteady, clobber=True)
    monkeypatch.setattr(patience, "WAITS", (0.001, 0.002, 0.003))
    yield "unsteady://bucket/audits"
    Unsteady.store.clear()
    Unsteady.failing, Unsteady.attempts, Unsteady.error = 0, 0, ConnectionResetError


def test_a_short_break_of_the_network_is_not_noticed(unsteady: str, machine: Machine) -> None:
    store = write(unsteady, range(2), send=False)
    Unsteady.failing = 3
    with store.sending("run"):
        pass
    assert Unsteady.failing == 0
    machine("b")
    assert samples(Store.open(unsteady)) == audit.explained_ids(0, 1)


@pytest.mark.parametrize("seal", [False, True])
def test_a_network_that_stays_away_says_what_waits_and_the_next_command_sends_it(
    unsteady: str, machine: Machine, seal: bool
) -> None:
    write(unsteady, range(1))
    store = Store.open(unsteady, create=True)
    Unsteady.failing, Unsteady.attempts = 1000, 0
    with pytest.raises(StoreError) as told, store.sending("run"):
        write(unsteady, range(1, 4), seal=seal, send=False)
    assert Unsteady.attempts == 1 + len(patience.WAITS), "bounded"
    assert "3 finished parts of 'run' wait in" in str(told.value) and "run the same command again" in str(told.value)
    assert "\n" not in str(told.value) and "the network is away" in str(told.value)
    assert samples(Store.open(unsteady)) == audit.explained_ids(*range(4))
    Unsteady.failing = 0
    with Store.open(unsteady, create=True).sending("run"):
        pass
    assert Mirror(unsteady).waiting("run") == set()
    machine("b")
    assert samples(Store.open(unsteady)) == audit.explained_ids(*range(4))


def test_what_no_second_attempt_changes_is_tried_once(unsteady: str, machine: Machine) -> None:
    store = write(unsteady, range(1), send=False)
    Unsteady.failing, Unsteady.attempts, Unsteady.error = 1000, 0, PermissionError
    with pytest.raises(StoreError, match="1 finished part of 'run' waits in"):
        store.send("run")
    assert Unsteady.attempts == 1
