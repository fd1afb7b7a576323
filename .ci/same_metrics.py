"""Compare two folders of metrics number by number; exit 1 where one differs by more than the tolerance.

Tolerance 0.03 absolute: matrix products round differently on other processors, and one answer in a thousand that
changes sides moves a figure of a small slice by that much. Counts and texts must be equal.
"""

import json
import sys
from pathlib import Path

TOLERANCE = 0.03


def differences(one: object, two: object, place: str) -> list[str]:
    if isinstance(one, dict) and isinstance(two, dict):
        missing = [f"{place}.{key}: only on one side" for key in one.keys() ^ two.keys()]
        return missing + [
            d for key in one.keys() & two.keys() for d in differences(one[key], two[key], f"{place}.{key}")
        ]
    if isinstance(one, float) and isinstance(two, float):
        return [] if abs(one - two) <= TOLERANCE else [f"{place}: {one} and {two}"]
    return [] if one == two else [f"{place}: {one!r} and {two!r}"]


def main() -> int:
    before, after = Path(sys.argv[1]), Path(sys.argv[2])
    found = []
    for path in sorted(before.glob("*.json")):
        one, two = json.loads(path.read_text()), json.loads((after / path.name).read_text())
        found += differences(one, two, path.stem)
    sys.stdout.write("\n".join(found) + "\n" if found else f"metrics agree within {TOLERANCE}\n")
    return 1 if found else 0


sys.exit(main())
