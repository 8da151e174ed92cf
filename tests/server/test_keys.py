"""Keys: made, listed, revoked; what they open; and what is kept of them."""

import json
import stat
import threading
from pathlib import Path

import pytest

from server.errors import StartError
from server.keys import ALL_SCOPES, KeyFile, KeyRefused, Keys, Principal, fingerprint, first_key


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "data")


def test_a_key_is_told_once_and_its_hash_kept(file: KeyFile, tmp_path: Path) -> None:
    key = file.create("door", "home", ("ask", "view"))
    assert key.startswith("ol_")
    assert len(key) > 40
    kept = tmp_path / "data" / "keys"
    assert key not in kept.read_text()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    [record] = file.read()
    assert (record.name, record.tenant, record.scopes) == ("door", "home", ("view", "ask"))
    assert record.sha256 == fingerprint(key)


@pytest.mark.parametrize(
    ("name", "tenant", "scopes"),
    [
        ("", "home", ("view",)),
        ("../x", "home", ("view",)),
        ("a", "a/b", ("view",)),
        ("a", "home", ("see",)),
        ("a", "b", ()),
    ],
)
def test_what_is_no_key(file: KeyFile, name: str, tenant: str, scopes: tuple[str, ...]) -> None:
    with pytest.raises(KeyRefused):
        file.create(name, tenant, scopes)
    assert file.read() == []


def test_names_are_used_once(file: KeyFile) -> None:
    file.create("door")
    with pytest.raises(KeyRefused, match="already"):
        file.create("door")
    file.revoke("door")
    with pytest.raises(KeyRefused, match="no key door"):
        file.revoke("door")
    file.create("door")


def test_many_who_write_at_once_lose_nothing(file: KeyFile) -> None:
    threads = [threading.Thread(target=file.create, args=(f"k{n}",)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.name for one in file.read()) == sorted(f"k{n}" for n in range(12))


def test_a_key_opens_what_it_says(file: KeyFile) -> None:
    key = file.create("door", "home", ("ask",))
    keys = Keys(file, "from the environment")
    assert keys.required
    assert keys.find(key) == Principal("home", frozenset({"ask"}), fingerprint(key))
    mine = keys.find("from the environment")
    assert mine is not None
    assert mine.scopes == ALL_SCOPES
    for wrong in (None, "", key[:-1], f"{key} ", key.upper(), "ol_"):
        assert keys.find(wrong) is None


def test_a_running_server_notices_what_changes(file: KeyFile) -> None:
    told: list[bool] = []
    keys = Keys(file, None)
    keys.on_change = lambda: told.append(keys.required)
    assert not keys.required
    keys.refresh()
    key = file.create("door")
    keys.refresh()
    keys.refresh()
    principal = keys.find(key)
    assert principal is not None
    assert keys.opens(principal)
    file.create("other")
    file.revoke("door")
    keys.refresh()
    assert not keys.opens(principal)
    assert told == [True, True]


def test_without_its_last_key_a_server_is_open_only_where_nobody_else_reaches_it(file: KeyFile) -> None:
    file.create("door")
    inside, outside = Keys(file, None), Keys(file, None, closed=True)
    file.revoke("door")
    for keys in (inside, outside):
        keys.refresh()
    assert not inside.required
    assert outside.required
    assert outside.find("") is None


def test_a_damaged_file_opens_nothing_new(file: KeyFile, tmp_path: Path) -> None:
    key = file.create("door")
    keys = Keys(file, None)
    for damaged in ("{", "[]", '{"keys": [{"name": 3}]}', '{"keys": [{"name": "a", "tenant": "b"}]}', "\x00"):
        (tmp_path / "data" / "keys").write_text(damaged)
        with pytest.raises(StartError, match="damaged"):
            file.read()
        keys.refresh()
        assert keys.find(key) is not None


def test_the_first_key_lies_in_a_file_of_its_own(tmp_path: Path) -> None:
    place = first_key(tmp_path)
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert Keys(KeyFile(tmp_path), None).find(place.read_text().strip()) is not None
    assert json.loads((tmp_path / "keys").read_text())["keys"][0]["name"] == "first"
