"""Go's templates: what they make of their data, and what is refused. Expected texts are those of Go's text/template."""

import dataclasses

import pytest

from fastdns.config import gotemplate


@dataclasses.dataclass(frozen=True, slots=True)
class Data:
    Name: str = "a.test."
    Match: tuple[str, ...] = ("a.test.", "a", "0f")
    Group: dict[str, str] = dataclasses.field(default_factory=lambda: {"x": "ff", "1": "a"})
    Number: int = 7


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("plain", "plain"),
        ("{{ .Name }} IN A {{.Group.x}}", "a.test. IN A ff"),
        ("{{ .Group.missing }}|{{ index .Group `1` }}|{{ index .Match 1 }}", "|a|a"),
        ("{{ parseInt .Group.x 16 8 }} {{ parseInt .Group.x 16 8 | printf `%03d` }}", "255 255"),
        ("{{ .Match }} {{ len .Match }} {{ .Group }}", "[a.test. a 0f] 3 map[1:a x:ff]"),
        ('{{ if eq .Group.x "aa" "ff" }}yes{{ else }}no{{ end }}', "yes"),
        ("{{ if gt .Number 9 }}big{{ else if ge .Number 7 }}seven{{ else }}small{{ end }}", "seven"),
        ("{{ if and .Name (not .Group.missing) }}both{{ end }}", "both"),
        ("a {{- /* a comment */ -}} b", "ab"),
        ("{{/* a comment */}}c", "c"),
        ("{{ $n := .Name }}{{ with .Group.x }}{{ . }} of {{ $n }} {{ $.Number }}{{ end }}", "ff of a.test. 7"),
        ("{{ range $one := .Match }}<{{ $one }}>{{ else }}none{{ end }}", "<a.test.><a><0f>"),
        ('{{ printf "%s-%02x-%d-%v-%q-%5s|%%" .Name .Number .Number true "q" "r" }}', 'a.test.-07-7-true-"q"-    r|%'),
        ("{{ print 1 2 .Name 3 }}{{ slice .Name 2 6 }}", "1 2a.test.3test"),
        (r'{{ "a\"b" }}{{ true }}{{ 0x10 }}', 'a"btrue16'),
    ],
)
def test_texts(text: str, made: str) -> None:
    assert gotemplate.parse(text).execute(Data()) == made


@pytest.mark.parametrize(
    "text",
    [
        "{{ .Name",
        "{{ }}",
        "{{ foo }}",
        "{{ template `x` }}",
        "{{ if .Name }}",
        "{{ end }}",
        "{{ else }}",
        "{{ .Name | .Name }}",
        "{{ (.Name }}",
        "{{ .Name ] }}",
        '{{ "\\q" }}',
        "{{ if .Name }}{{ else foo }}{{ end }}",
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(gotemplate.TemplateError):
        gotemplate.parse(text)


@pytest.mark.parametrize(
    "text",
    ["{{ .Missing }}", "{{ .__class__ }}", "{{ index .Match 9 }}", "{{ parseInt .Name 10 8 }}", "{{ parseInt `300` 10 8 }}",
     "{{ slice .Name 3 99 }}", "{{ $x }}", "{{ len .Number }}", "{{ lt .Name 1 }}", "{{ index .Match }}{{ .Name.foo }}"],
)  # fmt: skip
def test_failures(text: str) -> None:
    with pytest.raises(gotemplate.TemplateError):
        gotemplate.parse(text).execute(Data())
