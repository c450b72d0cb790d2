"""The Python blocks of a document, and a program that runs those of one section in order: one namespace a section (``##``).

What a line says that it gives is compared with what it gives:

    cache.get("a")               # -> ('value', True)          the repr of the value, or of what is assigned
    print("a", 1)                # -> a 1                      what is printed
    cache.set("a", 1, -1)        # raises ValueError: a TTL    the type or a base of it, and how the message begins

A block behind ``<!-- needs: redis diskcache -->`` runs where these are: ``redis`` is a redis-server, anything else a module.
"""

from __future__ import annotations

import ast
import io
import json
import re
import sys
import textwrap
import tokenize
import types
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Mapping, Union

#: What stands in front of a block, or of a table, that is about something which need not be there.
NEEDS = re.compile(r"<!-- needs: ([\w. -]+?) -->")
_CLAIM = re.compile(r"#\s*(->|raises)\s+(\S.*)")


@dataclass
class Block:
    code: str
    #: Of the document, of the first line of code.
    line: int
    needs: tuple[str, ...] = ()


@dataclass
class Section:
    title: str
    blocks: list[Block] = field(default_factory=list)

    @property
    def needs(self) -> set[str]:
        return {need for block in self.blocks for need in block.needs}


def sections(text: str) -> list[Section]:
    """Those that have Python in them."""
    found = [Section("")]
    needs: tuple[str, ...] = ()
    fence, language, begin, body = "", "", 0, [""]
    for number, line in enumerate(text.splitlines(), 1):
        marker = re.match(r" *(```+)(\w*)\s*$", line)
        if fence:
            if marker and marker[1] == fence and not marker[2]:
                if language == "python":
                    found[-1].blocks.append(Block(textwrap.dedent("\n".join(body)) + "\n", begin, needs))
                elif needs:
                    raise ValueError(f"line {begin}: a block that is not Python needs nothing")
                fence, needs = "", ()
            else:
                body.append(line)
        elif marker:
            fence, language, begin, body = marker[1], marker[2], number + 1, []
        elif line.startswith("## "):
            found.append(Section(line[3:].strip()))
            needs = ()
        elif asked := NEEDS.fullmatch(line.strip()):
            needs = tuple(asked[1].split())
    if fence:
        raise ValueError(f"the block that begins at line {begin} does not end")
    return [section for section in found if section.blocks]


class Claims:
    """What the lines of a section say of themselves, and whether it was so."""

    def __init__(self) -> None:
        self.texts: dict[int, str] = {}
        self.met: set[int] = set()

    def shown(self, line: int, value: object) -> None:
        self._compare(line, repr(value))

    def printed(self, line: int, *values: object, **how: Any) -> None:
        out = io.StringIO()
        print(*values, **{**how, "file": out})
        self._compare(line, out.getvalue().rstrip("\n"))

    def raised(self, line: int, error: BaseException) -> None:
        kinds = [kind.__name__ for kind in type(error).__mro__]
        name, _, beginning = self.texts[line].partition(":")
        if name.strip() not in kinds:
            raise AssertionError(f"line {line} says it raises {name}, and it raised {type(error).__name__}") from error
        beginning = beginning.strip()
        message = str(error)
        if not (message.startswith(beginning[:-3]) if beginning.endswith("...") else message == beginning or not beginning):
            raise AssertionError(f"line {line} says {beginning!r}, and the message is {message!r}") from error
        self.met.add(line)

    def not_raised(self, line: int) -> None:
        raise AssertionError(f"line {line} says it raises {self.texts[line]!r}, and it raised nothing")

    def _compare(self, line: int, got: str) -> None:
        if got != self.texts[line]:
            raise AssertionError(f"line {line} says {self.texts[line]!r}, and it gave {got!r}")
        self.met.add(line)


