"""The commands that pages show, for the clients that readers have."""

from __future__ import annotations

from typing import NamedTuple

from zot.extensions.search.interface import ImageKind, ImageSummary, RepositorySummary
from zot.oci.digest import Digest
from zot.oci.names import Repository, Tag


class ClientCommand(NamedTuple):
    """A command line of a client."""

    client: str
    text: str


def first_push(host: str, *, secure: bool) -> list[ClientCommand]:
    """Return how to push a first image to a registry at `host`; without HTTPS some clients need to be told."""
    plain = not secure
    return [
        ClientCommand(
            "docker",
            f"docker pull alpine && docker tag alpine {host}/alpine:latest && docker push {host}/alpine:latest",
        ),
        ClientCommand(
            "podman",
            f"podman pull docker.io/library/alpine && "
            f"podman push {'--tls-verify=false ' if plain else ''}alpine {host}/alpine:latest",
        ),
        ClientCommand(
            "skopeo",
            f"skopeo copy {'--dest-tls-verify=false ' if plain else ''}"
            f"docker://docker.io/library/alpine docker://{host}/alpine:latest",
        ),
        ClientCommand("oras", f"oras push {'--plain-http ' if plain else ''}{host}/notes:1 notes.txt"),
        ClientCommand("helm", f"helm push mychart-0.1.0.tgz oci://{host}/charts{' --plain-http' if plain else ''}"),
    ]


def pull_commands(host: str, image: ImageSummary, *, secure: bool) -> list[ClientCommand]:
    """Return how to pull an image: by its tag, and by its digest, which always gives the same."""
    plain = not secure
    named = _reference(host, image, image.tag)
    pinned = _reference(host, image, None)
    result = [ClientCommand("reference", named)] if image.tag is not None else []
    result.append(ClientCommand("pinned", pinned))
    if image.kind is ImageKind.CHART:
        version = f" --version {image.tag}" if image.tag is not None else ""
        http = " --plain-http" if plain else ""
        return [*result, ClientCommand("helm", f"helm pull oci://{host}/{image.repository}{version}{http}")]
    if image.kind is ImageKind.IMAGE:
        result += [
            ClientCommand("docker", f"docker pull {named}"),
            ClientCommand("podman", f"podman pull {'--tls-verify=false ' if plain else ''}{named}"),
            ClientCommand(
                "skopeo", f"skopeo copy {'--src-tls-verify=false ' if plain else ''}docker://{named} {_layout(image)}"
            ),
            ClientCommand("nerdctl", f"nerdctl {'--insecure-registry ' if plain else ''}pull {named}"),
            ClientCommand("kubernetes", f"image: {pinned}"),
            ClientCommand("hosts.toml", _hosts_toml(host, secure=secure)),
        ]
    return [*result, ClientCommand("oras", f"oras pull {'--plain-http ' if plain else ''}{named}")]


def _hosts_toml(host: str, *, secure: bool) -> str:
    """Return how containerd, which pulls for Kubernetes, is told how to reach a registry."""
    address = f"{'https' if secure else 'http'}://{host}"
    return (
        f"# /etc/containerd/certs.d/{host}/hosts.toml\n"
        f'server = "{address}"\n\n[host."{address}"]\n  capabilities = ["pull", "resolve"]'
    )


def pinned_commands(host: str, name: Repository, digest: Digest, *, secure: bool) -> list[ClientCommand]:
    """Return how to pull a manifest by its digest."""
    pinned = f"{host}/{name}@{digest}"
    return [
        ClientCommand("pinned", pinned),
        ClientCommand("docker", f"docker pull {pinned}"),
        ClientCommand("podman", f"podman pull {'' if secure else '--tls-verify=false '}{pinned}"),
        ClientCommand("oras", f"oras pull {'' if secure else '--plain-http '}{pinned}"),
    ]


def attach_readme(
    host: str, name: Repository, summary: RepositorySummary | None, *, secure: bool
) -> list[ClientCommand]:
    """Return how to give a repository a README."""
    oras = f"oras {{}}{'' if secure else ' --plain-http'} "
    pushed = f"{host}/{name}:readme README.md:text/markdown"
    commands = [ClientCommand("own tag", oras.format("push") + pushed)]
    if summary is not None and summary.newest is not None and summary.newest.tag is not None:
        of = f"--artifact-type text/markdown {host}/{name}:{summary.newest.tag} README.md:text/markdown"
        commands.insert(0, ClientCommand("of an image", oras.format("attach") + of))
    return commands


def _reference(host: str, image: ImageSummary, tag: Tag | None) -> str:
    return f"{host}/{image.repository}:{tag}" if tag is not None else f"{host}/{image.repository}@{image.digest}"


def _layout(image: ImageSummary) -> str:
    """Return the OCI layout in the working directory to which skopeo copies an image."""
    directory = image.repository.rpartition("/")[2]
    return f"oci:{directory}:{image.tag}" if image.tag is not None else f"oci:{directory}"
