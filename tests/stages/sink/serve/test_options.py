"""What can be set, and what must fit together."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from stages.sink.serve.options import ServeOptions, is_loopback, options_from_address


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:8080", "127.0.0.1", 8080),
        (":8080", "127.0.0.1", 8080),
        ("8080", "127.0.0.1", 8080),
        ("localhost:0", "localhost", 0),
        ("[::1]:8080", "::1", 8080),
        ("0.0.0.0:80", "0.0.0.0", 80),
    ],
)
def test_an_address(text: str, host: str, port: int) -> None:
    """HOST:PORT; without a host it is this machine only."""
    assert options_from_address(text) == {"host": host, "port": port}


@pytest.mark.parametrize("text", ["", "localhost", "h:port", "h:99999", "h:80/live", "h:80?a", "u:p@h:80", "[:1", "-1"])
def test_a_wrong_address(text: str) -> None:
    """The message says what would be right."""
    with pytest.raises(ValueError, match="write HOST:PORT, such as"):
        options_from_address(text)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost", "LOCALHOST"])
def test_this_machine_only_needs_no_token(host: str) -> None:
    """On the loopback nobody from outside can ask."""
    assert is_loopback(host)
    assert ServeOptions(host=host, port=1).token is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "cam.example.org", "localhost.example.org"])
def test_the_network_needs_a_token_or_a_word(host: str) -> None:
    """An address that others can reach is refused without a token, unless that is said to be wanted."""
    with pytest.raises(ValidationError, match="can be reached from the network"):
        ServeOptions(host=host, port=1)
    ServeOptions.model_validate({"host": host, "port": 1, "token": "correct-horse"})
    ServeOptions(host=host, port=1, token_file="t")
    ServeOptions(host=host, port=1, insecure=True)


@pytest.mark.parametrize("token", ["", "short", "with a space", "ümlauts-are-bad", "x" * 201, "line\nbreak-in-it"])
def test_what_is_no_token(token: str) -> None:
    """A token is long enough to be one, and can travel in a header."""
    with pytest.raises(ValidationError, match="a token has 8 to 200"):
        ServeOptions.model_validate({"port": 1, "token": token})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"certificate": "c.pem"}, "no key"),
        ({"key": "k.pem"}, "no certificate"),
        ({"token": "correct-horse", "token_file": "t"}, "give one of them"),
    ],
)
def test_what_does_not_fit_together(options: dict[str, object], message: str) -> None:
    """Half of a pair, or twice the same, is an error."""
    with pytest.raises(ValidationError, match=message):
        ServeOptions.model_validate({"port": 1, **options})


def test_a_token_does_not_show() -> None:
    """Neither in texts nor in plain data."""
    options = ServeOptions.model_validate({"port": 1, "token": "correct-horse"})
    assert "correct-horse" not in repr(options)
    assert "correct-horse" not in options.model_dump_json()
