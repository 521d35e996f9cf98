"""Authentication-Results (RFC 8601): one field written, others read, forged ones of ours taken out.

    format_results("mx.example.org", [MethodResult("spf", Verdict.PASS, (("smtp.mailfrom", "a@example.net"),))])

Whoever reads mail trusts what stands under our name, so nothing that came from elsewhere may stand there (A-37, section 5). What
goes into the field comes from strangers: values are tokens, addresses or quoted strings, cut in length, and hold no line end.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from postwren.mailauth.verdict import Verdict

__all__ = ["LIMITS", "Limits", "MethodResult", "Results", "format_results", "parse_results", "strip_forged"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one field."""

    value: int = 253  # characters of a value that is written
    results: int = 100  # that are read
    properties: int = 20  # of one of them
    field: int = 16_384  # octets that are read; the name we trust is at the beginning


LIMITS: Final = Limits()

_TOKEN: Final = r"[!#-'*+\-.0-9A-Z^-~]+"  # noqa: S105  # RFC 2045 section 5.1
_PLAIN: Final = re.compile(rf"(?:(?:[0-9A-Za-z!#$%&'*+/=?^_`{{|}}~.-]+)?@)?{_TOKEN}")  # pvalue's simple forms
_HOSTILE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_LEXEME: Final = re.compile(
    r"(?P<space>[ \t\r\n]++)"
    r'|"(?P<quoted>(?:[^"\\]|\\.)*+)(?:"|\\?\Z)'
    rf"|(?P<token>(?:{_TOKEN[:-1]}|[^\x00-\x7f])++)"
    r"|(?P<special>.)",
    re.DOTALL,
)
_COMMENT: Final = re.compile(r"[^()\\]++|\\.|[()\\]", re.DOTALL)
_PAIR: Final = re.compile(r"\\(.)", re.DOTALL)
_FIELDS: Final = re.compile(
    rb"^authentication-results[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*+)(?:\n|\Z)", re.MULTILINE | re.IGNORECASE
)
_METHOD: Final = re.compile(r"[a-z0-9-]+")
_PROPERTY: Final = re.compile(r"[a-z0-9-]+\.[a-z0-9._-]+")
_LINE: Final = 78


