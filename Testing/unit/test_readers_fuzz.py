"""A short run of the mutation fuzz; ``make bench`` runs two thousand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).resolve().parents[1] / "benchmarks" / "fuzz_readers.py"


def test_sixty_damaged_files_give_a_clip_or_a_sentence():
    pydicom = pytest.importorskip("pydicom")
    pytest.importorskip("av")
    if pydicom.__version__ < "3":
        pytest.skip("pydicom 2.4 has no encoders for the originals")
    command = [sys.executable, str(FUZZ), "--count", "60", "--seed", "7", "--workers", "2"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "60 mutants" in result.stdout


def test_the_fuzz_notices_a_reader_that_fails(tmp_path, monkeypatch):
    import importlib.util

    spec = importlib.util.spec_from_file_location("fuzz_readers", FUZZ)
    fuzz = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "fuzz_readers", fuzz)
    spec.loader.exec_module(fuzz)
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n")
    assert fuzz.read_mutant(path)[0] == "refused"

    from FetalEchoSegLib.readers import images

    def fail(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(images, "open_images", fail)
    kind, text = fuzz.read_mutant(path)
    assert kind == "traceback"
    assert "ZeroDivisionError" in text
