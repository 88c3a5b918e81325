"""Compare what this checkout writes for the shipped models with what another commit writes, byte for byte.

Programs, plans, recordings and reports are made by the command line of both, in folders of the same form. Versions,
what follows from them (the hash of a program, and the family that version 4 names) and times are left out, nothing
else: a change that only moves code must leave all as it was.

    tools/identical [--base HEAD~1] [--models digits-fc,...] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
MODELS = ("digits-fc", "digits-conv", "digits-rows")

VARIANTS = {
    "plain": ("loihi2", []),
    "loihi1": ("loihi1", ["--approximate"]),
    "calibrated": ("loihi2", ["--calibrate", "calibrate.npz"]),
    "two-bits": ("loihi2", ["--weight-bits", "2", "--scale", "mse", "--rounding", "nearest"]),
}
"""Ways in which a model is compiled: the target and further options."""

CHANGING = re.compile(
    rb'"(neurodeploy|version|program_sha256|family|[a-z_]*seconds)": ?("[^"]*"|[0-9.e+-]+|null),? ?'
    rb"|(?<![0-9.,])[0-9.,]{1,12} (ms|s)\b|^.*compiling the emulator.*\n",
    re.MULTILINE,
)
"""Versions, what follows from them, and times, in JSON and in sentences, and the notice of what is done once."""


def write_all(checkout: Path, model: str, folder: Path) -> None:
    """Write all files of one model with the code of a checkout."""
    shutil.copytree(ROOT / "models" / model, folder, dirs_exist_ok=True)

    def run(*arguments: str) -> None:
        environment = {**os.environ, "PYTHONPATH": str(checkout), "COLUMNS": "120"}
        command = [sys.executable, "-m", "neurodeploy", *arguments]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        name = "-".join(re.sub(r"\W+", "_", part) for part in arguments)
        (folder / f"{name[:100]}.txt").write_text(f"{done.stdout}\n{done.stderr}\nexit {done.returncode}\n")

    for variant, (target, options) in VARIANTS.items():
        run("compile", "model.nir", "--target", target, "-o", f"{variant}.npz", *options)
        if (folder / f"{variant}.npz").exists():
            run(
                "run",
                f"{variant}.npz",
                "--backend",
                "emulator",
                "--input",
                "test.npz",
                "-o",
                f"{variant}-recording.npz",
            )
    run("run", "model.nir", "--backend", "reference", "--input", "test.npz", "-o", "reference-recording.npz")
    run(
        *("compare", "model.nir", "--target", "loihi2", "--input", "test.npz", "--trained", "trained.npz"),
        *("--backend", "reference", "--backend", "emulator", "--report", "report.html"),
    )


def text_or_bytes(content: bytes) -> bytes:
    """Return the text of an array that holds one, or the bytes as they are."""
    try:
        array = np.load(io.BytesIO(content))
    except ValueError:
        return content
    return str(array[()]).encode() if array.dtype.kind == "U" else content


def digests(folder: Path) -> dict[str, str]:
    """Return the sha256 of each file, and of each member of those that are archives, without versions and times."""
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = str(path.relative_to(folder))
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as opened:
                contents = {f"{name}:{member}": text_or_bytes(opened.read(member)) for member in opened.namelist()}
        else:
            contents = {name: path.read_bytes()}
        for key, content in contents.items():
            found[key] = hashlib.sha256(CHANGING.sub(b"", content)).hexdigest()
    return found


def main() -> int:
    """Make the files of both and compare them; return 1 if one differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="HEAD~1", help="the other commit (HEAD~1)")
    parser.add_argument("--models", default=",".join(MODELS), help="which models, with commas between (all)")
    parser.add_argument("--keep", type=Path, help="folder that keeps all files")
    options = parser.parse_args()
    n_files, differing = 0, []
    with tempfile.TemporaryDirectory(prefix="nd-identical-") as name:
        work = options.keep or Path(name)
        base = Path(name) / "base"
        subprocess.run(["git", "-C", ROOT, "worktree", "add", "--quiet", "--detach", base, options.base], check=True)
        try:
            for model in options.models.split(","):
                found = []
                for label, checkout in (("base", base), ("here", ROOT)):
                    folder = work / label / "files" / model
                    write_all(checkout, model, folder)
                    found.append(digests(folder))
                names = sorted(set(found[0]) | set(found[1]))
                n_files += len(names)
                differing += [f"{model}/{key}" for key in names if found[0].get(key) != found[1].get(key)]
        finally:
            subprocess.run(["git", "-C", ROOT, "worktree", "remove", "--force", base], check=True)
    for key in differing:
        print(f"differs: {key}")
    print(f"{n_files} files and members compared with {options.base}, {len(differing)} differ")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
