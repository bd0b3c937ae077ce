r"""Names that a FAT file system can't hold, written with characters that it can: there and back.

    a: b?.mp3   a： b？.mp3      the full-width form of each of " * : < > ? \ |
    dots...     dots..．         a dot or a blank at the end
    a：b        a‛：b            what is there already is quoted, so that no two names become one

The characters are those of rclone's encoder, so that a card filled by it looks the same.
"""

from __future__ import annotations

FORBIDDEN = frozenset('"*:<>?\\|') | frozenset(map(chr, range(1, 32)))
QUOTE = "‛"

_FULL_WIDTH = 0xFEE0  # between a character of ASCII and its full-width form
_INSTEAD = {
    **{odd: chr(ord(odd) + _FULL_WIDTH) for odd in FORBIDDEN if odd > " "},
    **{chr(code): chr(0x2400 + code) for code in range(1, 32)},  # control pictures
}
_AT_THE_END = {".": "．", " ": "␠"}
_BACK = {instead: odd for odd, instead in _INSTEAD.items()}
_BACK_AT_THE_END = {instead: odd for odd, instead in _AT_THE_END.items()}
_QUOTED = frozenset({*_BACK, *_BACK_AT_THE_END, QUOTE})


def holds(name: str) -> bool:
    """Whether FAT takes *name*."""
    return not FORBIDDEN & set(name) and name[-1:] not in _AT_THE_END


def mapped(name: str) -> str:
    """*name* as FAT takes it; another one for each name."""
    last = len(name) - 1
    written = []
    for at, character in enumerate(name):
        if character in _INSTEAD:
            written.append(_INSTEAD[character])
        elif at == last and character in _AT_THE_END:
            written.append(_AT_THE_END[character])
        elif character in _QUOTED:
            written.append(QUOTE + character)
        else:
            written.append(character)
    return "".join(written)


def original(name: str) -> str:
    """What `mapped` made *name* of; of a name that it can't have made, something harmless."""
    read = []
    last = len(name) - 1
    at = 0
    while at <= last:
        character = name[at]
        if character == QUOTE and name[at + 1 : at + 2] in _QUOTED:
            at += 1
            read.append(name[at])
        elif at == last:
            read.append(_BACK_AT_THE_END.get(character) or _BACK.get(character, character))
        else:
            read.append(_BACK.get(character, character))
        at += 1
    found = "".join(read)
    return name if found in ("", ".", "..") else found
