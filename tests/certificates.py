"""Certificates for tests: one authority for each run, which issues to servers and clients."""

import datetime as dt
import ipaddress
from collections.abc import Sequence
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_SIGNS_CERTIFICATES = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


class Authority:
    """A certificate authority in a folder: `ca.pem`, and NAME.pem with NAME.key for each certificate issued."""

    def __init__(self, folder: Path, common_name: str = "zot test authority") -> None:
        """Create the authority's key and certificate."""
        self.folder = folder
        self.path = folder / "ca.pem"
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name([(NameOID.COMMON_NAME, common_name)])
        builder = _valid(self._name, self._name, self._key)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_SIGNS_CERTIFICATES, critical=True)
        self.path.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def issue(
        self,
        name: str,
        *,
        subject: Sequence[tuple[x509.ObjectIdentifier, str]] = (),
        hosts: Sequence[str] = (),
        emails: Sequence[str] = (),
        uris: Sequence[str] = (),
        days: float = 1,
    ) -> tuple[Path, Path]:
        """Issue a certificate; return the paths of it and of its key, `NAME.pem` and `NAME.key`.

        `subject` has the parts of its name, by default the common name `name`; `hosts` are host names and
        addresses, `emails` and `uris` further alternative names. With negative `days` it is expired.
        Another call with the same name replaces the files, as a renewal does.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _valid(_name(subject or [(NameOID.COMMON_NAME, name)]), self._name, key, days=days)
        signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(signer, critical=False)
        others = [*map(_host, hosts), *map(x509.RFC822Name, emails), *map(x509.UniformResourceIdentifier, uris)]
        if others:
            builder = builder.add_extension(x509.SubjectAlternativeName(others), critical=False)
        certificate, secret = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        certificate.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        secret.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
        )
        secret.chmod(0o600)
        return certificate, secret


def _name(parts: Sequence[tuple[x509.ObjectIdentifier, str]]) -> x509.Name:
    return x509.Name([x509.NameAttribute(part, value) for part, value in parts])


def _valid(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: float = 1
) -> x509.CertificateBuilder:
    ends = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
    return (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(ends - dt.timedelta(days=30))
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """One authority for the whole run, with `server.pem` and `server.key` for 127.0.0.1, ::1 and localhost."""
    made = Authority(tmp_path_factory.mktemp("authority"))
    made.issue("server", hosts=["127.0.0.1", "::1", "localhost"])
    return made
