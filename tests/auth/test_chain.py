"""Whatever a request brings, it is somebody, nobody, or a refusal."""

import base64
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auth.harness import PEOPLE
from zot.accounts.memory import MemoryAccounts
from zot.accounts.sessions.memory import MemorySessions
from zot.auth import build as auth_of
from zot.auth.credentials import Credentials, CrossOrigin, ResourceClass
from zot.auth.principal import ANONYMOUS
from zot.config.load import load_tree
from zot.foundation.threads import ThreadPool
from zot.registry.errors import Unauthorized

RIGHT = "Basic " + base64.b64encode(f"alice:{PEOPLE['alice']}".encode()).decode()
HEADERS = st.one_of(
    st.text(max_size=60),
    st.sampled_from([RIGHT, RIGHT.lower(), f"{RIGHT} ", "Basic Og==", "Bearer x", "Basic", "basic Og=="]),
    st.binary(max_size=40).map(lambda content: "Basic " + base64.b64encode(content).decode()),
)
CREDENTIALS = st.builds(
    Credentials,
    authorization=st.lists(HEADERS, max_size=2).map(tuple),
    session=st.text(max_size=80),
    certificate=st.none() | st.binary(max_size=20),
    from_ui=st.booleans(),
    same_origin=st.booleans(),
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]),
    resource=st.sampled_from(ResourceClass),
    user_agent=st.text(max_size=20),
    address=st.sampled_from(["", "10.0.0.1"]),
)


@pytest.fixture
def auth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[auth_of.Auth]:
    """Let alice in by password, and nobody else; nobody has to wait."""

    async def at_once(delay_s: float) -> None:
        del delay_s

    monkeypatch.setattr("zot.auth.chain.asyncio.sleep", at_once)
    path = tmp_path / "htpasswd"
    path.write_text(f"alice:{bcrypt.hashpw(PEOPLE['alice'].encode(), bcrypt.gensalt(4)).decode()}\n")
    http = {
        "auth": {"htpasswd": {"path": str(path)}, "apikey": True},
        "accessControl": {"repositories": {"**": {"anonymousPolicy": ["read"]}}},
    }
    config = load_tree({"storage": {"rootDirectory": str(tmp_path)}, "http": http}).config
    pool = ThreadPool("passwords", 2, 64)
    yield auth_of.build(config, auth_of.AuthParts(pool, pool, MemoryAccounts(), MemorySessions()))
    pool.close()


@given(credentials=CREDENTIALS)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_only_the_right_password_is_somebody(auth: auth_of.Auth, credentials: Credentials) -> None:
    """No other header, cookie or certificate is, none of them raises anything else, and wrong ones never are nobody."""
    says_something = any(header.strip() not in {"", "Basic Og==", "basic Og=="} for header in credentials.authorization)
    try:
        principal = (await auth.chain.authenticate(credentials)).principal
    except (Unauthorized, CrossOrigin):
        return
    if len(credentials.authorization) == 1 and credentials.authorization[0].strip() == RIGHT:
        assert principal.name == "alice"
    else:
        assert principal == ANONYMOUS
        assert not says_something
