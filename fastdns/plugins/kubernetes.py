"""kubernetes: the names of a cluster's Services, endpoints and Pods. Syntax and checks; control reads the cluster."""

from __future__ import annotations

import dataclasses
import logging
import math
import os
from collections.abc import Callable, Sequence
from typing import Any

from fastdns.config import corefile, lexer, model, selectors, values, wording
from fastdns.dns import reverse

logger = logging.getLogger(__name__)

MAX_TTL = 3600
POD_MODES = ("disabled", "verified", "insecure")
REMOVED = ("upstream", "transfer", "resyncperiod", "federation")

Changes = dict[str, Any]


def parse(directive: corefile.Directive, scope: corefile.Scope) -> model.Kubernetes:
    """Read `kubernetes [ZONES...] { ... }`. PTR records name the first zone that isn't a reverse zone."""
    zones = values.zones(directive, directive.args) or scope.zones
    if all(reverse.is_reverse(zone) for zone in zones):
        raise directive.error("non-reverse zone name must be used", hint="name the cluster's domain, as cluster.local")
    changes: Changes = {}
    for option in directive.block:
        if option.word not in _OPTIONS:
            hint = "CoreDNS has removed this option; delete the line" if option.word in REMOVED else ""
            raise values.unknown_property(option, tuple(_OPTIONS), hint=hint)
        _merge(changes, _OPTIONS[option.word](option))
    _check_together(directive)
    _check_multicluster(directive, zones)
    return dataclasses.replace(model.Kubernetes(zones), **changes)


def _merge(changes: Changes, more: Changes) -> None:
    """Add what an option says; namespaces and manifests of several lines add up, for others the last line counts."""
    for name, value in more.items():
        if name in ("namespaces", "manifests"):
            earlier = changes.get(name, ())
            changes[name] = tuple(dict.fromkeys((*earlier, *value)))
        else:
            changes[name] = value


def _check_together(directive: corefile.Directive) -> None:
    options = {option.word: option for option in directive.block}
    if "namespaces" in options and "namespace_labels" in options:
        raise options["namespace_labels"].error("namespaces and namespace_labels cannot both be set")
    if "zonal" in options and "noendpoints" in options:
        raise options["zonal"].error("zonal requires the endpoint cache; remove noendpoints")
    if "manifests" in options:
        for word in ("endpoint", "tls", "kubeconfig"):
            if word in options:
                hint = "the objects come from files"
                raise options[word].error(f"manifests and {word} cannot both be set", hint=hint)


def _check_multicluster(directive: corefile.Directive, zones: Sequence[str]) -> None:
    """Check zones as CoreDNS does: each of them is one of the plugin's, as it stands."""
    options = [option for option in directive.block if option.word == "multicluster"]
    for zone in values.zones(options[-1], options[-1].args) if options else ():
        if zone not in zones:
            known = " ".join(zones)
            message = f"is not authoritative for the multicluster zone {zone} (authoritative zones: [{known}])"
            raise options[-1].error(message, hint="name it also after 'kubernetes'")


def _flag(name: str) -> Callable[[corefile.Directive], Changes]:
    """Make the reader of an option that takes no argument and sets `name`."""

    def read(option: corefile.Directive) -> Changes:
        values.no_arguments(option)
        return {name: True}

    return read


def _manifests(option: corefile.Directive) -> Changes:
    _need_arguments(option)
    _check_files(option, option.args)
    return {"manifests": option.words}


def _namespaces(option: corefile.Directive) -> Changes:
    _need_arguments(option)
    return {"namespaces": option.words}


def _check_files(option: corefile.Directive, tokens: Sequence[lexer.Token]) -> None:
    for token in tokens:
        try:
            os.stat(token.text)
        except OSError as error:
            raise option.error(f"stat {token.text}: {(error.strerror or '').lower()}", at=token) from error


def _selector(name: str, spoken: str) -> Callable[[corefile.Directive], Changes]:
    """Make the reader of a label selector, which may be written as several words."""

    def read(option: corefile.Directive) -> Changes:
        _need_arguments(option)
        text = " ".join(option.words)
        try:
            selectors.parse(text)
        except ValueError as error:
            message = f"unable to parse {spoken} selector value: '{text}': {error}"
            raise option.error(message, at=option.args[0]) from None
        return {name: text}

    return read


def _count(name: str) -> Callable[[corefile.Directive], Changes]:
    """Make the reader of a limit: a whole number, 0 for none."""

    def read(option: corefile.Directive) -> Changes:
        token = values.one_argument(option)
        if not values.is_integer(token.text):
            detail = f'strconv.Atoi: parsing "{token.text}": invalid syntax'
            raise option.error(f'invalid {name} "{token.text}": {detail}', at=token, hint="a whole number is expected")
        number = values.integer(option, token)
        if number < 0:
            raise option.error(f"{name} must be >= 0", at=token)
        return {name: number}

    return read


