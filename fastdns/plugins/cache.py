"""cache: the answers of what comes after it, kept for as long as they may be."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from fastdns.config import corefile, lexer, model, values, wording
from fastdns.dns import names

MIN_CAPACITY = 1024
MAX_SERVFAIL = 300.0
MAX_TTL = 2**32 - 1
REFRESH_MODES = ("immediate", "verify")


@dataclasses.dataclass
class _Draft:
    """What the lines of a block have said so far."""

    cache: model.Cache
    policy: corefile.Directive | None = None

    def set(self, **changes: object) -> None:
        self.cache = dataclasses.replace(self.cache, **changes)  # type: ignore[arg-type]  # each field by its own name


def parse(directive: corefile.Directive, scope: corefile.Scope) -> model.Cache:
    """Read `cache [TTL] [ZONES...] { ... }`; the TTL bounds both sides."""
    ttl, tokens = _leading_ttl(directive)
    zones = values.zones(directive, tokens) or scope.zones
    draft = _Draft(model.Cache(zones))
    if ttl is not None:
        success = dataclasses.replace(draft.cache.success, max_ttl=ttl)
        draft.set(success=success, denial=dataclasses.replace(draft.cache.denial, max_ttl=ttl))
    for option in directive.block:
        if option.word not in _OPTIONS:
            hint = wording.suggest(option.word, _OPTIONS) or "it is no option of 'cache'"
            raise option.argument_error(after=option.name, hint=hint)
        _OPTIONS[option.word](option, draft)
    return _with_policy(draft)


def _leading_ttl(directive: corefile.Directive) -> tuple[int | None, tuple[lexer.Token, ...]]:
    """Give the TTL, where the first word is a number, and the words after it."""
    tokens = directive.args
    if not tokens or not values.is_integer(tokens[0].text):
        return None, tokens
    return _ttl(directive, tokens[0]), tokens[1:]


def _ttl(option: corefile.Directive, token: lexer.Token) -> int:
    ttl = values.integer(option, token)
    if ttl <= 0:
        raise option.error(f"cache TTL can not be zero or negative: {ttl}", at=token)
    return min(ttl, MAX_TTL)


def _success(option: corefile.Directive, draft: _Draft) -> None:
    draft.set(success=_side(option, draft.cache.success))


def _denial(option: corefile.Directive, draft: _Draft) -> None:
    draft.set(denial=_side(option, draft.cache.denial))


def _side(option: corefile.Directive, side: model.CacheSide) -> model.CacheSide:
    """Read `CAPACITY [TTL [MINTTL]]`. CoreDNS has no smaller cache than MIN_CAPACITY either."""
    if not option.args:
        raise option.argument_error(hint=f"{option.word} CAPACITY [TTL] [MINTTL]")
    side = dataclasses.replace(side, capacity=max(values.integer(option, option.args[0]), MIN_CAPACITY))
    if len(option.args) > 1:
        side = dataclasses.replace(side, max_ttl=_ttl(option, option.args[1]))
    if len(option.args) > 2:
        minimum = values.integer(option, option.args[2])
        if minimum < 0:
            raise option.error(f"cache min TTL can not be negative: {minimum}", at=option.args[2])
        side = dataclasses.replace(side, min_ttl=minimum)
    return side


def _prefetch(option: corefile.Directive, draft: _Draft) -> None:
    """Read `prefetch AMOUNT [DURATION [PERCENTAGE%]]`; an amount of 0 is none."""
    if not 1 <= len(option.args) <= 3:
        raise option.argument_error(hint="prefetch AMOUNT [DURATION] [PERCENTAGE%]")
    amount = values.integer(option, option.args[0])
    if amount < 0:
        raise option.error(f"prefetch amount should be positive: {amount}", at=option.args[0])
    prefetch = model.Prefetch(amount)
    if len(option.args) > 1:
        prefetch = dataclasses.replace(prefetch, duration=values.duration(option, option.args[1]))
    if len(option.args) > 2:
        prefetch = dataclasses.replace(prefetch, percentage=_percentage(option, option.args[2]))
    draft.set(prefetch=prefetch if amount else None)


def _percentage(option: corefile.Directive, token: lexer.Token) -> int:
    if not token.text.endswith("%"):
        last = token.text[-1:]
        raise option.error(f"last character of percentage should be `%`, but is: '{last}'", at=token)
    percentage = values.integer(option, dataclasses.replace(token, text=token.text[:-1]))
    if not 10 <= percentage <= 90:
        raise option.error(f"percentage should fall in range [10, 90]: {percentage}", at=token)
    return percentage


def _serve_stale(option: corefile.Directive, draft: _Draft) -> None:
    """Read `serve_stale [DURATION [immediate [TTL [RECHECK]] | verify [TIMEOUT [TTL [RECHECK]]]]]`."""
    stale = model.ServeStale()
    if len(option.args) > 5:
        raise option.argument_error()
    if option.args:
        duration = values.duration(option, option.args[0])
        if duration < 0:
            raise option.error("invalid negative duration for serve_stale", at=option.args[0])
        stale = dataclasses.replace(stale, duration=duration)
    if len(option.args) > 1:
        stale = _refresh(option, stale)
    draft.set(serve_stale=stale)


def _refresh(option: corefile.Directive, stale: model.ServeStale) -> model.ServeStale:
    token = option.args[1]
    mode = token.text.lower()
    if mode not in REFRESH_MODES:
        hint = wording.suggest(mode, REFRESH_MODES) or "it is immediate or verify"
        raise option.error(f"invalid value for serve_stale refresh mode: {mode}", at=token, hint=hint)
    stale = dataclasses.replace(stale, refresh=mode)
    rest = option.args[2:]
    if mode == "verify" and rest:
        stale = dataclasses.replace(stale, verify_timeout=_verify_timeout(option, rest[0]))
        rest = rest[1:]
    if len(rest) > 2:
        raise option.argument_error()
    if rest:
        stale = dataclasses.replace(stale, ttl=_stale_ttl(option, rest[0]))
    if len(rest) > 1:
        stale = dataclasses.replace(stale, recheck=_recheck(option, rest[1]))
    return stale


def _verify_timeout(option: corefile.Directive, token: lexer.Token) -> float:
    timeout = _labelled_duration(option, token, "invalid serve_stale verify timeout")
    if timeout < 0:
        raise option.error("invalid negative timeout for serve_stale verify", at=token)
    return timeout


def _stale_ttl(option: corefile.Directive, token: lexer.Token) -> int:
    ttl = _labelled_duration(option, token, "invalid serve_stale response TTL")
    if ttl < 0:
        raise option.error("invalid negative response TTL for serve_stale", at=token)
    if ttl != int(ttl):
        raise option.error("serve_stale response TTL must be a whole number of seconds", at=token)
    if ttl > MAX_TTL:
        raise option.error("serve_stale response TTL exceeds the DNS TTL range", at=token)
    return int(ttl)


def _recheck(option: corefile.Directive, token: lexer.Token) -> float:
    recheck = _labelled_duration(option, token, "invalid serve_stale failure recheck")
    if recheck < 0:
        raise option.error("invalid negative failure recheck for serve_stale", at=token)
    if recheck > MAX_SERVFAIL:
        raise option.error("serve_stale failure recheck cannot exceed 5 minutes", at=token)
    return recheck


def _labelled_duration(option: corefile.Directive, token: lexer.Token, label: str) -> float:
    try:
        return values.parse_duration(token.text)
    except ValueError as error:
        raise option.error(f"{label}: {error}", at=token, hint="write it as 500ms, 5s or 1m30s") from None


def _serve_stale_policy(option: corefile.Directive, draft: _Draft) -> None:
    if draft.policy is not None:
        raise option.error("serve_stale_policy can only be specified once")
    token = values.one_argument(option)
    if token.text.lower() != "prefer_positive":
        hint = wording.suggest(token.text, ["prefer_positive"])
        raise option.error(f"invalid serve_stale_policy: {token.text}", at=token, hint=hint)
    draft.policy = option


def _with_policy(draft: _Draft) -> model.Cache:
    """Put the policy into what `serve_stale` said, whichever of them came first."""
    if draft.policy is None:
        return draft.cache
    if draft.cache.serve_stale is None:
        raise draft.policy.error("serve_stale_policy requires serve_stale")
    draft.set(serve_stale=dataclasses.replace(draft.cache.serve_stale, prefer_positive=True))
    return draft.cache


def _servfail(option: corefile.Directive, draft: _Draft) -> None:
    token = values.one_argument(option)
    duration = values.duration(option, token)
    if duration < 0:
        raise option.error("invalid negative ttl for servfail", at=token)
    if duration > MAX_SERVFAIL:  # RFC 2308 section 7.1
        raise option.error("caching SERVFAIL responses over 5 minutes is not permitted", at=token)
    draft.set(servfail=duration)


def _disable(option: corefile.Directive, draft: _Draft) -> None:
    """Read `disable success|denial [ZONES...]`; no zones are all of them."""
    if not option.args:
        raise option.argument_error(hint="disable success|denial [ZONES...]")
    side, *zone_tokens = option.args
    for token in zone_tokens:
        if not names.is_name(token.text):
            raise option.error(f"invalid disabled zone: {token.text}", at=token)
    zones = tuple(names.canonical(token.text) for token in zone_tokens) or (".",)
    if side.text not in ("success", "denial"):
        hint = wording.suggest(side.text, ("success", "denial"))
        raise option.error('cache type for disable must be "success" or "denial"', at=side, hint=hint)
    draft.set(**{f"disable_{side.text}": zones})


def _keepttl(option: corefile.Directive, draft: _Draft) -> None:
    values.no_arguments(option)
    draft.set(keepttl=True)


_OPTIONS: dict[str, Callable[[corefile.Directive, _Draft], None]] = {
    "success": _success,
    "denial": _denial,
    "prefetch": _prefetch,
    "serve_stale": _serve_stale,
    "serve_stale_policy": _serve_stale_policy,
    "servfail": _servfail,
    "disable": _disable,
    "keepttl": _keepttl,
}
