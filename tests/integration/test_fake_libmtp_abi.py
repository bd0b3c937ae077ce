"""The binary interface: our structures, libmtp's header, our own, the real library."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mtpsync.libmtp import abi
from simulators.fake_libmtp import CompilerMissingError, FakeUsb, build
from simulators.fake_libmtp.build import SONAME, SOURCES, compiler
from tests.helpers.mtp import MtpProgram, fake_library

HEADER = Path("/usr/include/libmtp.h")
HEADERS = ["libmtp.h", "our own"]


def include(header: str) -> str:
    if header == "our own":
        return f'#include "{SOURCES / "abi.h"}"'
    if not HEADER.exists():
        pytest.skip("no libmtp.h: install libmtp-dev")
    return "#include <libmtp.h>"


def compile_c(folder: Path, text: str, *more: str) -> Path:
    """Compile *text*; the program."""
    source, program = folder / "probe.c", folder / "probe"
    source.write_text(text)
    try:
        command = compiler()
    except CompilerMissingError as missing:
        pytest.skip(str(missing))
    done = subprocess.run(
        [*command, "-std=gnu11", "-Wall", "-o", str(program), str(source), *more],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return program


@pytest.mark.parametrize("header", HEADERS)
def test_structures_and_constants_are_those_of_the_header(tmp_path: Path, header: str) -> None:
    lines, ours = [], {}
    for name, struct in abi.STRUCTURES.items():
        lines += [f'printf("{name} %zu %zu\\n", sizeof({name}), _Alignof({name}));']
        ours[name] = [ctypes.sizeof(struct), ctypes.alignment(struct)]
        for field, *_type in struct._fields_:
            lines.append(
                f'printf("{name}.{field} %zu %zu\\n", offsetof({name}, {field}), '
                f"sizeof((({name} *)0)->{field}));"
            )
            there = getattr(struct, field)
            ours[f"{name}.{field}"] = [there.offset, there.size]
    for name, value in abi.CONSTANTS.items():
        lines.append(f'printf("{name} %lld\\n", (long long){name});')
        ours[name] = [value]
    body = "\n".join(lines)
    program = compile_c(
        tmp_path,
        f"#include <stddef.h>\n#include <stdio.h>\n{include(header)}\nint main(void){{\n{body}\n}}",
    )

    told = subprocess.run([str(program)], capture_output=True, text=True, check=True).stdout

    theirs = {
        name: [int(x) for x in numbers] for name, *numbers in map(str.split, told.splitlines())
    }
    assert theirs == ours
    assert len(ours) > 85


def has_optional() -> bool:
    found = re.search(r'LIBMTP_VERSION_STRING "(\d+)\.(\d+)\.(\d+)"', HEADER.read_text())
    return bool(found and tuple(map(int, found.groups())) >= (1, 1, 21))


@pytest.mark.parametrize("header", HEADERS)
def test_prototypes_are_those_of_the_header(tmp_path: Path, header: str) -> None:
    text = include(header)
    known = dict(abi.PROTOTYPES)
    if header == "libmtp.h" and has_optional():
        known |= abi.OPTIONAL
    checks = []
    for name, (_result, _arguments, prototype) in known.items():
        result, _, arguments = prototype.partition("(")
        checks.append(
            f"typedef {result} T_{name}({arguments};\n_Static_assert("
            f'__builtin_types_compatible_p(__typeof__({name}), T_{name}), "{name}");'
        )

    compile_c(tmp_path, "\n".join([text, *checks, "int main(void) { return 0; }"]))


BY_NAME = {
    "int": ctypes.c_int,
    "uint8_t": ctypes.c_uint8,
    "uint16_t": ctypes.c_uint16,
    "uint32_t": ctypes.c_uint32,
    "uint64_t": ctypes.c_uint64,
    "LIBMTP_error_number_t": ctypes.c_int,
    "LIBMTP_property_t": ctypes.c_int,
    "LIBMTP_devicecap_t": ctypes.c_int,
    "LIBMTP_progressfunc_t": abi.ProgressFunction,
    "MTPDataPutFunc": abi.DataFunction,
    "MTPDataGetFunc": abi.DataFunction,
}


def fits(c_type: str, python_type: Any) -> bool:
    """Whether ctypes passes what C expects."""
    plain = c_type.replace("const", "").strip()
    if plain == "void":
        return python_type is None
    if plain.endswith("*"):
        return python_type is not None and ctypes.sizeof(python_type) == ctypes.sizeof(
            ctypes.c_void_p
        )
    return python_type is BY_NAME[plain]


@pytest.mark.parametrize("name", [*abi.PROTOTYPES, *abi.OPTIONAL])
def test_prototype_in_c_and_in_ctypes_are_the_same(name: str) -> None:
    result, arguments, prototype = (abi.PROTOTYPES | abi.OPTIONAL)[name]
    first, _, rest = prototype.partition("(")
    words = [x.strip() for x in rest.rstrip(")").split(",")]
    words = [x for x in words if x not in ("...", "void")]

    assert fits(first, result)
    assert len(words) == len(arguments)
    assert [w for w, a in zip(words, arguments, strict=True) if not fits(w, a)] == []


def test_owned_strings_are_addresses() -> None:
    owned = [n for n, (_r, _a, c) in abi.PROTOTYPES.items() if c.startswith("char *")]

    assert len(owned) >= 6
    assert {abi.PROTOTYPES[name][0] for name in owned} == {ctypes.c_void_p}


@pytest.mark.parametrize("newer", [False, True])
def test_fake_compiles_with_either_header_under_the_real_name(newer: bool) -> None:
    fake_library(newer=newer)
    for own_header in (False, True):
        library = build(newer=newer, own_header=own_header)

        assert library.name == SONAME
        assert library.read_bytes().find(b"libmtp.so.9\0") > 0
        assert build(newer=newer, own_header=own_header) == library


def test_fake_exports_libmtps_functions_and_nothing_else(tmp_path: Path) -> None:
    library = fake_library()
    try:
        told = subprocess.run(
            ["nm", "-D", "--defined-only", str(library)], capture_output=True, text=True, check=True
        ).stdout
    except FileNotFoundError:
        pytest.skip("no nm")

    names = {line.split()[-1] for line in told.splitlines()}

    assert names >= set(abi.PROTOTYPES)
    assert [name for name in names if not name.startswith("LIBMTP_")] == []


def test_library_that_is_not_libmtp_is_refused() -> None:
    with pytest.raises(AttributeError, match="LIBMTP_Init"):
        abi.declare(ctypes.CDLL(None))


def test_real_libmtp_loads_through_the_same_declarations_and_has_no_device(tmp_path: Path) -> None:
    real = ctypes.util.find_library("mtp")
    if real is None:
        pytest.skip("no libmtp")

    with MtpProgram(real, tmp_path, {}) as program:
        found = program.detect()

    assert found == {"code": abi.ERROR_NO_DEVICE_ATTACHED, "devices": []}


def test_memory_is_used_as_it_should_be(tmp_path: Path) -> None:
    fake_library()
    usb = FakeUsb(tmp_path / "usb")
    faults = [
        {"on": "GetObjectHandles", "fault": "ghost", "nth": 3},
        {"on": "GetObjectHandles", "fault": "cycle", "nth": 4},
        {"on": "GetObjectInfo", "fault": "show_name", "nth": 2},
        {"on": "GetObjectInfo", "fault": "missing", "nth": 5},
        {"on": "GetObject", "fault": "short_download", "nth": 2, "after_bytes": 10},
        {"on": "GetPartialObject", "fault": "response", "code": 0x2002, "nth": 2},
    ]
    phones = [
        usb.plug("android_card", faults=faults),
        usb.plug("player", overwrite="twins"),
        usb.plug("umtp"),
        usb.plug("android", faults=[{"on": "GetDeviceInfo", "fault": "response", "code": 0x2002}]),
    ]
    for phone in phones:
        for number in range(300):
            phone.storage().put(f"/D{number % 7}/f{number}", b"x" * number)
    driver = Path(__file__).parents[1] / "helpers" / "mtp_memory.c"
    program = tmp_path / "program"
    made = subprocess.run(
        [
            *compiler(),
            *("-std=gnu11", "-g", "-O1", "-fno-omit-frame-pointer", "-DFAKE_NEWER"),
            *("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
            *(f"-I{SOURCES}", "-o", str(program), str(driver)),
            *map(str, sorted(SOURCES.glob("*.c"))),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode and "asan" in made.stderr:
        pytest.skip("the compiler has no AddressSanitizer")
    assert made.returncode == 0, made.stderr

    done = subprocess.run(
        [str(program)],
        env={**os.environ, **usb.environment(), "ASAN_OPTIONS": "detect_leaks=1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if "LeakSanitizer has encountered a fatal error" in done.stderr:
        pytest.skip("LeakSanitizer can't run here (ptrace)")
    assert (done.returncode, done.stdout[-5:]) == (0, "done\n"), done.stderr
