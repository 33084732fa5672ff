"""header: flags of queries and answers are set or cleared."""

from fastdns.config import corefile, filters

FLAGS = ("aa", "ra", "rd")


def parse(directive: corefile.Directive, scope: corefile.Scope) -> filters.Header:
    """Read `header { query|response set|clear FLAGS... }`."""
    rules: dict[str, list[filters.HeaderRule]] = {"query": [], "response": []}
    for option in directive.block:
        selector = option.word.lower()
        if selector not in rules:
            message = f"setting up rule: invalid selector={selector} should be query or response"
            raise option.error(message)
        rules[selector] += _rules(option)
    if not rules["query"] and not rules["response"]:
        raise directive.argument_error(hint="header { query|response set|clear aa|ra|rd... }")
    return filters.Header(tuple(rules["query"]), tuple(rules["response"]))


def _rules(option: corefile.Directive) -> list[filters.HeaderRule]:
    if not option.args:
        raise option.error("setting up rule: no flag action provided")
    action, *flags = (word.lower() for word in option.words)
    if not flags:
        raise option.error("setting up rule: invalid length for flags, at least one should be provided")
    if action not in ("set", "clear"):
        raise option.error(f"setting up rule: unknown flag action={action}, should be set or clear")
    for flag in flags:
        if flag not in FLAGS:
            raise option.error(f"setting up rule: unknown/unsupported flag={flag}")
    return [filters.HeaderRule(flag, action == "set") for flag in flags]
