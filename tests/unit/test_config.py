"""Configuration: sources, precedence, problems with their lines."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pyftpdrive import config
from pyftpdrive.base.errors import ConfigError
from pyftpdrive.base.secret import Secret
from pyftpdrive.options import OPTIONS, ValueType, example_ini, example_toml

NEEDED = {("ftp", "host"): "h", ("mount", "drive"): "/d"}
ROOT = Path(__file__).resolve().parents[2]


def _file(tmp_path: Path, text: str, name: str = "c.ini") -> Path:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    file.chmod(0o600)
    return file


def _problems(file: Path | None, environ=None, flags=None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config.load(file, environ or {}, flags or {})
    return caught.value.problems


def test_defaults_are_those_of_the_specification() -> None:
    found = config.load(None, {}, NEEDED)

    assert (found.ftp.port, found.ftp.passive_mode, found.ftp.username) == (21, True, "")
    assert (found.cache.directory_ttl_seconds, found.cache.metadata_ttl_seconds) == (30, 60)
    assert (found.connection.timeout_seconds, found.connection.retry_attempts) == (30, 3)
    assert found.connection.keepalive_interval_seconds == 60
    assert found.mount.volume_label == "FTP Drive"


def test_flag_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    file = _file(tmp_path, "[ftp]\nhost = file\nport = 1\nusername = file\n[mount]\ndrive = /f\n")
    environ = {"PYFTPDRIVE_FTP_PORT": "2", "PYFTPDRIVE_FTP_USERNAME": "environment"}

    found = config.load(file, environ, {("ftp", "port"): 3})

    assert (found.ftp.host, found.ftp.username, found.ftp.port) == ("file", "environment", 3)


def test_the_specifications_file_is_understood(tmp_path: Path) -> None:
    file = _file(
        tmp_path,
        "[ftp]\nhost = 192.168.0.130\nport = 2121\nusername = \npassword = \n"
        "passive_mode = true\n\n[mount]\ndrive_letter = Z\nvolume_label = FTP Drive\n\n"
        "[cache]\nenabled = true\ndirectory_ttl_seconds = 30\nmetadata_ttl_seconds = 60\n\n"
        "[connection]\ntimeout_seconds = 30\nretry_attempts = 3\nretry_delay_seconds = 1\n"
        "keepalive_interval_seconds = 60\n\n[logging]\nlevel = INFO\nfile = pyftpdrive.log\n"
        "console = false\n",
    )

    found = config.load(file, {}, {})

    assert (found.ftp.host, found.ftp.port, found.mount.drive) == ("192.168.0.130", 2121, "Z")


def test_toml_says_the_same_as_ini(tmp_path: Path) -> None:
    toml = '[ftp]\nhost = "h"\nport = 2121\npassive_mode = false\n[mount]\ndrive = "/d"\n'
    ini = "[ftp]\nhost = h\nport = 2121\npassive_mode = no\n[mount]\ndrive = /d\n"

    assert config.load(_file(tmp_path, toml, "c.toml"), {}, {}) == config.load(
        _file(tmp_path, ini), {}, {}
    )


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_every_option_has_a_variable_that_works(option) -> None:
    example = {
        ValueType.TEXT: "utf-8",
        ValueType.SECRET: "x",
        ValueType.WHOLE: "7",
        ValueType.NUMBER: "7.5",
        ValueType.TRUTH: "yes",
        ValueType.CHOICE: option.choices[-1] if option.choices else "",
        ValueType.OCTAL: "0600",
    }[option.type]

    found = config.load(None, {option.variables[-1]: example}, NEEDED | {})

    if (option.section, option.key) not in NEEDED:
        value = getattr(getattr(found, option.section), option.key)
        assert value in (example, 7, 7.5, True, 0o600, Secret("x"))


def test_all_problems_of_a_file_are_reported_with_their_lines(tmp_path: Path) -> None:
    file = _file(
        tmp_path,
        "host = h\n[ftp]\nport = abc\nprot = 1\n[cach]\nx = 1\n[cache]\n"
        "directory_ttl_seconds = -1\nnonsense\n[logging]\nlevel = LOUD\nlevel = INFO\n",
    )

    problems = _problems(file)

    lines = [problem.removeprefix(str(file)).split(":")[1] for problem in problems[:8]]
    assert lines == ["1", "3", "4", "5", "8", "9", "11", "12"]
    assert "did you mean 'cache'" in problems[3]
    assert "INFO, DEBUG, WARNING, ERROR" in problems[6]


def test_problems_of_toml_have_their_lines(tmp_path: Path) -> None:
    file = _file(tmp_path, '[ftp]\nhost = "h"\nport = "x"\n[mount]\ndrvie = "/d"\n', "c.toml")

    problems = _problems(file)

    assert problems[0].startswith(f"{file}:3: [ftp] port")
    assert problems[1].startswith(f"{file}:5: [mount] has no 'drvie': did you mean 'drive'")


def test_a_line_without_equals_sign_is_not_repeated(tmp_path: Path) -> None:
    (problem,) = _problems(_file(tmp_path, "[ftp]\npassword: hunter2\n"), {}, NEEDED)

    assert problem.startswith(f"{tmp_path / 'c.ini'}:2: ")
    assert "hunter2" not in problem


def test_a_section_that_is_not_closed_is_a_problem(tmp_path: Path) -> None:
    (problem,) = _problems(_file(tmp_path, "[ftp\nport = 7\n"), {}, NEEDED)

    assert ":1: " in problem


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.ini", "[ftp]\nport = " + "1" * 400 + "\n"),
        ("c.toml", "[ftp]\nport = " + "1" * 5000 + "\n"),
        ("c.toml", "[ftp]\nport = 0x" + "f" * 9000 + "\n"),
        ("c.toml", "a = " + "[" * 5000 + "\n"),
        ("c.ini", "#" * (config.FILE_BYTES_MAX + 1)),
    ],
    ids=["digits", "toml-digits", "toml-hexadecimal", "toml-brackets", "size"],
)
def test_absurd_files_are_one_short_problem(tmp_path: Path, name: str, text: str) -> None:
    (problem,) = _problems(_file(tmp_path, text, name), {}, NEEDED)

    assert len(problem) < 300 + len(str(tmp_path))


@pytest.mark.skipif(sys.platform == "win32", reason="modes of files are POSIX's")
def test_a_readable_password_is_told_beside_other_problems(tmp_path: Path) -> None:
    file = _file(tmp_path, "[ftp]\nport = x\npassword = hunter2\n")
    file.chmod(0o640)

    problems = _problems(file, {}, NEEDED)

    assert len(problems) == 2
    assert "chmod 600" in problems[1]


def test_the_specifications_key_has_its_variable() -> None:
    found = config.load(None, {"PYFTPDRIVE_MOUNT_DRIVE_LETTER": "Z"}, {("ftp", "host"): "h"})

    assert found.mount.drive == "Z"


def test_a_tilde_is_the_home_directory(isolated_home: Path) -> None:
    found = config.load(None, {"PYFTPDRIVE_CACHE_DIRECTORY": "~/c"}, NEEDED)

    assert config.cache_directory(found) == isolated_home / "c"


def test_broken_toml_names_the_line(tmp_path: Path) -> None:
    file = _file(tmp_path, "[ftp]\nhost = \n", "c.toml")

    assert _problems(file)[0].startswith(f"{file}:2: not TOML")


def test_a_missing_file_is_one_clear_problem(tmp_path: Path) -> None:
    assert "can't be read: No such file" in _problems(tmp_path / "no.ini", {}, NEEDED)[0]


def test_values_of_ini_are_literal(tmp_path: Path) -> None:
    file = _file(tmp_path, "[ftp]\nhost=h\npassword = 50%% #off; = x\n[mount]\ndrive=/d\n")

    assert config.load(file, {}, {}).ftp.password.reveal() == "50%% #off; = x"


@pytest.mark.skipif(sys.platform == "win32", reason="modes of files are POSIX's")
def test_a_password_in_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = _file(tmp_path, "[ftp]\nhost=h\npassword = secret\n[mount]\ndrive=/d\n")
    file.chmod(0o644)

    (problem,) = _problems(file)

    assert "chmod 600" in problem
    assert "secret" not in problem


def test_a_password_never_shows(tmp_path: Path) -> None:
    found = config.load(None, {"PYFTPDRIVE_PASSWORD": "hunter2"}, NEEDED)

    assert found.ftp.password.reveal() == "hunter2"
    assert "hunter2" not in repr(found) + str(found)


@pytest.mark.parametrize("text", ["a\r\nDELE x", "a\0b", "a\nb"])
def test_line_breaks_can_not_be_smuggled_in(text: str) -> None:
    assert _problems(None, {}, NEEDED | {("ftp", "root"): text})


def test_an_unknown_encoding_is_refused() -> None:
    assert "not known" in _problems(None, {}, NEEDED | {("ftp", "encoding"): "utf-9"})[0]


def test_without_server_and_drive_both_are_asked_for() -> None:
    problems = _problems(None)

    assert len(problems) == 2
    assert "--host" in problems[0]
    assert "--drive" in problems[1]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("ftp://h", {("ftp", "host"): "h", ("ftp", "port"): 21}),
        (
            "ftp://anna@h:2121/a%20b",
            {
                ("ftp", "host"): "h",
                ("ftp", "port"): 2121,
                ("ftp", "username"): "anna",
                ("ftp", "root"): "a b",
            },
        ),
        ("ftps://h", {("ftp", "host"): "h", ("ftp", "port"): 990, ("ftp", "tls"): "implicit"}),
        (
            "ftpes://[::1]:21",
            {("ftp", "host"): "::1", ("ftp", "port"): 21, ("ftp", "tls"): "explicit"},
        ),
        (
            "ftp://h/%2Fsrv",
            {("ftp", "host"): "h", ("ftp", "port"): 21, ("ftp", "root"): "/srv"},
        ),
    ],
)
def test_addresses_are_understood(url: str, expected: dict) -> None:
    assert config.from_url(url) == expected


@pytest.mark.parametrize(
    "url", ["http://h", "ftp://", "ftp://h:99999", "h:21", "ftp://[::1", "ftp://h:0"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        config.from_url(url)


@pytest.mark.parametrize("mark", ["#", "?"])
def test_what_would_be_cut_off_an_address_is_refused(mark: str) -> None:
    with pytest.raises(ConfigError, match="%23"):
        config.from_url(f"ftp://h/a{mark}b")


@pytest.mark.parametrize(
    "url", ["ftp://anna:hunter2@h", "ftp://anna:hunter2@h:99999", "ftp://anna:hunter2@[::1"]
)
def test_a_password_in_an_address_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.from_url(url)

    assert "hunter2" not in str(caught.value)
    assert "keyring" in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://anna:hunter2@h", "ftp://anna:pa#hunter2@h", "ftp://anna:hunter2/x@h"]
)
def test_a_broken_address_does_not_show_its_password(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.from_url(url)

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(("name", "made"), [("ini", example_ini), ("toml", example_toml)])
def test_the_example_files_are_made_from_the_table_and_load(tmp_path: Path, name, made) -> None:
    committed = (ROOT / f"config.example.{name}").read_text(encoding="utf-8")

    assert committed == made()
    found = config.load(_file(tmp_path, committed, f"c.{name}"), {}, NEEDED)
    assert found == config.load(None, {}, NEEDED)
