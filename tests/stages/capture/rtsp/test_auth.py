"""Credentials out of URLs, and answers to the challenges of cameras."""

from __future__ import annotations

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.capture.rtsp.auth import Authenticator, Credentials, split_credentials, unanswerable

DIGEST = 'Digest realm="r", nonce="n"'


def authenticator(password: str = "pass", *, user: str = "user", cnonce: str = "c") -> Authenticator:
    return Authenticator(Credentials(user, password), make_cnonce=lambda: cnonce)


def answer(*challenges: str, method: str = "DESCRIBE", uri: str = "rtsp://h/x") -> str | None:
    """Return what is said to the challenges of one response."""
    made = authenticator()
    assert made.challenged(challenges)
    return made.header(method, uri)


def fields(header: str | None) -> dict[str, str]:
    assert header is not None
    assert header.startswith("Digest ")
    return dict(re.findall(r'(\w+)=("[^"]*"|[^",\s]+)', header))


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("url", "rest", "user", "password"),
    [
        ("rtsp://u:p@host:554/a?b=c", "rtsp://host:554/a?b=c", "u", "p"),
        ("rtsps://u@[::1]:322/", "rtsps://[::1]:322/", "u", ""),
        ("rtsp://:p@host/", "rtsp://host/", "", "p"),
        ("rtsp://u%40x:p%3A%2F%25@host/", "rtsp://host/", "u@x", "p:/%"),
        ("rtsp://u:100%@host/", "rtsp://host/", "u", "100%"),
        # As people write them: @ : / # ? unescaped.
        ("rtsp://u:p@ss:w@rd@host/a", "rtsp://host/a", "u", "p@ss:w@rd"),
        ("rtsp://u:p/w@10.0.0.1/a", "rtsp://10.0.0.1/a", "u", "p/w"),
        ("rtsp://u:p/w@x/y@host/a", "rtsp://host/a", "u", "p/w@x/y"),
        ("rtsp://u:p#w@host/a", "rtsp://host/a", "u", "p#w"),
        ("rtsp://u:12#3@host/a", "rtsp://host/a", "u", "12#3"),
        ("rtsp://u:p?w@host:554/a", "rtsp://host:554/a", "u", "p?w"),
        ("rtsp://u:123456/7@host/a", "rtsp://host/a", "u", "123456/7"),
        ("rtsp://u:a@b:c/d@host/a", "rtsp://host/a", "u", "a@b:c/d"),
        # What is well-formed means what it says.
        ("rtsp://u:p@host/a@b", "rtsp://host/a@b", "u", "p"),
    ],
)
def test_credentials_of_a_url(url: str, rest: str, user: str, password: str) -> None:
    """They are taken out, and decoded."""
    found, credentials = split_credentials(url)
    assert found == rest
    assert credentials is not None
    assert (credentials.user, credentials.password) == (user, password)


@pytest.mark.parametrize(
    "url", ["rtsp://host/a", "rtsp://host:554/a@b", "rtsp://[::1]:554/a@b", "rtsp://host?a@b", "rtsp:///a@b", "a@b", ""]
)
def test_a_url_without_credentials(url: str) -> None:
    """It stays as it is."""
    assert split_credentials(url) == (url, None)


def test_empty_credentials_are_none() -> None:
    """The @ goes, and nobody is asked to try an empty password."""
    assert split_credentials("rtsp://@host/a@b") == ("rtsp://host/a@b", None)


def test_credentials_show_up_nowhere() -> None:
    """Neither in a log line nor in the text of an error."""
    assert "secret" not in repr(Credentials("secret", "secret"))
    assert "secret" not in str(Credentials("secret", "secret"))


@given(st.text("u:@/?#[]%4 ./é\ud800", max_size=20))
def test_any_url_is_survived(rest: str) -> None:
    """What is taken out was there, and nothing else changes."""
    found, credentials = split_credentials("rtsp://" + rest)
    assert ("rtsp://" + rest).endswith(found.removeprefix("rtsp://"))
    assert credentials is None or "@" in rest