class _Checked(ast.NodeTransformer):
    """Puts the comparison behind every statement that ends on a line with a claim."""

    def __init__(self, claims: Mapping[int, tuple[str, str]]) -> None:
        self._claims = claims
        self.placed: set[int] = set()

    def generic_visit(self, node: ast.AST) -> Any:
        if isinstance(node, ast.stmt) and not hasattr(node, "body"):
            return self._checked(node)
        return super().generic_visit(node)

    def _checked(self, node: ast.stmt) -> Union[ast.stmt, list[ast.stmt]]:
        end = node.end_lineno or node.lineno
        if end not in self._claims:
            return node
        made = self._compared(node, end, self._claims[end][0])
        # Where a traceback is to point.
        return [each if each is node else ast.copy_location(each, node) for each in made]

    def _compared(self, node: ast.stmt, end: int, kind: str) -> list[ast.stmt]:
        self.placed.add(end)
        line = ast.Constant(end)
        if kind == "raises":
            handler = ast.ExceptHandler(
                type=_name("BaseException"), name="_error", body=[_call("raised", line, _name("_error"))]
            )
            return [ast.Try(body=[node], handlers=[handler], orelse=[_call("not_raised", line)], finalbody=[])]
        if isinstance(node, ast.Expr):
            call = node.value
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "print":
                return [_call("printed", line, *call.args, keywords=call.keywords)]
            return [_call("shown", line, node.value)]
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target = ast.parse(ast.unparse(node.targets[0]), mode="eval").body
            return [node, _call("shown", line, target)]
        raise ValueError(f"line {end}: only an expression and an assignment give something")


def _name(name: str) -> ast.expr:
    return ast.Name(id=name, ctx=ast.Load())


def _call(method: str, *arguments: ast.expr, keywords: Any = ()) -> ast.stmt:
    claims = ast.Attribute(value=_name("_claims"), attr=method, ctx=ast.Load())
    return ast.Expr(ast.Call(func=claims, args=list(arguments), keywords=list(keywords)))


def _claims_in(block: Block) -> dict[int, tuple[str, str]]:
    """By line of the document."""
    found = {}
    for token in tokenize.generate_tokens(io.StringIO(block.code).readline):
        claim = _CLAIM.match(token.string) if token.type == tokenize.COMMENT else None
        if claim:
            found[block.line + token.start[0] - 1] = (claim[1], claim[2].rstrip())
    return found


def run(document: Path, section: Section, replacements: Mapping[str, str], without: set[str]) -> int:
    """Runs what can be run without some needs. How many claims were true; the first that is not raises ``AssertionError``."""
    module = types.ModuleType("document")
    # Where pickle looks for the classes of the document.
    sys.modules["document"] = module
    claims = Claims()
    module.__dict__["_claims"] = claims
    for block in section.blocks:
        if without.intersection(block.needs):
            continue
        expected = _claims_in(block)
        code = block.code
        for original, replacement in replacements.items():
            code = code.replace(original, replacement)
        tree = ast.increment_lineno(ast.parse(code), block.line - 1)
        checked = _Checked(expected)
        tree = ast.fix_missing_locations(checked.visit(tree))
        if missed := set(expected) - checked.placed:
            raise AssertionError(f"nothing that can be compared ends on the lines {sorted(missed)}")
        claims.texts.update({line: text for line, (_, text) in expected.items()})
        exec(compile(tree, str(document), "exec"), module.__dict__)
        if unmet := set(expected) - claims.met:
            raise AssertionError(f"the lines {sorted(unmet)} say what they give, and did not run")
    return len(claims.met)


def main() -> None:
    """``document_blocks.py DOCUMENT TITLE REPLACEMENTS WITHOUT``, the last two as JSON."""
    document, title, replacements, without = sys.argv[1:]
    chosen = [section for section in sections(Path(document).read_text(encoding="utf-8")) if section.title == title]
    print(run(Path(document), chosen[0], json.loads(replacements), set(json.loads(without))))


if __name__ == "__main__":
    main()
