"""The sites that are served, each with a policy; all share one model in memory."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fastapi import Request

from moderation.moderator import Moderator
from moderation.normalise import fold
from moderation.policy import Policy
from moderation.service.errors import NotFound, Unauthorised
from moderation.service.keys import Caller
from moderation.service.settings import Settings

DEFAULT_SITE = "default"
_LINKS = " and ".join(["www.example.com/trains"] * 9)
_WARMING = f"The goverment says (p*ople) that the trains ran late: see {_LINKS}, or ask 020 7946 0018."
"""A comment that has the libraries loaded that read links and telephone numbers, and the words of English sought in."""


@dataclass(frozen=True, slots=True)
class Site:
    """One site and how its comments are judged."""

    name: str
    moderator: Moderator

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self.moderator.policy


def load_sites(settings: Settings, check: Callable[[Policy], None] = lambda policy: None) -> dict[str, Site]:
    """Load the policy of every site, anew from their files, and the model where it has changed.

    Parameters
    ----------
    check
        Raises a `PolicyError` for a policy whose tables for the adapters cannot be used.

    Raises
    ------
    PolicyError, ModelError
        When any of them cannot be used; nothing is changed then.
    """
    sites = {DEFAULT_SITE: Site(DEFAULT_SITE, Moderator.load(settings.policy, settings.model, settings.classifier))}
    for name, own in settings.sites.items():
        moderator = Moderator.load(own.policy or settings.policy, settings.model, own.classifier or settings.classifier)
        sites[name] = Site(name, moderator)
    for site in sites.values():
        check(site.policy)
        # Compiled, and read into memory, before the first comment waits for it.
        site.policy.patterns.prepare()
        site.moderator.review(_WARMING)
        if site.moderator.encoder:
            site.moderator.encoder.score([fold("Thank you.", site.policy.words)])
    return sites


def site_of(request: Request, caller: Caller, name: str | None = None) -> Site:
    """Tell which site a request is about: its key's, else the one that it names.

    A path that begins with ``/sites/NAME/``, the header ``X-Site`` or the field that the caller read (``name``)
    names one; without any of them it is the default.

    Raises
    ------
    Unauthorised
        When the key belongs to another site.
    NotFound
        When there is none of this name.
    """
    sites: Mapping[str, Site] = request.app.state.sites
    site = sites.get(_named(request, caller, name) or DEFAULT_SITE)
    if site is None:
        raise NotFound("no such site is served here")
    return site


def site_named(request: Request, caller: Caller, name: str | None = None) -> str | None:
    """Tell the name of the site as `site_of` does; None, for all of them, where neither key nor request names one."""
    return site_of(request, caller, name).name if _named(request, caller, name) else None


def _named(request: Request, caller: Caller, name: str | None) -> str | None:
    named = request.scope.get("site") or request.headers.get("x-site") or name
    if caller.site is None:
        return named
    if named and named != caller.site:
        raise Unauthorised("this key belongs to another site", 403)
    return caller.site
