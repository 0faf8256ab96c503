"""Which certificates of which folder are used for a host."""

import ssl
from pathlib import Path

import click
import pytest
from cryptography import x509

from certificates import Authority
from zot.zli.tls import certificate_folders, tls_context

HOST = "registry.example.org:5000"


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Make a user's folder and the system's, with nothing in that of the host."""
    for name in ("user", "system"):
        (tmp_path / name / HOST).mkdir(parents=True)
    return [tmp_path / "user", tmp_path / "system"]


def believed(context: ssl.SSLContext) -> set[str]:
    """Give the common names of tests' authorities that a context believes."""
    found = [each for each in context.get_ca_certs(binary_form=True) if b" authority" in each]
    return {x509.load_der_x509_certificate(each).subject.rfc4514_string() for each in found}


def test_the_users_folder_goes_before_the_systems(folders: list[Path], tmp_path: Path) -> None:
    """What is in a further one does not count; a folder without any of the files is passed over."""
    for name in ("user", "system"):
        (tmp_path / f"{name}-authority").mkdir()
        made = Authority(tmp_path / f"{name}-authority", f"{name} authority")
        (tmp_path / name / HOST / "ca.crt").write_bytes(made.path.read_bytes())
    assert believed(tls_context(HOST, verify=True, folders=folders)) == {"CN=user authority"}
    assert believed(tls_context("registry.example.org", verify=True, folders=folders)) == set()
    (tmp_path / "user" / HOST / "ca.crt").unlink()
    assert believed(tls_context(HOST, verify=True, folders=folders)) == {"CN=system authority"}


def test_the_folders_are_those_of_container_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    """Below the home first."""
    monkeypatch.setenv("HOME", "/home/alice")
    assert [str(each) for each in certificate_folders()] == [
        "/home/alice/.config/containers/certs.d",
        "/etc/containers/certs.d",
    ]


def test_everything_is_verified_by_default(folders: list[Path]) -> None:
    """With the same strictness on every Python; and nothing when verification is off."""
    context = tls_context(HOST, verify=True, folders=folders)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert not context.verify_flags & ssl.VERIFY_X509_STRICT
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    context = tls_context(HOST, verify=False, folders=folders)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)


def test_a_certificate_needs_its_key(folders: list[Path], authority: Authority) -> None:
    """One without the other is an error, not a request without either."""
    (folders[0] / HOST / "client.cert").write_bytes(authority.path.read_bytes())
    with pytest.raises(click.ClickException, match=r"has only one of client\.cert and client\.key"):
        tls_context(HOST, verify=True, folders=folders)


@pytest.mark.parametrize("name", ["ca.crt", "client.cert", "client.key"])
def test_a_broken_file_is_said(folders: list[Path], authority: Authority, name: str) -> None:
    """With its folder; no other folder is tried in its place."""
    for made, called in zip(authority.issue("zli-broken"), ("client.cert", "client.key"), strict=True):
        (folders[0] / HOST / called).write_bytes(made.read_bytes())
    (folders[0] / HOST / name).write_text("nonsense")
    with pytest.raises(click.ClickException, match=f"the certificates in {folders[0] / HOST} cannot be loaded"):
        tls_context(HOST, verify=True, folders=folders)


def test_a_key_with_a_password_is_not_asked_for(folders: list[Path]) -> None:
    """Nobody may be there to type it."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    locked = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    (folders[0] / HOST / "client.cert").write_text("nonsense")
    (folders[0] / HOST / "client.key").write_bytes(locked)
    with pytest.raises(click.ClickException, match="cannot be loaded"):
        tls_context(HOST, verify=True, folders=folders)
