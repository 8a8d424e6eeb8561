"""Remove symbols and debug sections from every shared library below a folder.

    python strip_libraries.py FOLDER

A loader reads a library through its program headers alone. The bytes behind the last one that they
name (symbol table, debug information, section headers) serve only linkers and debuggers, and are
four fifths of some wheels. The slim base image has no `strip`: this replaces it.
"""

import struct
import sys
from pathlib import Path

ELF64_LITTLE_ENDIAN = b"\x7fELF\x02\x01"
PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")


def loaded_size(image: bytes) -> int:
    """Return the number of bytes, from the start, that program headers name."""
    table_offset = struct.unpack_from("<Q", image, 0x20)[0]
    entry_size, count = struct.unpack_from("<HH", image, 0x36)
    end = table_offset + entry_size * count
    for index in range(count):
        header = PROGRAM_HEADER.unpack_from(image, table_offset + index * entry_size)
        offset, size_in_file = header[2], header[5]
        end = max(end, offset + size_in_file)
    return int(end)


def stripped(image: bytes) -> bytes:
    """Return the library without the bytes that no loader reads; return other files unchanged."""
    if not image.startswith(ELF64_LITTLE_ENDIAN):
        return image
    kept = bytearray(image[: loaded_size(image)])
    # There are no section headers any more: clear their offset,
    struct.pack_into("<Q", kept, 0x28, 0)
    # their number, and the index of the section with their names.
    struct.pack_into("<HH", kept, 0x3C, 0, 0)
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
