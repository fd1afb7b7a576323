"""Compare two folders of metrics number by number; exit 1 where one differs by more than its tolerance.

Matrix products round differently on other processors, and an answer near a threshold may change sides: a figure over
the whole corpus may move by 0.02, one over a slice, a signal or the answers outside the band by 0.10. Counts of the
corpus and texts must be equal. The summary repeats figures of both kinds.
"""

import json
import sys
from pathlib import Path

WHOLE, PART = 0.02, 0.10
PARTS = ("summary.", ".slices.", ".by_signal.", ".band.", ".ablations.", ".by_disturbance.", ".low", ".high")


def differences(one: object, two: object, place: str) -> list[str]:
    if isinstance(one, dict) and isinstance(two, dict):
        missing = [f"{place}.{key}: only on one side" for key in one.keys() ^ two.keys()]
        return missing + [
            d for key in one.keys() & two.keys() for d in differences(one[key], two[key], f"{place}.{key}")
        ]
    tolerance = PART if any(part in place for part in PARTS) else WHOLE
    if isinstance(one, float) and isinstance(two, float):
        return [] if abs(one - two) <= tolerance else [f"{place}: {one} and {two}"]
    if place.endswith("n_outside"):
        return []  # a count that the band decides; `coverage` is compared
    return [] if one == two else [f"{place}: {one!r} and {two!r}"]


def main() -> int:
    before, after = Path(sys.argv[1]), Path(sys.argv[2])
    found = []
    for path in sorted(before.glob("*.json")):
        one, two = json.loads(path.read_text()), json.loads((after / path.name).read_text())
        found += differences(one, two, path.stem)
    found = sorted(found) or [f"metrics agree within {WHOLE} (parts of the corpus: {PART})"]
    sys.stdout.write("\n".join(found) + "\n")
    return 1 if len(found) > 1 or not found[0].startswith("metrics agree") else 0


sys.exit(main())
