"""What a registry is: whether it answers, and its version."""

import msgspec

from zot.zli.client import NoResponseError, RegistryClient
from zot.zli.target import RegistryTarget

API_PATH = "/v2/"
MANAGEMENT_PATH = "/v2/_zot/ext/mgmt"

_NO_API = "registry at the given address doesn't implement the correct API"


class ServerStatus(msgspec.Struct, rename="camel", omit_defaults=True, frozen=True):
    """What zot's zli says of a server, in its order; in JSON, what is empty is left out."""

    status: str = ""
    error: str = ""
    dist_spec_version: str = ""
    commit: str = ""
    binary_type: str = ""
    release_tag: str = ""


async def server_status(asked: RegistryTarget) -> ServerStatus:
    """Ask a registry for what it is. Raises ClickException when certificates for it cannot be loaded."""
    async with RegistryClient(asked) as client:
        try:
            api = await client.get(API_PATH)
            if api.status == 401:
                return ServerStatus("unknown", _unauthorized(asked))
            if api.status != 200:
                return ServerStatus("offline", f"{_NO_API}: request at {client.url(API_PATH)} failed")
            management = await client.get(MANAGEMENT_PATH)
        except NoResponseError as error:
            return ServerStatus("offline", str(error))
        match management.status:
            case 200:
                return _online(management.body, client.url(MANAGEMENT_PATH))
            case 401:
                return ServerStatus("online", _unauthorized(asked))
            case 404:
                return ServerStatus("online", f"{MANAGEMENT_PATH} endpoint is not available")
        return ServerStatus("online", f"{_NO_API}: request at {client.url(MANAGEMENT_PATH)} failed")


def rendered(server: ServerStatus, form: str) -> str:
    """Return a status in one of the forms: `text`, `json`, `yaml` or `yml`."""
    if form == "json":
        return msgspec.json.format(msgspec.json.encode(server), indent=4).decode()
    if form in {"yaml", "yml"}:
        # The keys are those that Go's encoder makes of zot's names.
        fields = msgspec.structs.asdict(server).items()
        keys = {"error": "errormsg"}
        return msgspec.yaml.encode({keys.get(name, name.replace("_", "")): value for name, value in fields}).decode()
    if server.error:
        return f"Server Status: {server.status}\nError: {server.error}"
    return (
        f"Server Status: {server.status}\n"
        f"Server Version: {server.release_tag}\n"
        f"Dist Spec Version: {server.dist_spec_version}\n"
        f"Built with: {', '.join(server.binary_type.strip('-').split('-'))}"
    )


def _online(body: bytes, url: str) -> ServerStatus:
    try:
        said = msgspec.json.decode(body, type=ServerStatus)
    except msgspec.MsgspecError as error:
        return ServerStatus("online", f"{_NO_API}: {url} did not answer as zot does: {error}")
    return msgspec.structs.replace(said, status="online", error="")


def _unauthorized(asked: RegistryTarget) -> str:
    if asked.credentials:
        return "unauthorised access, given credentials are invalid"
    return "unauthorised access, endpoint requires valid user credentials (add the flag '--user [user]:[password]')"
