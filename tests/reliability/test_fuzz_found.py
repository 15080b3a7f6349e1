"""What fuzzing found: every input that once ended in something else than a right result or a clear error."""

from __future__ import annotations

import subprocess
import sys

import pytest

from engine.errors import EngineError
from jobs.errors import JobError
from storage.errors import StoreError


@pytest.mark.parametrize("kind", [JobError, StoreError, EngineError])
def test_a_message_is_one_line_whatever_name_it_quotes(kind):
    assert str(kind("no column 'a\nb', only \x1b[31mred\0 日本語 é")) == "no column 'a b', only �[31mred� 日本語 é"
    assert str(kind("right-to-left \u202egnp.exe and half a character \ud800")).isprintable()
    long = str(kind(f"the column {'x' * 5000} is not there"))
    assert len(long) <= 1000 and long.startswith("the column xxx") and long.endswith("xxx is not there")


def test_the_command_line_says_one_printable_line(tmp_path):
    (tmp_path / "rows.csv").write_bytes(b'"a\nb\x1b[2J",c\n1,2\n')
    command = ["-m", "jobs", "run", "--data", str(tmp_path / "rows.csv"), "--model", "timm:x", "--store", str(tmp_path)]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and done.stderr.strip().isprintable()
