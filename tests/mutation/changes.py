"""Makes small changes to Python source, one at a time: the mutants of a file."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

#: The opposite of each comparison, and its neighbour at the boundary.
_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Pow: ast.Mult,
    ast.Mod: ast.FloorDiv,
}
_FUNCTIONS = {"min": "max", "max": "min", "any": "all", "all": "any"}


@dataclass(frozen=True)
class Mutant:
    """One changed version of a source file.

    Attributes:
        file: the path of the file below the root of the project.
        function: the qualified name of the changed function or class; "" at module level.
        kind: the kind of change.
        source: the changed source of the whole file.
        removed: the lines that the change removes, without indentation.
        added: the lines that it adds, without indentation.
        line: the number of the first changed line.
    """

    file: str
    function: str
    kind: str
    source: str
    removed: str
    added: str
    line: int

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """Identifies the change independently of line numbers and indentation."""
        return self.file, self.function, self.removed, self.added

    @property
    def diff(self) -> str:
        """The change in a readable form."""
        removed = "".join(f"\n- {line}" for line in self.removed.splitlines())
        added = "".join(f"\n+ {line}" for line in self.added.splitlines())
        return f"{self.file}:{self.line} {self.function} ({self.kind}){removed}{added}"


@dataclass(frozen=True)
class _Edit:
    node: ast.expr | ast.stmt
    kind: str
    text: str


def make_mutants(file: str, source: str) -> list[Mutant]:
    """Return all mutants of a file, in the order of the source, without duplicates."""
    mutants: dict[str, Mutant] = {}
    for function, edit in _find_edits(ast.parse(source), ""):
        changed = _apply(source, edit)
        # Two kinds of change can have the same result, and "if True" stays "if True".
        if changed not in mutants and edit.text != ast.unparse(edit.node):
            mutants[changed] = _describe(file, function, edit.kind, source, changed)
    return list(mutants.values())


def _apply(source: str, edit: _Edit) -> str:
    node = edit.node
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    lines = source.splitlines(keepends=True)
    first, last = lines[node.lineno - 1].encode(), lines[node.end_lineno - 1].encode()
    # The columns of the syntax tree count bytes.
    before, after = first[: node.col_offset].decode(), last[node.end_col_offset :].decode()
    changed = f"{before}{edit.text}{after}"
    return "".join([*lines[: node.lineno - 1], changed, *lines[node.end_lineno :]])


def _describe(file: str, function: str, kind: str, source: str, changed: str) -> Mutant:
    before, after = source.splitlines(), changed.splitlines()
    start = _count_equal(before, after)
    end = _count_equal(before[:start:-1], after[:start:-1])
    removed = "\n".join(line.strip() for line in before[start : len(before) - end])
    added = "\n".join(line.strip() for line in after[start : len(after) - end])
    return Mutant(file, function, kind, changed, removed, added, start + 1)


def _count_equal(one: list[str], other: list[str]) -> int:
    """Return how many lines at the start are equal."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((index for index, (a, b) in pairs if a != b), min(len(one), len(other)))


def _find_edits(node: ast.AST, function: str) -> Iterator[tuple[str, _Edit]]:
    """Yield every change below a node with the name of its function."""
    for child in _iterate_mutable_children(node):
        name = function
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{function}.{child.name}".lstrip(".")
        for edit in _edit_node(child):
            yield name, edit
        yield from _find_edits(child, name)