@dataclass(frozen=True, slots=True)
class MethodResult:
    """resinfo: what a method found. `properties` are (ptype.property, value) in order; `reason` is for people."""

    method: str
    verdict: Verdict
    properties: tuple[tuple[str, str], ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Results:
    """A field that was read. `verdict`s that no standard knows are left out with their resinfo."""

    authserv_id: str  # in lower case
    results: tuple[MethodResult, ...]

    def of(self, method: str) -> list[MethodResult]:
        """Those of one method."""
        return [result for result in self.results if result.method == method]


# -- writing


def format_results(authserv_id: str, results: Sequence[MethodResult]) -> bytes:
    """The whole field, with its line end (section 2.2). Nothing found is `none`."""
    lines = [f"Authentication-Results: {_value(authserv_id)}"]
    for result in results or (None,):
        lines[-1] += ";"
        lines.append("\t")
        for word in _words(result):
            if len(lines[-1]) > 1 and len(lines[-1]) + len(word) >= _LINE:
                lines.append("\t")
            lines[-1] += word if lines[-1] == "\t" else " " + word
    return "".join(f"{line}\r\n" for line in lines).encode()


def _words(result: MethodResult | None) -> list[str]:
    if result is None:
        return ["none"]
    words = [f"{result.method}={result.verdict.value}"]
    if result.reason:
        words.append(f"reason={_quoted(result.reason)}")
    return words + [f"{name}={_value(value)}" for name, value in result.properties]


def _value(text: str) -> str:
    if len(text) <= LIMITS.value and _PLAIN.fullmatch(text):
        return text
    return _quoted(text)


def _quoted(text: str) -> str:
    text = _HOSTILE.sub("?", text[: LIMITS.value])
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


# -- reading


class _Lexeme(NamedTuple):
    kind: str  # "word" or "special"
    text: str
    spaced: bool  # white space or a comment stands before it


def parse_results(value: bytes) -> Results | None:
    """authres-payload, the value of a field; None where it names nobody."""
    lexemes = _read_lexemes(value[: LIMITS.field].decode("utf-8", "replace"))
    segments: list[list[_Lexeme]] = [[]]
    for lexeme in lexemes:
        if lexeme.kind == "special" and lexeme.text == ";":
            if len(segments) > LIMITS.results:
                break
            segments.append([])
        else:
            segments[-1].append(lexeme)
    if not segments[0] or segments[0][0].kind != "word":
        return None
    found = (_read_result(segment) for segment in segments[1:])
    return Results(segments[0][0].text.lower(), tuple(result for result in found if result is not None))


def _read_lexemes(text: str) -> list[_Lexeme]:
    lexemes: list[_Lexeme] = []
    at, spaced = 0, False
    while match := _LEXEME.match(text, at):
        at = match.end()
        if match.lastgroup == "space":
            spaced = True
        elif match["special"] == "(":
            at, spaced = _behind_comment(text, at), True
        elif match["special"] is not None:
            lexemes.append(_Lexeme("special", match["special"], spaced))
            spaced = False
        else:
            word = match["token"] if match["token"] is not None else _PAIR.sub(r"\1", match["quoted"])
            lexemes.append(_Lexeme("word", word, spaced))
            spaced = False
    return lexemes


def _behind_comment(text: str, at: int) -> int:
    depth = 1
    for match in _COMMENT.finditer(text, at):
        depth += (match[0] == "(") - (match[0] == ")")
        if depth == 0:
            return match.end()
    return len(text)  # it never ends


def _read_result(lexemes: list[_Lexeme]) -> MethodResult | None:
    pairs: list[tuple[str, str]] = []
    at = 0
    while at < len(lexemes) and len(pairs) <= LIMITS.properties:
        name, at = _until_equals(lexemes, at)
        if name is None:
            break
        value, at = _read_value(lexemes, at)
        pairs.append((name.lower(), value))
    if not pairs:
        return None
    method, word = pairs[0]
    try:
        verdict = Verdict(word.lower())
    except ValueError:
        return None
    method = method.partition("/")[0]
    if _METHOD.fullmatch(method) is None:
        return None
    reason = next((value for name, value in pairs[1:] if name == "reason"), "")
    return MethodResult(method, verdict, tuple(pair for pair in pairs[1:] if _PROPERTY.fullmatch(pair[0])), reason)


def _until_equals(lexemes: list[_Lexeme], at: int) -> tuple[str | None, int]:
    words: list[str] = []
    while at < len(lexemes):
        lexeme = lexemes[at]
        at += 1
        if lexeme.kind == "special" and lexeme.text == "=":
            return "".join(words), at
        words.append(lexeme.text)
    return None, at


def _read_value(lexemes: list[_Lexeme], at: int) -> tuple[str, int]:
    """All that stands together: `a@b` is three."""
    words: list[str] = []
    while at < len(lexemes) and not (words and lexemes[at].spaced):
        words.append(lexemes[at].text)
        at += 1
    return "".join(words), at


# -- what claims to be ours


def strip_forged(block: bytes, authserv_id: str) -> bytes:
    """The header block without the Authentication-Results fields that claim to be ours, and without those of which nobody can
    tell whose they are. The same object where there are none."""
    if b"authentication-results" not in block.lower():
        return block
    ours = _name(authserv_id)

    def keep(match: re.Match[bytes]) -> bytes:
        results = parse_results(match[1])
        return b"" if results is None or _name(results.authserv_id) == ours else match[0]

    return _FIELDS.sub(keep, block)


def _name(authserv_id: str) -> str:
    return authserv_id.lower().rstrip(".")
