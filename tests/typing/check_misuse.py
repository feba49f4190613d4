"""Read pyright's JSON about misuse.py from stdin: the lines marked ``# error`` must have errors, and no others."""

from __future__ import annotations

import json
import sys
from pathlib import Path

lines = (Path(__file__).parent / "misuse.py").read_text(encoding="utf-8").splitlines()
expected = {number for number, line in enumerate(lines, 1) if line.endswith("# error")}
diagnostics = json.load(sys.stdin)["generalDiagnostics"]
found = {one["range"]["start"]["line"] + 1 for one in diagnostics if one["severity"] == "error"}
for number in sorted(expected ^ found):
    print(f"misuse.py:{number}: {'no error' if number in expected else 'an error'}: {lines[number - 1]}")
sys.exit(expected != found)
