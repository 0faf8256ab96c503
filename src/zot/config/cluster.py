"""`cluster`: several servers over one store."""

from __future__ import annotations

from zot.config.http import TlsConfig
from zot.config.section import Listed, Section, zot_key


class ClusterConfig(Section):
    """zot's static members. Replicas of this server need none: any of them answers for any repository."""

    members: Listed[str] = zot_key("members", (), doc="`host:port` of each member, in the same order everywhere.")
    hash_key: str = zot_key("hashKey", "", doc="16 characters, the same on every member.")
    tls: TlsConfig | None = zot_key("tls", None, doc="Certificates for requests to other members.")