def _iterate_mutable_children(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the children whose change changes what the program does."""
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "type_comment", "bases"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _is_excluded(child):
                yield child


def _is_excluded(node: ast.AST) -> bool:
    """Return whether a node is a docstring, an assertion, a log message or part of a text."""
    if isinstance(node, ast.Assert | ast.JoinedStr):
        return True
    if isinstance(node, ast.Expr):
        value = node.value
        if isinstance(value, ast.Constant):
            return True
        return isinstance(value, ast.Call) and ast.unparse(value.func).startswith("logger.")
    if isinstance(node, ast.Assign):
        return isinstance(node.value, ast.Call) and "TypeVar" in ast.unparse(node.value.func)
    return False


def _edit_node(node: ast.AST) -> Iterator[_Edit]:
    match node:
        case ast.Compare():
            yield from _edit_comparison(node)
        case ast.BoolOp():
            yield from _edit_boolean(node)
        case ast.BinOp() if type(node.op) in _OPERATORS:
            changed = ast.BinOp(node.left, _OPERATORS[type(node.op)](), node.right)
            yield _replace(node, "arithmetic operator", changed)
        case ast.UnaryOp(op=ast.USub() | ast.Not()):
            kind = "sign removed" if isinstance(node.op, ast.USub) else "boolean negated"
            yield _Edit(node, kind, f"({ast.unparse(node.operand)})")
        case ast.Constant():
            yield from _edit_constant(node)
        case ast.Call():
            yield from _edit_call(node)
        case ast.If() | ast.While() | ast.IfExp():
            yield from _edit_condition(node)
        case ast.comprehension():
            for condition in node.ifs:
                yield _Edit(condition, "condition removed", "True")
        case ast.Return(value=ast.expr()):
            yield _Edit(node, "return None", "return None")
        case ast.Raise():
            yield _Edit(node, "exception swallowed", "pass")
        case ast.Expr(value=ast.Call() | ast.Await()):
            yield _Edit(node, "call removed", "pass")


def _replace(node: ast.expr, kind: str, changed: ast.expr) -> _Edit:
    return _Edit(node, kind, f"({ast.unparse(changed)})")


def _edit_comparison(node: ast.Compare) -> Iterator[_Edit]:
    for index, operator in enumerate(node.ops):
        for other in _COMPARISONS[type(operator)]:
            operators = [*node.ops[:index], other(), *node.ops[index + 1 :]]
            changed = ast.Compare(node.left, operators, node.comparators)
            yield _replace(node, "comparison", changed)


def _edit_boolean(node: ast.BoolOp) -> Iterator[_Edit]:
    other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
    yield _replace(node, "and/or", ast.BoolOp(other, node.values))
    for index in range(len(node.values)):
        left = [*node.values[:index], *node.values[index + 1 :]]
        changed = left[0] if len(left) == 1 else ast.BoolOp(node.op, left)
        yield _replace(node, "condition removed", changed)


def _edit_condition(node: ast.If | ast.While | ast.IfExp) -> Iterator[_Edit]:
    test = node.test
    if isinstance(test, ast.NamedExpr):
        return
    yield _Edit(test, "boolean negated", f"(not ({ast.unparse(test)}))")
    if not isinstance(node, ast.While):
        yield _Edit(test, "condition removed", "True")
        yield _Edit(test, "condition removed", "False")


def _edit_constant(node: ast.Constant) -> Iterator[_Edit]:
    value = node.value
    if isinstance(value, bool):
        yield _Edit(node, "constant", repr(not value))
    elif isinstance(value, int):
        yield _Edit(node, "boundary", repr(value + 1))
        yield _Edit(node, "boundary", f"({value - 1})")
    elif isinstance(value, float):
        yield _Edit(node, "constant", repr(value * 2 + 1))
    elif isinstance(value, str) and value and " " not in value:
        # A text with spaces is a message or a statement of another language.
        yield _Edit(node, "constant", repr(f"{value}X"))


def _edit_call(node: ast.Call) -> Iterator[_Edit]:
    if isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS:
        yield _Edit(node.func, "function", _FUNCTIONS[node.func.id])
    # The first two only: most other swaps are of two types, and any test that runs them fails.
    if len(node.args) > 1 and not any(isinstance(one, ast.Starred) for one in node.args):
        one, other, *rest = node.args
        changed = ast.Call(node.func, [other, one, *rest], node.keywords)
        yield _replace(node, "argument swapped", changed)
    if len(node.keywords) > 1 and all(keyword.arg for keyword in node.keywords):
        first, second, *others = node.keywords
        swapped = [ast.keyword(first.arg, second.value), ast.keyword(second.arg, first.value)]
        changed = ast.Call(node.func, node.args, [*swapped, *others])
        yield _replace(node, "argument swapped", changed)
