"""Secrets in URLs: hidden in what is shown, refused in what is written."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.config import load_config, parse_config
from curate.errors import ConfigError
from curate.manifest import RunDir
from curate.outputs import Store
from curate.redact import find_password, has_password, redact
from curate.shards import Shard, list_shards
from curate.terminal import printable

SECRET = "s3cr3t"
WITH_PASSWORD = (
    f"https://user:{SECRET}@example.org/pool/0.tar",
    f"https://{SECRET}@example.org/pool/0.tar",
    f"s3://key:{SECRET}@bucket/0.tar",
    f"ftp://user:{SECRET}@host:21/0.tar",
    f"sftp://user:p@{SECRET}@host/0.tar",
    f"simplecache::https://user:{SECRET}@example.org/0.tar",
)
SIGNED = (
    f"https://h/0.tar?X-Amz-Signature={SECRET}&X-Amz-Date=1",
    f"https://h/0.tar?sv=1&sig={SECRET}",
    f"https://h/0.tar?access_token={SECRET}#x",
    f"https://h/0.tar?a=1&X-Amz-Security-Token={SECRET}",
)
HARMLESS = (
    "s3://bucket/0.tar",
    "hf://datasets/org/name@main/0.tar",
    "abfs://container@account.dfs.core.windows.net/0.tar",
    "https://example.org:8080/a@b/0.tar?date=1",
    "zip://*.tar::s3://bucket/a:b@c.zip",
    "pool/a:b@c.tar",
)


@pytest.mark.parametrize("url", [*WITH_PASSWORD, *SIGNED])
def test_secrets_are_hidden(url: str) -> None:
    text = redact(f"{url!r}: cannot be opened: FileNotFoundError({url!r})")
    assert SECRET not in text
    assert "***" in text
    assert "cannot be opened" in text
    assert SECRET not in printable(url)


@pytest.mark.parametrize("url", HARMLESS)
def test_other_urls_stay_as_they_are(url: str) -> None:
    assert redact(f"{url}: not found") == f"{url}: not found"
    assert not has_password(url)


@given(st.text(st.sampled_from("a:/@?=&;#* '\"éhttpsx"), max_size=60))
def test_redacting_twice_changes_nothing(text: str) -> None:
    assert redact(redact(text)) == redact(text)


@given(st.text(st.characters(exclude_characters="/?#@'\" \t\r\n", codec="ascii"), min_size=1))
def test_no_password_is_left(password: str) -> None:
    if not password.isspace():
        assert redact(f"https://user:{password}@host/x").count("@host/x") == 1
        assert has_password(f"s3://user:{password}@host/x") or any(c.isspace() for c in password)


# --- where it is applied ------------------------------------------------------------------------


@pytest.mark.parametrize("url", WITH_PASSWORD)
@pytest.mark.parametrize("field", ["input.shards", "output.run_dir", "reference.path"])
def test_the_configuration_refuses_passwords(url: str, field: str) -> None:
    section, _, name = field.partition(".")
    tree: dict[str, dict[str, object]] = {
        "input": {"shards": "pool/*.tar"},
        "output": {"run_dir": "run"},
    }
    tree.setdefault(section, {})[name] = [url] if name == "shards" else url
    assert find_password(tree) == field
    with pytest.raises(ConfigError, match=field) as caught:
        parse_config(tree)
    assert SECRET not in str(caught.value)
    assert "environment" in str(caught.value)


def test_overrides_are_checked_as_well(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("input: {shards: 'x/*.tar'}\noutput: {run_dir: run}\n")
    with pytest.raises(ConfigError, match=r"output\.run_dir") as caught:
        load_config(path, [f"output.run_dir={WITH_PASSWORD[2]}"])
    assert SECRET not in str(caught.value)


def test_lists_of_shards_are_checked_as_well(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(f"s3://bucket/0.tar\n{WITH_PASSWORD[0]}\n")
    with pytest.raises(ConfigError, match=r"input\.shards") as caught:
        list_shards("@list.txt", tmp_path)
    assert SECRET not in str(caught.value)


def test_signed_urls_are_hidden_where_failures_are_kept(tmp_path: Path) -> None:
    run = RunDir(Store(str(tmp_path)))
    shard = Shard("0", SIGNED[0], None)
    run.fail(shard, f"{shard.url}: cannot be opened")
    assert SECRET not in run.failures()["0"]


# --- secrets elsewhere than in URLs -------------------------------------------------------------

NAMED = (
    f"AWS_SECRET_ACCESS_KEY={SECRET}",
    f"export HF_TOKEN='{SECRET} {SECRET}'",
    f"{{'AccessKeyId': 'x', 'SecretAccessKey': '{SECRET}', 'SessionToken': '{SECRET}'}}",
    f'{{"aws_session_token": "{SECRET}"}}',
    f'{{\\"token\\": \\"{SECRET}\\"}}',
    f'"password": "{SECRET}',
    f"Authorization: Basic {SECRET}",
    f"headers: authorization=Bearer {SECRET}, host=x",
    f"sent Bearer {SECRET}{SECRET}",
    f"AccountKey={SECRET};EndpointSuffix=core.windows.net",
    f"Credential={SECRET}/20260101, Signature={SECRET}",
    f"ghp_{SECRET * 5} and AKIA{SECRET.upper() * 4}",
    f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET}\n-----END RSA PRIVATE KEY-----",
)
NO_SECRETS = (
    "tokens: 77, tokenizer: bert",
    "the caption is cut to 77 tokens: 5 of them are left",
    "s3://bucket/key=5/x.tar",
    "image_informativeness.min=0.2",
    "Basic facts about Bearer bonds",
)


@pytest.mark.parametrize("text", NAMED)
def test_secrets_with_a_name_or_a_known_form_are_hidden(text: str) -> None:
    assert SECRET.lower() not in redact(text).lower()
    assert redact(redact(text)) == redact(text)
    assert SECRET.lower() not in printable(text).lower()


@pytest.mark.parametrize("text", NO_SECRETS)
def test_words_that_sound_like_secrets_are_left(text: str) -> None:
    assert redact(text) == text


def test_redacting_takes_no_longer_than_reading() -> None:
    for text in ("a" * 10**5, "secret_" * 600, "token " * 10**4, "-----BEGIN PRIVATE KEY" * 500):
        redact(text)
