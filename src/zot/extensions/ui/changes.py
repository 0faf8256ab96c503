"""What visitors change by forms: stars, and tags and manifests that they delete or restore."""

from __future__ import annotations

from zot.api.authorization import Authorizer, Call
from zot.api.http_request import HttpRequest
from zot.api.manifests import tag_move
from zot.api.preferences import Preference, Preferences, RepositoryHidden
from zot.extensions.search.interface import Search, Visible
from zot.extensions.ui.addresses import Links, RepositoryView
from zot.extensions.ui.forms import Form, PageFormInvalid
from zot.extensions.ui.page import USE_PAGES, HtmlPage
from zot.oci.names import Reference, as_digest, as_tag
from zot.registry import manifests, tags
from zot.registry.errors import ManifestUnknown, NameUnknown, TagChanged
from zot.registry.registry import Registry
from zot.registry.request import DeleteManifest, PushManifest

DELETES_LIMIT = 1000
"""The most tags and manifests that one form deletes."""


class PageActions:
    """Carries out forms, each as a request of the API that does the same, by the same rules."""

    def __init__(self, registry: Registry, authorizer: Authorizer, search: Search, preferences: Preferences) -> None:
        """Change one registry."""
        self._registry = registry
        self._authorizer = authorizer
        self._search = search
        self._preferences = preferences

    async def toggle_star(self, http: HttpRequest, form: Form) -> str:
        """Set the user's star of a repository, or remove it. Raises ErrorResponse, Denied, NameUnknown, Unavailable."""
        principal = await self._authorizer.enter(http, USE_PAGES, lambda each: each.is_full_user)
        name = form.repository
        try:
            await self._preferences.toggle(principal, Preference.STAR, name, http.context)
        except (RepositoryHidden, NameUnknown) as error:
            raise NameUnknown(f"There is no repository {name} that you may read.") from error
        return Links.repository(name)

    async def delete(self, http: HttpRequest, form: Form) -> HtmlPage | str:
        """Ask once more, saying what is freed; once confirmed, delete tags and manifests.

        The manifests of deleted tags stay for an undo; a deleted manifest is gone. Raises ErrorResponse,
        PageFormInvalid, TagImmutable, InUse, ManifestConflict: then nothing after that one was deleted.
        """
        name, chosen, digests = form.repository, form.tags, form.digests
        if not 0 < len(chosen) + len(digests) <= DELETES_LIMIT:
            raise PageFormInvalid(f"Choose between 1 and {DELETES_LIMIT} tags or manifests.")
        references: list[Reference] = [*chosen, *digests]
        requests = [DeleteManifest(repository=name, reference=each) for each in references]
        calls = await self._authorizer.authorize_each(http, requests)
        if form.text("confirmed") != "yes":
            seen: Visible = frozenset((name,))
            freed = await self._search.freed_bytes(seen, name, chosen, digests)
            values = {"name": name, "chosen": chosen, "digests": digests, "freed_bytes": freed}
            return HtmlPage("delete.html", values)
        for call in calls:
            try:
                await self._delete(call)
            except ManifestUnknown:  # deleted by another request: what the form wants is so
                continue
        return Links.repository(name, RepositoryView.HISTORY if chosen else RepositoryView.UNTAGGED)

    async def _delete(self, call: Call[DeleteManifest]) -> None:
        name, principal, policy = call.request.repository, call.principal, self._authorizer.policy
        tag, digest = as_tag(call.request.reference), as_digest(call.request.reference)
        if tag is not None:
            immutable = policy.immutable(principal, name, tag)
            await tags.delete(self._registry, name, tag, immutable=immutable, by=principal.name)
        elif digest is not None:
            await manifests.delete(
                self._registry,
                name,
                digest,
                immutable=lambda each: policy.immutable(principal, name, each),
                detect_collision=policy.detects_collisions(principal, name, call.context),
                by=principal.name,
            )

    async def restore_tag(self, http: HttpRequest, form: Form) -> str:
        """Point a tag at a manifest that it had, or at an untagged one.

        Raises ErrorResponse, PageFormInvalid, ManifestUnknown, NotGranted, and TagChanged if the tag no longer points
        where the page of the form showed it.
        """
        name, digest = form.repository, form.digest
        if len(form.tags) != 1:
            raise PageFormInvalid("Choose one tag.")
        (tag,) = form.tags
        request = PushManifest(repository=name, reference=tag, tags=(tag,))
        call = await self._authorizer.authorize(http, request)
        move = tag_move(self._authorizer.policy, call, tag, form.position)
        try:
            await tags.restore(self._registry, name, digest, move, call.principal.name)
        except ManifestUnknown as error:
            raise ManifestUnknown("Its manifest was deleted: the tag cannot be moved back to it.") from error
        except TagChanged as error:
            text = (
                f"The tag {tag} was moved, created or deleted meanwhile, and stays as it is. Look at its history again."
            )
            raise TagChanged(text) from error
        return Links.image(name, tag)
