"""Bits flipped, files cut off, a disk that fills up, syncs that fail. `omnilive bench durability` is the long form."""

from pathlib import Path

import pytest

from evaluation.micro.durable import disk
from evaluation.micro.durable.damage import damage
from evaluation.micro.durable.trace import judge


def test_damage_never_makes_memory_say_what_is_not_so(tmp_path: Path) -> None:
    outcome = damage(tmp_path, 40, 20, seed=7, progress=lambda _: None)
    assert outcome.wrong == []
    assert outcome.tried == outcome.harmless + outcome.told + len(outcome.silent)
    assert outcome.told > 10
    assert outcome.harmless > 10


def test_a_disk_that_is_full_lets_read_and_forget_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    try:
        assert disk.full_disk(tmp_path / "small", 64) == []
    except disk.ToolMissing as missing:
        pytest.skip(str(missing))


def test_nothing_is_told_before_it_is_on_the_disk(tmp_path: Path) -> None:
    try:
        order = disk.order(tmp_path / "a", 6)
    except disk.ToolMissing as missing:
        pytest.skip(str(missing))
    assert order.faults == []
    assert order.acknowledged > 5
    assert order.syncs > order.acknowledged


@pytest.mark.parametrize("at", [13, 14], ids=["while the store is made", "of a commit"])
def test_nothing_is_written_behind_a_sync_that_failed(tmp_path: Path, at: int) -> None:
    try:
        assert disk.failed_sync(tmp_path / "a", 8, at) == []
    except disk.ToolMissing as missing:
        pytest.skip(str(missing))


WAL, DB = "4</d/cam/memory.sqlite-wal>", "3</d/cam/memory.sqlite>"
TOLD = '7 write(1<pipe:[1]>, "kept default/cam e_1 0 3\\n", 25) = 25'


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ([f'8 pwrite64({WAL}, "x", 24, 32) = 24', TOLD], "told before it was synced"),
        ([f'8 pwrite64({WAL}, "x", 24, 32) = 24', f"8 fdatasync({WAL}) = -1 EIO (x)", TOLD], "told before it was"),
        ([f'8 pwrite64({WAL}, "x", 24, 32) = 24', f"8 fdatasync({WAL}) = 0", TOLD], None),
        (
            [f'8 pwrite64({WAL}, "x", 24, 32 <unfinished ...>', "8 <... pwrite64 resumed>) = 24", TOLD],
            "told before it was synced",
        ),
        ([f'8 pwrite64({DB}, "x", 24, 32) = 24', f'8 pwrite64({WAL}, "x", 32, 0) = 32'], "a log begins anew"),
        ([f'8 pwrite64({DB}, "x", 24, 32) = 24', '8 rename("/d/cam", "/d/dog") = 0'], "a rename of what is not synced"),
        (['8 rename("/d/cam", "/d/dog") = 0', TOLD], "told before its folder was synced"),
        (['8 rename("/d/cam", "/d/dog") = 0', "8 fsync(5</d>) = 0", TOLD], None),
    ],
)
def test_a_wrong_order_is_seen(lines: list[str], fault: str | None) -> None:
    found = judge(lines).faults
    assert [one.startswith(fault) for one in found] == [True] if fault is not None else found == []
