"""loadbalance: the order of addresses in an answer changes from answer to answer."""

import ipaddress

from fastdns.config import corefile, lexer, model, values, weights, wording

OPTIONS = ("prefer",)
WEIGHTED_OPTIONS = ("reload", "prefer")
POLICIES = ("round_robin", "weighted")


def parse(directive: corefile.Directive, scope: corefile.Scope) -> model.Loadbalance:
    """Read `loadbalance [round_robin | weighted FILE] { reload DURATION; prefer CIDRS... }`."""
    policy, weight_file = _policy(directive)
    reload = model.Loadbalance().reload
    prefer: list[str] = []
    options = WEIGHTED_OPTIONS if weight_file else OPTIONS
    for option in directive.block:
        if option.word not in options:
            raise values.unknown_property(option, options)
        if option.word == "prefer":
            prefer += [_network(option, token) for token in option.args]
        else:
            reload = _reload(option)
    if weight_file:
        _check_file(directive, weight_file, may_come_later=reload > 0)
    return model.Loadbalance(policy, tuple(prefer), weight_file, reload)


def _check_file(directive: corefile.Directive, path: str, *, may_come_later: bool) -> None:
    """Raise ConfigError for a weight file that makes no sense, or that isn't there and never looked for again."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            weights.parse(file.read(), path)
    except OSError as error:
        if not may_come_later:
            message = f"failed to open weight file: {path}: {error.strerror}"
            raise directive.error(message, at=directive.args[1]) from None


def _policy(directive: corefile.Directive) -> tuple[str, str]:
    if not directive.args:
        return POLICIES[0], ""
    token, *rest = directive.args
    if token.text == "round_robin":
        if rest:
            raise directive.error(f"unknown property for {token.text}", at=rest[0])
        return token.text, ""
    if token.text != "weighted":
        hint = wording.suggest(token.text, POLICIES) or "a policy is round_robin or weighted"
        raise directive.error(f"unknown policy: {token.text}", at=token, hint=hint)
    if not rest:
        raise directive.error("missing weight file argument", at=token)
    if len(rest) > 1:
        raise directive.error("unexpected argument(s)", at=rest[1])
    return token.text, rest[0].text


def _reload(option: corefile.Directive) -> float:
    if not option.args:
        raise option.error("reload duration value is missing")
    if len(option.args) > 1:
        raise option.error("unexpected argument", at=option.args[1])
    token = option.args[0]
    try:
        return values.parse_duration(token.text)
    except ValueError as error:
        raise option.error(f"invalid reload duration '{token.text}'", at=token, hint=str(error)) from None


def _network(option: corefile.Directive, token: lexer.Token) -> str:
    try:
        if "/" not in token.text:
            raise ValueError
        return str(ipaddress.ip_network(token.text, strict=False))
    except ValueError:
        quoted = values.quote(token.text)
        message = f"invalid CIDR {quoted}: invalid CIDR address: {token.text}"
        raise option.error(message, at=token, hint="write it as 10.0.0.0/8") from None
