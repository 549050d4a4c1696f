import time
import warnings
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstone.errors import RecordInvalid
from runstone.tracking.secrets import DEFAULT_KEYS, DEFAULT_VALUES, REDACTED, Redactor, SecretRedacted

# Put together here, so that no scanner takes this file for a leak.
GITHUB = "ghp_" + "aB3" * 12
AWS = "AKIA" + "ABCD2345EFGH6789"
JWT = ".".join(["eyJhbGciOiJIUzI1NiJ9", "eyJzdWIiOiIxMjM0NTY3ODkwIn0", "dozjgNryP4J3jVmNHl0w5N"])
PEM = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nMIIEow+/=\n-----END RSA PRIVATE KEY-----"
SHAPES = [
    GITHUB,
    AWS,
    JWT,
    PEM,
    "github_pat_" + "11ABCDEFG0" * 3,
    "glpat-" + "xY-z_1234567890abcdef",
    "xoxb-" + "123456789012-abcdef",
    "sk-" + "a1B2c3D4e5F6g7H8i9J0",
    "sk-proj-" + "a1B2-c3D4_e5F6g7H8",
    "hf_" + "aBcDeFgHiJkLmNoPqRsTuVwXyZaBcDeFgH",
    "AIza" + "SyA1234567890abcdefghijklmnopqrstuv",
    "sk_live_" + "a1B2c3D4e5F6g7H8",
]
HEADERS = ["Authorization: Basic a2ltOnBhc3M=", "X-Api-Key: 0123456789", "PRIVATE-TOKEN: 0123456789"]
SIGNED = ["https://h.blob/c?sv=1&sig=aB%2Fc1234", "https://h/x?X-Amz-Signature=0123456789abcdef"]


@pytest.fixture
def quiet() -> Iterator[Redactor]:
    """The built-in patterns, with their warnings kept off the report."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecretRedacted)
        yield Redactor()


@pytest.mark.parametrize(
    "key",
    "password db.password dbPassword DB_PASSWORD dbpassword db-passwd passphrase PassWord token hf_token HFToken "
    "auth_token authToken authtoken api_key apiKey APIKey apikey OPENAI_API_KEY x/api-key access_key private_key "
    "client_secret secret aws.secret_access_key credential gcp_credentials account_key password2 token_1".split(),
)
def test_a_key_that_names_a_secret_redacts_its_text(quiet: Redactor, key: str) -> None:
    """Words such as password count at the end of a key, in snake, kebab, dot and camel case."""
    assert REDACTED == quiet.param(key, "x")


@pytest.mark.parametrize(
    "key",
    "max_tokens tokenizer num_tokens token_dim pad_token eos_token bos_token unk_token mask_token sep_token cls_token "
    "padToken decoder_start_token secret_santa_ratio monkey key keyboard primary_key turkey api_key_env password_file "
    "secretary tokens detoken credentials_path".split(),
)
def test_a_key_that_only_resembles_one_is_recorded(quiet: Redactor, key: str) -> None:
    """Vocabulary tokens, counts of tokens and words that merely contain a pattern keep their values."""
    assert "<pad>" == quiet.param(key, "<pad>")


@pytest.mark.parametrize("value", [0, 3, 0.5, True, False, None, ""])
def test_only_text_is_redacted(quiet: Redactor, value: object) -> None:
    """A number, boolean, null or empty text is none the less recorded under a secret key."""
    assert value is quiet.param("secret_santa_ratio.password", value)


def test_nested_values_are_redacted_in_place(quiet: Redactor) -> None:
    """Dicts and lists keep their form; secret keys and shapes are found at any depth."""
    value = {"db": {"password": "a", "port": 5432}, "keys": ["x", f"use {AWS} here"], "credentials": {"user": "kim"}}
    expected = {
        "db": {"password": REDACTED, "port": 5432},
        "keys": ["x", f"use {REDACTED} here"],
        "credentials": {"user": REDACTED},
    }
    assert expected == quiet.param("config", value)
    assert "a" == value["db"]["password"]  # type: ignore[index]  # the caller's own dict is untouched


@pytest.mark.parametrize("secret", SHAPES, ids=lambda s: s[:8].strip("-"))
def test_a_secret_shape_is_redacted_inside_longer_text(quiet: Redactor, secret: str) -> None:
    """Whatever the key, a known shape goes and the text around it stays."""
    assert f"before {REDACTED} after, {REDACTED}." == quiet.text(f"before {secret} after, {secret}.")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgres://kim:pa:ss@w0rd@db:5432/x", "postgres://kim:[redacted]@db:5432/x"),
        ("redis://:hunter2@cache", "redis://:[redacted]@cache"),
        ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfi", "aws_secret_access_key = [redacted]"),
        ("host=db password=hunter2 dbname=x", "host=db password=[redacted] dbname=x"),
        ("https://h/x?api_key=abc&page=2", "https://h/x?api_key=[redacted]&page=2"),
        ("{'user': 'kim', 'password': 'it\\'s', 'n': 3}", "{'user': 'kim', 'password': '[redacted]', 'n': 3}"),
        ('{"client_secret": "a b"}', '{"client_secret": "[redacted]"}'),
        ("PASSWORD='a b' run", "PASSWORD='[redacted]' run"),
        ("Authorization: Bearer abcdefghijklmnop123", "Authorization: Bearer [redacted]"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE cut short", "[redacted]"),
    ],
)
def test_assignments_and_urls_lose_only_the_secret(quiet: Redactor, text: str, expected: str) -> None:
    """The key, the user and the host of a redacted value stay readable."""
    assert expected == quiet.text(text)


@pytest.mark.parametrize(
    "text",
    [
        "sk-learn-random-forest-regressor",
        "task-abcdefghijklmnopqrstuvwxyz",
        "http://localhost:8080/a@b",
        "git@github.com:team/churn.git",
        "pad_token=<pad> lr=0.1",
        "3f0c9ab13f0c9ab13f0c9ab13f0c9ab13f0c9ab1",
        "hf_transfer",
        '{"tokenizer": "bpe", "n": "3"}',
        "-----BEGIN CERTIFICATE-----",
    ],
)
def test_ordinary_text_is_left_alone(quiet: Redactor, text: str) -> None:
    """Names, digests, ports and public blocks are no secrets."""
    assert text == quiet.text(text)


def test_a_command_line_is_redacted_option_by_option(quiet: Redactor) -> None:
    """Both ways to give an option, variables and settings of a configuration tool are known."""
    argv = (
        "python t.py --password x --token=y --api-key -v API_KEY=z --env=DB_PASSWORD=w +db.password=q --lr 0.1".split()
    )
    expected = (
        "python t.py --password [redacted] --token=[redacted] --api-key -v API_KEY=[redacted] "
        "--env=DB_PASSWORD=[redacted] +db.password=[redacted] --lr 0.1"
    )
    assert tuple(expected.split()) == quiet.command(argv)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://kim:pw@host/team/churn.git", "https://host/team/churn.git"),
        (f"https://{GITHUB}@host/x.git", "https://host/x.git"),
        ("https://kim@host:8443/x.git", "https://host:8443/x.git"),
        ("https://kim:p/w@host/x.git", "https://host/x.git"),
        ("https://kim:p@w@host/x.git", "https://host/x.git"),
        ("ssh://git:pw@host/x.git", "ssh://git@host/x.git"),
        ("git@host:team/x.git", "git@host:team/x.git"),
        ("https://host/a@b.git", "https://host/a@b.git"),
        ("https://[::1]:8000/x@y", "https://[::1]:8000/x@y"),
        ("https://host/x.git?private_token=abc", "https://host/x.git?private_token=[redacted]"),
    ],
)
def test_a_url_loses_its_credentials_without_a_word(url: str, expected: str) -> None:
    """User info goes altogether, except the user name of ssh, and no warning is given."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert expected == Redactor().url(url)


