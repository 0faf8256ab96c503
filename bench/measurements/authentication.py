"""What it costs to ask who is asking: pulls with a password beside anonymous ones."""

from collections.abc import Iterator

import bcrypt

from bench import images, load
from bench.context import Context
from bench.figures import Figure, alternate
from bench.load import Target
from bench.registries import PASSWORD, USER, Setup, Side

REPOSITORY = "bench/authentication"
BCRYPT_COST = 10
RUN_S = 2


def measure(context: Context) -> Iterator[Figure]:
    """Ask for a manifest over 8 connections, with Basic credentials against a bcrypt password file, and without.

    Each way has a server of its own, with the same access control where the program has one.
    """
    htpasswd = context.folder / "htpasswd"
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(BCRYPT_COST)).decode()
    htpasswd.write_text(f"{USER}:{hashed}\n")
    for side in filter(None, (context.zot, context.peer)):
        anonymous, authenticated = Setup(policy=True), Setup(policy=True, htpasswd=htpasswd)
        if side.can(anonymous) and side.can(authenticated):
            yield _figure(context, side, anonymous, authenticated)


def _figure(context: Context, side: Side, anonymous: Setup, authenticated: Setup) -> Figure:
    with (
        context.serving(side, "anonymous", anonymous) as open_registry,
        context.serving(side, "authenticated", authenticated) as closed_registry,
    ):
        registries = {"anonymous": open_registry, "authenticated": closed_registry}
        for registry in registries.values():
            images.push_tags(registry, REPOSITORY, 1)
        target = Target(f"/v2/{REPOSITORY}/manifests/t0")
        samples = alternate(registries, context.runs, lambda registry: load.get(registry, target, RUN_S).per_second)
    what = f"manifest GET with password, {side.name}"
    return Figure(what, "/s", samples.pop("authenticated"), samples, aim="≥ 0.9 of it")
