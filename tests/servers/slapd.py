"""An OpenLDAP server with a few users and groups."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import programs
from certificates import Authority
from servers.process import Process, accepts, free_port

BASE = "dc=example,dc=org"
ADMIN = f"cn=admin,{BASE}"
ADMIN_PASSWORD = "admin-secret"

# The overlay memberof updates a user's attribute memberOf at every change of a group, as Active Directory does (the
# entries loaded here have theirs already); anonymous clients read nothing.
CONFIG = f"""\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
TLSCACertificateFile {{tls}}/ca.pem
TLSCertificateFile {{tls}}/server.pem
TLSCertificateKeyFile {{tls}}/server.key
pidfile {{folder}}/slapd.pid
argsfile {{folder}}/slapd.args
database mdb
suffix "{BASE}"
rootdn "{ADMIN}"
rootpw {ADMIN_PASSWORD}
directory {{folder}}/data
overlay memberof
memberof-refint TRUE
access to attrs=userPassword by self write by anonymous auth by * none
access to * by users read by * none
"""

PEOPLE = {"alice": "alice-secret", "bob": "bob-secret", "carol(x)*": "carol-secret"}
GROUPS = {"developers": ["alice", "bob"], "admins": ["alice"]}


def entries() -> str:
    """Return the directory as LDIF: PEOPLE below ou=people (bob one level deeper), GROUPS below ou=groups."""
    units = [f"dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: Example\n"]
    units += [
        f"dn: ou={unit},{BASE}\nobjectClass: organizationalUnit\nou: {unit.split(',')[0]}\n"
        for unit in ("people", "groups", "staff,ou=people")
    ]
    units += [
        f"dn: {person(name)}\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\nsn: {name}\n"
        f"mail: {name.split('(')[0]}@example.org\nuserPassword: {password}\n"
        + "".join(f"memberOf: {group(title)}\n" for title, names in GROUPS.items() if name in names)
        for name, password in PEOPLE.items()
    ]
    units += [
        f"dn: {group(title)}\nobjectClass: groupOfNames\ncn: {title}\n"
        + "".join(f"member: {person(name)}\n" for name in names)
        for title, names in GROUPS.items()
    ]
    return "\n".join(units)


def person(name: str) -> str:
    """Return the distinguished name of one of PEOPLE."""
    return f"uid={name},{'ou=staff,' if name == 'bob' else ''}ou=people,{BASE}"


def group(title: str) -> str:
    """Return the distinguished name of one of GROUPS."""
    return f"cn={title},ou=groups,{BASE}"


class Slapd(Process):
    """A slapd on two free ports (plain with StartTLS, and LDAPS), with `entries()` in it.

    Its data are in `folder` and survive `stop` and `kill`. Its certificate is the authority's `server.pem`.
    """

    def __init__(self, folder: Path, authority: Authority) -> None:
        """Write configuration and data to `folder`; nothing starts yet."""
        self.port, self.tls_port = free_port(), free_port()
        self.url, self.tls_url = f"ldap://127.0.0.1:{self.port}", f"ldaps://127.0.0.1:{self.tls_port}"
        program = programs.require("slapd")
        (folder / "data").mkdir()
        config, data = folder / "slapd.conf", folder / "entries.ldif"
        config.write_text(CONFIG.format(folder=folder, tls=authority.folder))
        data.write_text(entries())
        subprocess.run([program, "-T", "add", "-f", config, "-l", data], check=True, capture_output=True)
        super().__init__(
            [program, "-d", "0", "-f", config, "-h", f"{self.url} {self.tls_url}"],
            log=folder / "slapd.log",
            ready=lambda: accepts(self.port) and accepts(self.tls_port),
        )


@pytest.fixture(scope="session")
def slapd(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Slapd]:
    """One running slapd for the whole run. A test that stops, freezes or changes one starts its own."""
    with Slapd(tmp_path_factory.mktemp("slapd"), authority) as server:
        yield server