def test_each_redaction_warns_with_the_key_and_never_the_value() -> None:
    """The whole warning: which key, what became of it, and what to write to allow it; and it points at the caller."""
    with pytest.warns(SecretRedacted) as caught:
        Redactor().param("db", {"api-key": "hunter2", "note": f"{AWS} {AWS}"})
    advice = "If it is no secret, allow it in runstone.yaml: `secrets: {allow: ['%s']}`"
    held = "`db.note` held an AWS access key, which was recorded as [redacted]. " + advice % r"db\.note"
    assert [
        "`db.api-key` was recorded as [redacted], since the key says that it is a secret. " + advice % r"db\.api\-key",
        held,
        held,
    ] == [str(w.message) for w in caught]
    assert {__file__} == {w.filename for w in caught}


def test_the_advice_of_the_warning_works() -> None:
    """A key allowed as the warning says is recorded as it is, and so are its neighbours' secrets redacted still."""
    redactor = Redactor(allow=[r"db\.password", "my_token", AWS])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert {"password": "x"} == redactor.param("db", {"password": "x"})
        assert GITHUB == redactor.param("my_token", GITHUB)
        assert f"see {AWS}" == redactor.text(f"see {AWS}")
    with pytest.warns(SecretRedacted):
        other = redactor.param("web", {"password": "x"})
    assert {"password": REDACTED} == other


