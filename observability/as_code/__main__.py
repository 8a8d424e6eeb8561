"""python -m as_code [--check]: write the files, or fail if one differs from the code."""

import argparse
import sys

from as_code.documents import HERE, documents


def main() -> int:
    """Write or check the files; return 0 on success."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip())
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    behind = []
    for name, text in documents().items():
        path = HERE / name
        if path.exists() and path.read_text() == text:
            continue
        behind.append(name)
        if not check:
            path.write_text(text)
            print(f"wrote observability/{name}")
    if check and behind:
        print(f"not as the code says: {', '.join(behind)}: run make observability", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