def _need_arguments(option: corefile.Directive) -> None:
    if not option.args:
        raise option.argument_error()


def _endpoint(option: corefile.Directive) -> Changes:
    _need_arguments(option)
    url = option.args[0].text
    if len(option.args) > 1:
        message = (
            "plugin/kubernetes: Multiple endpoints have been deprecated, only the first specified endpoint '%s' is used"
        )
        logger.warning(message, url)
    return {"endpoint": url}


def _tls(option: corefile.Directive) -> Changes:
    if len(option.args) != 3:
        raise option.argument_error(hint="tls CERT KEY CACERT")
    _check_files(option, option.args)
    return {"tls": option.words}


def _kubeconfig(option: corefile.Directive) -> Changes:
    if not 1 <= len(option.args) <= 2:
        raise option.argument_error(hint="kubeconfig FILE [CONTEXT]")
    _check_files(option, option.args[:1])
    return {"kubeconfig": option.args[0].text, "context": option.args[1].text if len(option.args) > 1 else ""}


def _pods(option: corefile.Directive) -> Changes:
    token = values.one_argument(option)
    if token.text not in POD_MODES:
        message = f"wrong value for pods: {token.text},  must be one of: {', '.join(POD_MODES)}"
        raise option.error(message, at=token, hint=wording.suggest(token.text, POD_MODES))
    return {"pods": token.text}


def _ttl(option: corefile.Directive) -> Changes:
    token = _first(option)
    ttl = values.integer(option, token)
    if not 0 <= ttl <= MAX_TTL:
        raise option.error(f"ttl must be in range [0, {MAX_TTL}]: {ttl}", at=token)
    return {"ttl": ttl}


def _first(option: corefile.Directive) -> lexer.Token:
    """Give the first argument; CoreDNS passes over any more, and we say so."""
    _need_arguments(option)
    if len(option.args) > 1:
        token = option.args[1]
        logger.warning("%s:%d - %s: '%s' is not used", token.file, token.line, option.word, token.text)
    return option.args[0]


def _multicluster(option: corefile.Directive) -> Changes:
    return {"multicluster": values.zones(option, option.args)}


def _fallthrough(option: corefile.Directive) -> Changes:
    return {"fallthrough": model.Fallthrough(values.zones(option, option.args) or (".",))}


def _ignore(option: corefile.Directive) -> Changes:
    token = _first(option)
    if token.text != "empty_service":
        hint = wording.suggest(token.text, ["empty_service"])
        raise option.error(f"unable to parse ignore value: '{token.text}'", at=token, hint=hint)
    return {"ignore_empty_service": True}


def _startup_timeout(option: corefile.Directive) -> Changes:
    token = _first(option)
    try:
        return {"startup_timeout": values.parse_duration(token.text)}
    except ValueError as error:
        message = f"failed to parse startup_timeout: {token.text}, {error}"
        raise option.error(message, at=token, hint="write it as 5s") from None


def _qps(option: corefile.Directive) -> Changes:
    token = values.one_argument(option)
    qps = values.decimal(token.text)
    if qps is None or not math.isfinite(qps):
        detail = f'strconv.ParseFloat: parsing "{token.text}": invalid syntax'
        raise option.error(f'invalid apiserver_qps "{token.text}": {detail}', at=token, hint="a number is expected")
    if qps < 0:
        raise option.error("apiserver_qps must be >= 0", at=token)
    return {"apiserver_qps": qps}


_OPTIONS: dict[str, Callable[[corefile.Directive], Changes]] = {
    "endpoint": _endpoint,
    "tls": _tls,
    "kubeconfig": _kubeconfig,
    "manifests": _manifests,
    "namespaces": _namespaces,
    "namespace_labels": _selector("namespace_labels", "namespace_label"),
    "labels": _selector("labels", "label"),
    "pods": _pods,
    "endpoint_pod_names": _flag("endpoint_pod_names"),
    "ttl": _ttl,
    "noendpoints": _flag("noendpoints"),
    "multicluster": _multicluster,
    "zonal": _flag("zonal"),
    "fallthrough": _fallthrough,
    "ignore": _ignore,
    "startup_timeout": _startup_timeout,
    "apiserver_qps": _qps,
    "apiserver_burst": _count("apiserver_burst"),
    "apiserver_max_inflight": _count("apiserver_max_inflight"),
}
