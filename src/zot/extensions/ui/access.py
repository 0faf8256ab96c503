"""The page of who may do what in a repository: for each visitor their own rights, for administrators those of any."""

from __future__ import annotations

from zot.auth.explain import Explanation, explain, own_rights
from zot.extensions.ui.page import HtmlPage, PageParts, PageVisit
from zot.oci.names import Repository, parse_reference
from zot.registry.request import Action

_GROUPS_LIMIT = 50
_ACTIONS = {
    Action.READ: "pull images and see the repository",
    Action.CREATE: "push images, and tags that are not there yet",
    Action.UPDATE: "move tags that are there",
    Action.DELETE: "delete tags and images",
}


async def access(parts: PageParts, visit: PageVisit, name: Repository) -> HtmlPage:
    """Return the page. Raises ThreadPoolBusyError."""
    rights = own_rights(parts.policy, visit.principal, name, visit.context)
    missing = [each.action.value for each in rights if not each.allowed]
    explains = parts.rules is not None and is_admin(parts, visit)
    explained, problem = await _explained(parts, visit, name) if explains else (None, "")
    values = {
        "rights": [(each, _ACTIONS[each.action]) for each in rights],
        "request": request_for(visit, name, missing) if missing else "",
        "explains": explains,
        "actions": [action.value for action in Action],
        "asked": {key: visit.fields.get(key, "") for key in ("user", "group", "action", "reference")},
        "explained": explained,
        "problem": problem,
    }
    return HtmlPage("access.html", values)


def is_admin(parts: PageParts, visit: PageVisit) -> bool:
    """Tell whether the visitor is an administrator: an anonymous client never is."""
    return visit.principal.authenticated and parts.policy.is_admin(visit.principal)


def request_for(visit: PageVisit, name: Repository, actions: list[str]) -> str:
    """Return what a visitor writes to the administrators of the registry."""
    who = visit.principal.name if visit.principal.authenticated else "visitors who are not logged in"
    return f"Please grant {who} the actions {', '.join(actions)} in the repository {name} of {visit.host}."


async def _explained(parts: PageParts, visit: PageVisit, name: Repository) -> tuple[Explanation | None, str]:
    """Return the decision that the form asks for, or what is wrong with the form."""
    action = visit.fields.get("action", "")
    if not action:
        return None, ""
    user, reference = visit.fields.get("user", "").strip(), visit.fields.get("reference", "").strip()
    groups = [each for each in visit.fields.get("group", "").replace(",", " ").split() if each][:_GROUPS_LIMIT]
    try:
        parsed = parse_reference(reference) if reference else None
        return await parts.pool.run(explain, parts.rules, user, groups, name, Action(action), parsed), ""
    except ValueError as error:
        return None, str(error)