def test_own_patterns_replace_or_extend_the_built_in_ones() -> None:
    """A list of one's own replaces the built-in list; the entry `default` stands for that, and so does no entry."""
    own = Redactor(keys=["^badge$"], values=["ACME-(?P<secret>[0-9]+)"])
    both = Redactor(keys=["default", "^badge$"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecretRedacted)
        assert [REDACTED, "x"] == [own.param("badge", "x"), own.param("password", "x")]
        assert "ACME-[redacted]" == own.text("ACME-77")
        assert [REDACTED, REDACTED] == [Redactor((), (), ()).param("password", "x"), Redactor((), ()).text(GITHUB)]
        assert [REDACTED, REDACTED] == [both.param("Badge", "x"), both.param("password", "x")]


def test_flags_at_the_head_of_a_pattern_hold_for_it_alone() -> None:
    """`(?i)customer_id`, as the format page shows it, among others."""
    redactor = Redactor(keys=["^badge$", "(?i)customer_id"], allow=["ok", "(?i)fine"])
    with pytest.warns(SecretRedacted):
        assert [REDACTED, REDACTED] == [redactor.param("Customer_ID", "x"), redactor.param("badge", "x")]
    assert ["x", "x"] == [redactor.param("customer", "x"), redactor.param("FINE", "x")]


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("keys", lambda bad: Redactor(keys=bad)),
        ("values", lambda bad: Redactor(values=bad)),
        ("allow", lambda bad: Redactor(allow=bad)),
    ],
)
def test_a_bad_pattern_is_refused_with_its_place(name: str, make: Callable[[list[str]], Redactor]) -> None:
    """The error names file, key, pattern and character."""
    with pytest.raises(RecordInvalid) as caught:
        make(["ok", "a(b"])
    assert (
        f"`runstone.yaml`: `secrets.{name}[1]` must be a regular expression, but 'a(b' is none: missing ), "
        "unterminated subpattern at character 2. Correct it, then: `runstone validate runstone.yaml`"
    ) == str(caught.value)


PIECES = [*SHAPES, "://", "u:", "p@", "password=", "'", '"', '": "', ": ", "\\", " ", "&", "/", REDACTED, "PRIVATE KEY"]
PIECES += ["-----BEGIN RSA PRIVATE KEY-----", "-", "secret_key", "token", "Bearer ", "Z9" * 9, "[", "]", ".", ",", "="]


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=9).map("".join))
def test_redacting_twice_is_redacting_once(text: str) -> None:
    """Redacted text is left as it is, and gives no second warning."""
    redactor = Redactor()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecretRedacted)
        once = redactor.text(text)
        command = redactor.command([text])
        warnings.simplefilter("error", SecretRedacted)
        assert once == redactor.text(once)
        assert command == redactor.command(command)


@pytest.mark.parametrize("text", [*HEADERS, *SIGNED])
def test_what_a_request_is_signed_with_is_redacted(quiet: Redactor, text: str) -> None:
    """Headers on a command line and signed URLs: only the secret goes, so that it still tells what was called."""
    redacted = quiet.command(["curl", text])[1]
    assert redacted.endswith(REDACTED)
    assert text.startswith(redacted.removesuffix(REDACTED))


HOSTILE = [
    "ghp_",
    "a=",
    "://a:",
    "://",
    "eyJ",
    "eyJaaaaaaaa.",
    "-----BEGIN PRIVATE KEY-----",
    "password=",
    '"a":"',
    "AKIA",
]
HOSTILE += [
    "sk-",
    "sk-a-",
    "xoxb-",
    "a",
    "_",
    "A",
    "-",
    "Bearer ",
    "'a':'\\",
    "secret_key =",
    "github_pat_",
    "AIza",
    "hf_",
]
HOSTILE += [
    "password='",
    '"',
    "a_token",
    "aB",
    "password",
    " ",
    "glpat-",
    "k_live_",
    "=",
    ":",
    "?sig=",
    "Authorization: ",
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_no_built_in_pattern_is_slow_on_hostile_text(quiet: Redactor, piece: str) -> None:
    """Much of what almost matches, with and without an end that spoils it, takes well under half a second."""
    for end in ("", "!", "\n", "@", '"'):
        text = piece * (200_000 // len(piece)) + end
        assert 0.5 > min(_cpu_s(lambda text=text: quiet.text(text)) for _ in range(3))  # type: ignore[misc]  # bound now, called at once


@pytest.mark.parametrize("piece", HOSTILE)
def test_a_hostile_key_is_judged_in_linear_time(quiet: Redactor, piece: str) -> None:
    """A key of 100,000 characters costs milliseconds."""
    assert 0.5 > _cpu_s(lambda: quiet.param(piece * (100_000 // len(piece)) + "!", "x"))


def test_a_short_plain_param_costs_microseconds(quiet: Redactor) -> None:
    """At most 3 µs of a log call; the best of several rounds, so that a busy machine does not fail it."""
    rounds = [_cpu_s(lambda: [quiet.param("optimizer", "adam with warm-up") for _ in range(2000)]) for _ in range(7)]
    assert 3e-6 > min(rounds) / 2000


def test_every_built_in_pattern_compiles_and_is_needed() -> None:
    """Taking away any one pattern lets something through, so none is there for show."""
    samples = [*SHAPES, "redis://:pw@h", "secret_key: abcdefghijklmnopqrstuvwxyz", "Bearer abcdefghijklmnop123"]
    samples += [*HEADERS, *SIGNED]
    keys = "password secret db_pwd pwd ssh_key access_tokens hf_token token".split()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecretRedacted)
        for gone in DEFAULT_VALUES:
            rest = Redactor(values=[v for v in DEFAULT_VALUES if v != gone])
            assert any(REDACTED not in rest.text(s) for s in samples), gone
        for gone in DEFAULT_KEYS:
            rest = Redactor(keys=[k for k in DEFAULT_KEYS if k != gone])
            assert any(REDACTED != rest.param(k, "x") for k in keys), gone


def _cpu_s(work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin
