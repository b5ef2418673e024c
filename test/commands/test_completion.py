"""The completion script in a real shell."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("shtab", reason="prints the scripts")

from sot_tracker.cli import COMMANDS, main

SHELL = shutil.which("bash")


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "sot-tracker.bash"
    command = [sys.executable, "-m", "sot_tracker.cli", "completion", "bash"]
    path.write_text(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return path


@pytest.mark.skipif(SHELL is None, reason="no bash here")
@pytest.mark.parametrize(
    ("line", "wanted", "unwanted"),
    [
        ("sot-tracker ", set(COMMANDS), set()),
        ("sot-tracker tra", {"track", "train"}, {"eval"}),
        ("sot-tracker track --sa", {"--save", "--save-bag"}, {"--csv"}),
        ("sot-tracker track x.mp4 --model k", {"kcf"}, {"csrt", "smat"}),
        ("sot-tracker track x.mp4 --device c", {"cpu", "cuda"}, {"auto"}),
        ("sot-tracker track cl", {"clip.mp4"}, {"other"}),
        ("sot-tracker eval --data cl", {"clips"}, {"other"}),
        ("sot-tracker label x.mp4 --ra", {"--ray"}, {"--out"}),
    ],
)
def test_what_bash_offers(script: Path, tmp_path: Path, line: str, wanted: set[str], unwanted: set[str]) -> None:
    (tmp_path / "clip.mp4").touch()
    (tmp_path / "clips").mkdir()
    (tmp_path / "other").touch()
    words = line.split() + ([""] if line.endswith(" ") else [])
    program = f"""
    source '{script}'
    COMP_WORDS=({" ".join(f"'{word}'" for word in words)}); COMP_CWORD={len(words) - 1}; COMPREPLY=()
    COMP_LINE='{line}'; COMP_POINT={len(line)}
    function=$(complete -p sot-tracker | sed 's/.*-F \\([^ ]*\\).*/\\1/')
    "$function" sot-tracker '{words[-1]}' '{words[-2]}' || true
    printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run([SHELL, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    offered = {word.strip() for word in done.stdout.splitlines()}
    assert wanted <= offered, done.stderr
    assert not unwanted & offered


@pytest.mark.parametrize("shell", ["zsh", "tcsh"])
def test_other_shells_have_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "sot-tracker" in capsys.readouterr().out


def test_without_shtab_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "bash"]) == 2
    assert "pip install shtab" in capsys.readouterr().err
