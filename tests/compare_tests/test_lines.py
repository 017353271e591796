"""Lines that are kept on the disk: the same text, whatever the disk does, and little memory."""

from __future__ import annotations

import os
import pickle
import tracemalloc

import pytest

from compare.records.lines import WAITING_BYTES, Lines, Spool
from compare.records.tables import TABLES, TimingRow, TrainingLog, rows_text


def timing(steps, seed=0):
    return [TimingRow("SGD", seed, step, 0.1 * step, 0.2) for step in steps]


def test_lines_of_several_tables_come_back_in_their_order(tmp_path):
    spool, first, second = Spool(tmp_path), Lines("é0\n"), Lines()
    for lines in (first, second):
        lines.keep_in(spool)
    texts = {first: "é0\n", second: ""}
    for number in range(40):
        lines = first if number % 3 else second
        text = f"{number} é\n" * (WAITING_BYTES // 30)
        lines.add(text)
        texts[lines] += text
    for lines, text in texts.items():
        assert str(lines) == text
        assert b"".join(lines.pieces()).decode() == text
        assert len("".join(lines._waiting)) <= WAITING_BYTES
    assert os.listdir(tmp_path) == [] or os.name == "nt"  # the file has no name


def test_lines_stay_in_memory_where_there_is_no_disk(tmp_path, monkeypatch):
    lines = Lines()
    lines.keep_in(Spool(tmp_path / "absent"))
    lines.add("a\n" * WAITING_BYTES)
    assert str(lines) == "a\n" * WAITING_BYTES
    spool = Spool(tmp_path)
    full = Lines()
    full.keep_in(spool)
    full.add("b\n" * WAITING_BYTES)

    class Full:
        seek = spool._file.seek
        read = spool._file.read

        def write(self, data):
            raise OSError(28, "No space left on device")

    whole, spool._file = spool._file, Full()
    full.add("c\n" * WAITING_BYTES)
    assert str(full) == "b\n" * WAITING_BYTES + "c\n" * WAITING_BYTES
    spool._file = whole
    full.add("d\n")
    full.spill()
    assert str(full).endswith("c\nd\n")
    assert not full._waiting
    whole.truncate(10)
    with pytest.raises(OSError, match="earlier rows are gone"):
        str(full)


@pytest.mark.parametrize("most_rows", [None, 3])
def test_a_log_writes_the_same_lines_however_it_keeps_them(tmp_path, most_rows):
    rows = timing(range(20))
    log = TrainingLog("SGD", 0, most_rows)
    log.keep_lines_in(Spool(tmp_path))
    for row in rows:
        log.add("timing", row)
        if row.step % 7 == 0:
            assert log.text("timing") == rows_text(rows[: row.step + 1])
    assert b"".join(log.pieces("timing")).decode() == rows_text(rows)
    assert log.rows["timing"] == rows[20 - len(log.rows["timing"]) :]
    assert (len(log.rows["timing"]) == 20) == (most_rows is None)
    copy = pickle.loads(pickle.dumps(log))
    assert copy.text("timing") == rows_text(rows)
    copy.add("timing", *timing([20]))
    assert copy.text("timing") == rows_text(timing(range(21)))
    copy.restore(log.texts())
    assert copy.text("timing") == rows_text(rows)
    assert all(copy.text(name) == "" for name in TABLES if name != "timing")


def test_the_memory_of_a_log_does_not_grow_with_its_rows(tmp_path, monkeypatch):
    monkeypatch.setattr("compare.records.lines.WAITING_BYTES", 10_000)
    monkeypatch.setattr("compare.records.lines.PIECE_BYTES", 10_000)

    def most(rows: int) -> int:
        log = TrainingLog("SGD", 0, 500)
        log.keep_lines_in(Spool(tmp_path))
        tracemalloc.start()
        for step in range(rows):
            log.add("timing", TimingRow("SGD", 0, step, 0.1 * step, 0.2))
        size = sum(map(len, log.pieces("timing")))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert size > 20 * rows
        return peak

    few, many = most(4_000), most(16_000)
    assert many < 1.5 * few
