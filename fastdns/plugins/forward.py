"""forward: names that nothing before it answered are asked of other servers. Syntax and checks only."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence
from typing import Any

from fastdns import errors
from fastdns.config import corefile, lexer, model, values, wording
from fastdns.dns import constants, names
from fastdns.forward import certificates, upstreams

logger = logging.getLogger(__name__)

MAX_UPSTREAMS = 15
DEFAULT_EXPIRE = 10.0
POLICIES = ("random", "round_robin", "sequential")
DOH_METHODS = ("POST", "GET")
PORT = 53

Changes = dict[str, Any]


def parse(directive: corefile.Directive, scope: corefile.Scope) -> model.Forward:
    """Read `forward FROM TO... { ... }`."""
    if not directive.args:
        raise directive.argument_error()
    zone = _from(directive)
    if len(directive.args) < 2:
        raise directive.argument_error(hint="forward FROM TO...")
    changes: Changes = {}
    for option in directive.block:
        if option.word not in _OPTIONS:
            raise values.unknown_property(option, tuple(_OPTIONS))
        _merge(changes, _OPTIONS[option.word](option))
    _check_ages(directive, changes)
    server_name = changes.pop("tls_servername", "")
    targets = _upstreams(directive, server_name)
    if server_name or "tls" in changes:
        changes["tls"] = dataclasses.replace(changes.get("tls", model.Tls()), server_name=server_name)
    changes.setdefault("max_connect_attempts", 2 * len(targets))  # defaultConnectAttemptsPerUpstream
    return dataclasses.replace(model.Forward(zone, targets), **changes)


def _merge(changes: Changes, more: Changes) -> None:
    for name, value in more.items():
        adds_up = name in ("excluded", "next", "failover")
        changes[name] = (*changes.get(name, ()), *value) if adds_up else value


def _from(directive: corefile.Directive) -> str:
    token = directive.args[0]
    try:
        zones, _ = values.split_zone(token.text.removeprefix("dns://"))
    except ValueError as error:
        raise directive.error(f"unable to normalize '{token.text}'", at=token, hint=str(error)) from None
    if len(zones) > 1:
        message = "plugin/forward: Unsupported CIDR notation: '%s' expands to multiple zones. Using only '%s'."
        logger.warning(message, token.text, zones[0])
    return zones[0]


def _check_ages(directive: corefile.Directive, changes: Changes) -> None:
    max_age, expire = changes.get("max_age", 0.0), changes.get("expire", DEFAULT_EXPIRE)
    if 0 < max_age < expire:
        ages = (values.format_duration(max_age), values.format_duration(expire))
        option = next(option for option in directive.block if option.word == "max_age")
        raise option.error("max_age ({}) must not be less than expire ({})".format(*ages))


# Upstreams.


def _upstreams(directive: corefile.Directive, server_name: str) -> tuple[model.Upstream, ...]:
    """Read all TOs, each upstream once, in the order in which they are named."""
    targets = directive.args[1:]
    if len(targets) > MAX_UPSTREAMS:
        message = f"more than {MAX_UPSTREAMS} TOs configured: {len(targets)}"
        raise directive.error(message, at=targets[MAX_UPSTREAMS])
    resolvers = _resolvers(directive)
    found: dict[model.Upstream, None] = {}
    for token in targets:
        for upstream in _read_target(directive, token, resolvers):
            if upstream.server_name and server_name:
                both = f"both forward ('{server_name}') and proxy level ('{upstream.server_name}') TLS servernames"
                raise directive.error(f"{both} are set for upstream proxy '{token.text}'", at=token)
            found[upstream] = None
    if not found:
        raise directive.error("no valid upstream addresses found", at=targets[0])
    return tuple(found)


def _read_target(
    directive: corefile.Directive, token: lexer.Token, resolvers: Sequence[tuple[str, int]]
) -> tuple[model.Upstream, ...]:
    try:
        return upstreams.read(token.text, resolvers=resolvers)
    except upstreams.TargetError as error:
        raise directive.error(str(error), at=token, hint=error.hint) from error
    except errors.ConfigError as error:
        place = f"named in {token.file}:{token.line} (plugin/{directive.plugin})"
        raise errors.ConfigError(error.file, error.line, f"{error.message}; {place}") from None


def _resolvers(directive: corefile.Directive) -> tuple[tuple[str, int], ...]:
    """Give who is asked for upstreams that are names; the last `resolver` line counts, _resolver has checked it."""
    lines = [option for option in directive.block if option.word == "resolver"]
    pairs = [upstreams.split_port(word, PORT) for word in (lines[-1].words if lines else ())]
    return tuple((host, int(port)) for host, port in pairs)


# Options.


def _first(option: corefile.Directive) -> lexer.Token:
    """Give the only argument. CoreDNS takes a second one for the name of an option, and says so."""
    if not option.args:
        raise option.argument_error()
    if len(option.args) > 1:
        token = option.args[1]
        hint = f"'{option.word}' takes one argument"
        raise option.error(f"unknown property '{token.text}'", at=token, hint=hint)
    return option.args[0]


def _flag(name: str) -> Callable[[corefile.Directive], Changes]:
    """Make the reader of an option that takes no argument and sets `name`."""

    def read(option: corefile.Directive) -> Changes:
        values.no_arguments(option)
        return {name: True}

    return read


def _unsigned(name: str) -> Callable[[corefile.Directive], Changes]:
    """Make the reader of a 32-bit count."""

    def read(option: corefile.Directive) -> Changes:
        return {name: values.integer(option, _first(option), function="strconv.ParseUint")}

    return read


def _limit(name: str) -> Callable[[corefile.Directive], Changes]:
    """Make the reader of a limit: a whole number, 0 for none."""

    def read(option: corefile.Directive) -> Changes:
        token = _first(option)
        number = values.integer(option, token)
        if number < 0:
            raise option.error(f"{name} can't be negative: {number}", at=token)
        return {name: number}

    return read


def _age(name: str) -> Callable[[corefile.Directive], Changes]:
    """Make the reader of a duration that may be 0."""

    def read(option: corefile.Directive) -> Changes:
        token = _first(option)
        duration = values.duration(option, token)
        if duration < 0:
            raise option.error(f"{name} can't be negative: {values.format_duration(duration)}", at=token)
        return {name: duration}

    return read


def _read_timeout(option: corefile.Directive) -> Changes:
    token = _first(option)
    duration = values.duration(option, token)
    if duration <= 0:
        raise option.error(f"read_timeout must be positive: {values.format_duration(duration)}", at=token)
    return {"read_timeout": duration}


def _except(option: corefile.Directive) -> Changes:
    if not option.args:
        raise option.argument_error()
    return {"excluded": values.zones(option, option.args)}


def _health_check(option: corefile.Directive) -> Changes:
    """Read `health_check INTERVAL [no_rec] [domain NAME]`."""
    if not option.args:
        raise option.argument_error(hint="health_check INTERVAL [no_rec] [domain NAME]")
    interval = values.duration(option, option.args[0])
    if interval < 0:
        message = f"health_check can't be negative: {round(interval * 10**9)}"
        raise option.error(message, at=option.args[0])
    check = model.HealthCheck(interval)
    rest = iter(option.args[1:])
    for token in rest:
        if token.text == "no_rec":
            check = dataclasses.replace(check, recursion_desired=False)
        elif token.text == "domain":
            check = dataclasses.replace(check, domain=_domain(option, next(rest, None)))
        else:
            hint = wording.suggest(token.text, ("no_rec", "domain"))
            raise option.error(f"health_check: unknown option {token.text}", at=token, hint=hint)
    return {"health_check": check}


def _domain(option: corefile.Directive, token: lexer.Token | None) -> str:
    if token is None:
        raise option.argument_error()
    if not names.is_name(token.text):
        raise option.error(f"health_check: invalid domain name {token.text}", at=token)
    return names.canonical(token.text)


def _tls(option: corefile.Directive) -> Changes:
    """Read `tls [CERT KEY [CA] | CA]`, and see that the files can be used."""
    if len(option.args) > 3:
        raise option.argument_error(hint="tls [CERT KEY] [CA]")
    words = option.words
    tls = model.Tls(ca=words[0]) if len(words) == 1 else model.Tls(*words)
    try:
        certificates.check_files(certificate=tls.certificate, key=tls.key, ca=tls.ca)
    except OSError as error:
        reading = f"error reading {error.filename}: {error.strerror}"
        raise option.error(reading if error.filename else f"could not load TLS cert: {error}") from error
    return {"tls": tls}


def _tls_servername(option: corefile.Directive) -> Changes:
    return {"tls_servername": _first(option).text}


def _policy(option: corefile.Directive) -> Changes:
    token = _first(option)
    if token.text not in POLICIES:
        hint = wording.suggest(token.text, POLICIES) or f"a policy is one of {', '.join(POLICIES)}"
        raise option.error(f"unknown policy '{token.text}'", at=token, hint=hint)
    return {"policy": token.text}


def _doh_method(option: corefile.Directive) -> Changes:
    token = _first(option)
    if token.text not in DOH_METHODS:
        raise option.error("doh_method must be either POST or GET", at=token)
    return {"doh_method": token.text}


def _rcodes(option: corefile.Directive) -> tuple[int, ...]:
    if not option.args:
        raise option.argument_error()
    for token in option.args:
        if token.text.upper() not in constants.Rcode.__members__:
            hint = wording.suggest(token.text.upper(), constants.Rcode.__members__)
            raise option.error(f"{token.text} is not a valid rcode", at=token, hint=hint)
    return tuple(int(constants.Rcode[word.upper()]) for word in option.words)


def _next(option: corefile.Directive) -> Changes:
    return {"next": _rcodes(option)}


def _failover(option: corefile.Directive) -> Changes:
    rcodes = _rcodes(option)
    if constants.Rcode.NOERROR in rcodes:
        at = option.args[rcodes.index(constants.Rcode.NOERROR)]
        raise option.error("NoError cannot be used in failover", at=at)
    return {"failover": rcodes}


def _resolver(option: corefile.Directive) -> Changes:
    """Check who is asked for the addresses of upstreams that are names; _resolvers reads the words themselves."""
    if not option.args:
        raise option.argument_error()
    for token in option.args:
        host, port = upstreams.split_port(token.text, PORT)
        if not values.is_address(host) or not values.port_number(port):
            message = f"resolver must be an IP address or IP:port: {values.quote(token.text)}"
            raise option.error(message, at=token)
    return {}


def _source_address(option: corefile.Directive) -> Changes:
    token = _first(option)
    if not values.is_address(token.text):
        raise option.error(f"invalid IP address: {token.text}", at=token)
    return {"source_address": token.text}


_OPTIONS: dict[str, Callable[[corefile.Directive], Changes]] = {
    "except": _except,
    "force_tcp": _flag("force_tcp"),
    "prefer_udp": _flag("prefer_udp"),
    "expire": _age("expire"),
    "max_age": _age("max_age"),
    "max_idle_conns": _limit("max_idle_conns"),
    "read_timeout": _read_timeout,
    "max_fails": _unsigned("max_fails"),
    "max_connect_attempts": _unsigned("max_connect_attempts"),
    "doh_method": _doh_method,
    "tls": _tls,
    "tls_servername": _tls_servername,
    "policy": _policy,
    "health_check": _health_check,
    "max_concurrent": _limit("max_concurrent"),
    "next": _next,
    "next_on_nodata": _flag("next_on_nodata"),
    "failover": _failover,
    "failfast_all_unhealthy_upstreams": _flag("failfast_all_unhealthy_upstreams"),
    "resolver": _resolver,
    "source_address": _source_address,
}