def test_basic() -> None:
    """The vectors of RFC 7617 sections 2 and 2.1."""
    for user, password, expected in (
        ("Aladdin", "open sesame", "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        ("test", "123£", "dGVzdDoxMjPCow=="),
    ):
        made = authenticator(password, user=user)
        assert made.challenged(['Basic realm="foo", charset="UTF-8"'])
        assert made.header("PLAY", "x") == f"Basic {expected}"


def test_digest_of_rfc_2617() -> None:
    """The vector of section 3.5."""
    made = authenticator("Circle Of Life", user="Mufasa", cnonce="0a4f113b")
    assert made.challenged(
        [
            'Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093",'
            ' opaque="5ccc069c403ebaf9f0171e9517f40e41"'
        ]
    )
    assert made.header("GET", "/dir/index.html") == (
        'Digest username="Mufasa", realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", '
        'uri="/dir/index.html", response="6629fae49393a05397450978507c4ef1", '
        'opaque="5ccc069c403ebaf9f0171e9517f40e41", qop=auth, nc=00000001, cnonce="0a4f113b"'
    )


def test_digest_without_qop() -> None:
    """The vector of RFC 2069 section 2.4, as its erratum 749 corrects it: cameras mostly speak this."""
    made = authenticator("CircleOfLife", user="Mufasa")
    assert made.challenged(['Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"'])
    found = fields(made.header("GET", "/dir/index.html"))
    assert found["response"] == '"1949323746fe6a43ef61f9606e7febea"'
    assert not {"qop", "nc", "cnonce", "algorithm", "opaque"} & set(found)


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_digest_of_rfc_7616(algorithm: str, response: str) -> None:
    """The vectors of section 3.9.1."""
    made = authenticator("Circle of Life", user="Mufasa", cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ")
    assert made.challenged(
        [
            f'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={algorithm}, '
            'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", '
            'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
        ]
    )
    found = fields(made.header("GET", "/dir/index.html"))
    assert found["response"] == f'"{response}"'
    assert found["algorithm"] == algorithm


def test_the_key_of_a_session_is_made_once() -> None:
    """Of the first cnonce (RFC 7616 section 3.4.2); later requests count on."""
    cnonces = iter("abc")
    made = Authenticator(Credentials("user", "pass"), make_cnonce=lambda: next(cnonces))
    assert made.challenged([f'{DIGEST}, algorithm=MD5-sess, qop="auth"'])
    key = md5(md5("user:r:pass") + ":n:a")
    for number, method in enumerate(("DESCRIBE", "SETUP", "PLAY"), start=1):
        found = fields(made.header(method, "u"))
        assert found["nc"] == f"{number:08d}"
        assert found["cnonce"] == '"a"'
        assert found["response"] == f'"{md5(f"{key}:n:{number:08d}:a:auth:" + md5(f"{method}:u"))}"'


def test_a_session_without_qop() -> None:
    """The server needs the cnonce all the same; SHA-256 this time."""

    def sha(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()

    found = fields(answer(f"{DIGEST}, algorithm=sha-256-SESS", method="PLAY", uri="u"))
    assert found["cnonce"] == '"c"'
    assert found["algorithm"] == "sha-256-SESS"
    assert found["response"] == f'"{sha(sha(sha("user:r:pass") + ":n:c") + ":n:" + sha("PLAY:u"))}"'


def test_the_safest_challenge_is_answered() -> None:
    """SHA-256 before MD5 before Basic, in whatever order and however they are spread over the values."""
    sha, old, basic = f"{DIGEST}, algorithm=SHA-256", f"{DIGEST}, algorithm=MD5", 'Basic realm="b"'
    assert "algorithm=SHA-256" in (answer(basic, old, sha) or "")
    assert "algorithm=SHA-256" in (answer(f"{basic}, {old}, {sha}") or "")
    assert "algorithm=MD5" in (answer(f"Negotiate, {basic}", f"{old}, Bearer realm=x, nonce=y") or "")
    assert "algorithm=SHA-512-256" in (answer(sha, f"{DIGEST}, algorithm=SHA-512-256", basic) or "")
    assert (answer(f"{DIGEST}, algorithm=SHA-3", basic) or "").startswith("Basic ")


def test_a_digest_about_the_body() -> None:
    """No request of ours has one: its hash is that of nothing. SHA-512-256 this time."""

    def sha(text: str) -> str:
        return hashlib.new("sha512_256", text.encode()).hexdigest()

    found = fields(answer(f'{DIGEST}, qop="auth-int", algorithm=SHA-512-256', method="PLAY", uri="u"))
    assert found["qop"] == "auth-int"
    asked = f"PLAY:u:{sha('')}"
    assert found["response"] == f'"{sha(sha("user:r:pass") + ":n:00000001:c:auth-int:" + sha(asked))}"'


def test_what_cannot_be_answered_is_named() -> None:
    """So that people know what their camera asks for."""
    assert unanswerable([f"{DIGEST}, algorithm=SHA-3"]) == "digest SHA-3"
    assert unanswerable(["Negotiate"]) == "negotiate"
    assert unanswerable(["Negotiate", DIGEST]) is None
    assert unanswerable([]) == "nothing that is known"


def test_challenges_do_not_mix() -> None:
    """A name in quotes begins no challenge, and the parameters of another scheme are not taken."""
    found = fields(answer('Digest realm="a, Basic b", nonce="1", Bearer realm="y", nonce="2"'))
    assert (found["realm"], found["nonce"]) == ('"a, Basic b"', '"1"')
    assert not authenticator().challenged(['nonce="n"', 'Digest realm="r"', 'nonce="n"'])


@pytest.mark.parametrize(
    ("challenge", "realm", "nonce"),
    [
        ("digest REALM=r,NONCE=n==", "r", "n=="),
        ('  Digest   realm = "r" ,nonce= "n"  ', "r", "n"),
        ('Digest realm="r" nonce="n"', "r", "n"),
        ("Digest realm=IP Camera 2, nonce=n", "IP Camera 2", "n"),
        ("Digest realm=r nonce=n stale=false", "r", "n"),
        ('Digest realm="", nonce=""', "", ""),
        ('Digest nonce="n"', "", "n"),
        (r'Digest realm="a\"b\\c", nonce="n"', r"a\"b\\c", "n"),
        ('Digest realm="r", nonce="n', "r", "n"),
        ('Digest realm="r", nonce="n", nonce="other"', "r", "n"),
        ('Digest realm="r", domain="/ nonce=x", nonce="n"', "r", "n"),
    ],
)
def test_challenges_as_cameras_write_them(challenge: str, realm: str, nonce: str) -> None:
    """Without quotes, with odd spaces, without commas; quoted marks are quoted again."""
    header = answer(challenge) or ""
    assert f'realm="{realm}", nonce="{nonce}", ' in header


def test_names_outside_ascii() -> None:
    """UTF-8 is hashed; what cannot be in a header, or in UTF-8, does no harm."""
    made = authenticator("pä\ud800", user="ü\ud800\n")
    assert made.challenged([DIGEST])
    found = fields(made.header("PLAY", "u"))
    assert found["username"] == '"ü??"'
    key = md5("ü?\n:r:pä?")
    assert found["response"] == f'"{md5(f"{key}:n:" + md5("PLAY:u"))}"'


def test_nothing_is_said_before_a_challenge() -> None:
    """The password is for those who ask."""
    assert authenticator().header("PLAY", "u") is None


def test_nothing_to_answer_with() -> None:
    """No credentials, no challenge, or none that we can answer."""
    nobody = Authenticator(None)
    assert not nobody.challenged([DIGEST])
    assert nobody.header("PLAY", "u") is None
    for challenges in ([], [""], ["Bearer"], ['Digest realm="r"'], [f"{DIGEST}, algorithm=X"], [f"{DIGEST}, qop=x"]):
        assert not authenticator().challenged(challenges)


def test_a_refused_answer_is_not_repeated() -> None:
    """Nor with another nonce: servers make one for each refusal, and cameras lock users out."""
    for first, second in (
        ("Basic realm=r", "Basic realm=s"),
        (DIGEST, DIGEST),
        (DIGEST, 'Digest realm="r", nonce="m"'),
        (DIGEST, f"{DIGEST}, stale=true"),
    ):
        made = authenticator()
        assert made.challenged([first])
        made.header("DESCRIBE", "u")
        assert not made.challenged([second])


def test_an_answer_that_grew_old_is_renewed() -> None:
    """The server says stale, or had accepted it; counting begins anew."""
    made = authenticator()
    assert made.challenged([f"{DIGEST}, qop=auth"])
    made.header("DESCRIBE", "u")
    assert made.challenged(['Digest realm="r", nonce="m", qop=auth, stale=TRUE'])
    found = fields(made.header("SETUP", "u"))
    assert (found["nonce"], found["nc"]) == ('"m"', "00000001")
    made.accepted()
    assert made.challenged(['Digest realm="r", nonce="o", qop=auth'])
    assert fields(made.header("PLAY", "u"))["nonce"] == '"o"'


def test_a_digest_may_follow_basic() -> None:
    """A server may want something else the next time."""
    made = authenticator()
    assert made.challenged(["Basic realm=r"])
    assert made.challenged([DIGEST])
    assert fields(made.header("PLAY", "u"))["nonce"] == '"n"'


def test_tries_are_bounded() -> None:
    """A server that calls everything stale is given up, until it accepts something."""
    made = authenticator()

    def tries() -> int:
        return sum(made.challenged([f"Digest nonce={number}, stale=true"]) for number in range(99))

    assert tries() == 5
    made.accepted()
    assert made.challenged(["Digest nonce=new, stale=true"])


def test_cnonces_are_fresh() -> None:
    """No two authenticators use the same."""
    found = []
    for _ in range(2):
        made = Authenticator(Credentials("u", "p"))
        assert made.challenged([f"{DIGEST}, qop=auth"])
        found.append(fields(made.header("PLAY", "u"))["cnonce"])
    assert found[0] != found[1]
    assert len(found[0]) >= 16


CHALLENGES = st.text('Digestrealmnoncqpbas ="\\,;\t\n-=é\ud800', max_size=60)


@given(st.lists(st.one_of(CHALLENGES, CHALLENGES.map(lambda text: f"{DIGEST},{text}"), st.text()), max_size=4))
def test_any_challenge_is_survived(challenges: list[str]) -> None:
    """And the answer is one line of characters that a header can have."""
    made = authenticator("secret")
    if made.challenged(challenges):
        header = made.header("PLAY", "u") or ""
        assert header
        assert header.isprintable()
        assert "secret" not in header
        header.encode()
