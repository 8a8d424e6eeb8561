"""Cuts symbols and debug sections off every shared library below a folder.

    python strip_libraries.py FOLDER

A loader reads a library through its program headers alone. What lies behind the last byte they
name (symbol table, debug information, the section headers themselves) only serves linkers and
debuggers, and is four fifths of some wheels. The slim base image has no `strip`: this replaces it.
"""

import struct
import sys
from pathlib import Path

ELF64_LITTLE_ENDIAN = b"\x7fELF\x02\x01"
PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")


def loaded_size(image: bytes) -> int:
    """Bytes from the start that program headers name: what a loader may read."""
    table_offset = struct.unpack_from("<Q", image, 0x20)[0]
    entry_size, count = struct.unpack_from("<HH", image, 0x36)
    end = table_offset + entry_size * count
    for index in range(count):
        header = PROGRAM_HEADER.unpack_from(image, table_offset + index * entry_size)
        offset, size_in_file = header[2], header[5]
        end = max(end, offset + size_in_file)
    return int(end)


def stripped(image: bytes) -> bytes:
    """The library without what no loader reads; other files come back as they are."""
    if not image.startswith(ELF64_LITTLE_ENDIAN):
        return image
    kept = bytearray(image[: loaded_size(image)])
    struct.pack_into("<Q", kept, 0x28, 0)  # No section headers any more: their offset,
    struct.pack_into("<HH", kept, 0x3C, 0, 0)  # their number, and which of them holds the names.
    return bytes(kept)


def main(folder: Path) -> int:
    before = after = 0
    for library in sorted(folder.rglob("*.so*")):
        if library.is_symlink() or not library.is_file():
            continue
        image = library.read_bytes()
        smaller = stripped(image)
        before, after = before + len(image), after + len(smaller)
        if len(smaller) < len(image):
            library.write_bytes(smaller)
    print(f"strip_libraries: {before / 1e6:.1f} MB -> {after / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: strip_libraries.py FOLDER")
    sys.exit(main(Path(sys.argv[1])))
