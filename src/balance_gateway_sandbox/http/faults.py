"""Define scripted faults and match them to requests."""

import difflib
import re
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, get_args

import msgspec

from balance_gateway_sandbox.state.company import Provider
from balance_gateway_sandbox.state.identifiers import derive_number
from balance_gateway_sandbox.wire_format import encode_json, parse_json

FAULTS_MAX: Final = 1_000
TOKEN_PATHS: Final = frozenset({"/asset/v0/auth/token", "/layer-auth/oauth2/token"})
"""Skipped by faults without a path, because clients decide freely when to fetch a token."""

Kind = Literal[
    "delay",
    "status",
    "redirect",
    "body",
    "error_body_200",
    "drop_before",
    "drop_after",
    "late_landing",
    "endless_body",
    "endless_headers",
    "slow_body",
    "truncated_body",
    "malformed_json",
    "huge_json",
    "wrong_types",
    "nan",
    "overflow",
    "duplicate_keys",
    "unknown_enum",
    "extra_fields",
    "wrong_account",
    "wrong_currency",
    "patch",
]
KINDS: Final[tuple[str, ...]] = get_args(Kind)
Count = Annotated[int, msgspec.Meta(ge=0)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=600)]
Status = Annotated[int, msgspec.Meta(ge=200, le=599)]


class FaultSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A fault as specified in `POST /_control/faults`.

    Attributes:
        kind: The kind of fault.
        provider: The provider with the requests that it applies to.
        method: The HTTP method it applies to. None means any.
        path: A pattern searched in the path, which includes the provider's prefix. None means all
            paths except the token endpoints.
        times: How often it applies. None means until it is removed.
        skip: How many matching requests pass before it applies.
        probability: The share of matching requests it applies to, drawn from `seed`.
        delay_s: Real seconds before the request is handled. For late_landing, until the write
            takes effect.
        delay_after_s: Real seconds between the effect and the response.
        status: For status and redirect. For late_landing, the status sent instead of a drop.
        retry_after_s: Adds a `Retry-After` header.
        headers: Headers added to the response. None as a value removes a header.
        body: For body, the raw text. For status, text that replaces the provider's error body.
        content_type: For body.
        location: For redirect.
        bytes: For huge_json, endless_body and endless_headers: the maximum size.
        interval_s: For slow_body: the seconds between two bytes.
        fields: For faults that change fields: only these, instead of all applicable fields.
        value: For wrong_account, wrong_currency and unknown_enum: the replacement value.
        patch: For patch: a JSON merge patch (RFC 7396) applied to the response.
    """

    kind: Kind
    provider: Literal["light", "asset", "layer", "any"] = "any"
    method: str | None = None
    path: str | None = None
    times: Annotated[int, msgspec.Meta(ge=1)] | None = 1
    skip: Count = 0
    probability: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0
    seed: int = 1
    delay_s: Seconds = 0
    delay_after_s: Seconds = 0
    status: Status | None = None
    retry_after_s: Count | None = None
    headers: dict[str, str | None] = {}
    body: str | None = None
    content_type: str = "application/json"
    location: str | None = None
    bytes: Annotated[int, msgspec.Meta(ge=1, le=2**33)] = 64 * 2**20
    interval_s: Seconds = 0.05
    fields: list[str] | None = None
    value: str | None = None
    patch: msgspec.Raw = msgspec.Raw(b"{}")

    def patch_value(self) -> Any:
        """Parse the merge patch with exact numbers."""
        return parse_json(bytes(self.patch))


@dataclass(slots=True)
class Fault:
    """An active fault with its specification and counters.

    Attributes:
        match_count: How many requests matched, including those skipped or not drawn.
        applied_count: How many requests it was applied to.
    """

    fault_id: int
    spec: FaultSpec
    path: re.Pattern[str] | None
    match_count: int = 0
    applied_count: int = 0

    def consume_match(self, provider: Provider, method: str, path: str) -> bool:
        """Count the request if it matches and return whether the fault applies to it."""
        spec = self.spec
        if spec.provider not in ("any", provider) or spec.method not in (None, method):
            return False
        if path in TOKEN_PATHS if self.path is None else not self.path.search(path):
            return False
        if self.is_spent():
            return False
        self.match_count += 1
        if self.match_count <= spec.skip:
            return False
        if spec.probability < 1:
            # Derived from the seed, so that a test run can be repeated.
            chance = derive_number(spec.seed, self.match_count) % 1_000_000
            if chance >= spec.probability * 1_000_000:
                return False
        self.applied_count += 1
        return True

    def is_spent(self) -> bool:
        """Return whether the fault has been applied as often as specified."""
        return self.spec.times is not None and self.applied_count >= self.spec.times

    def view(self) -> dict[str, Any]:
        """Return the fault as `GET /_control/faults` shows it."""
        return {
            "id": self.fault_id,
            "seen": self.match_count,
            "struck": self.applied_count,
            "spent": self.is_spent(),
            **parse_json(encode_json(self.spec)),
        }


class FaultRegistry:
    """The active faults in the order they were added, at most `FAULTS_MAX`."""

    def __init__(self) -> None:
        self._faults: dict[int, Fault] = {}
        self._count = 0

    def add(self, raw: bytes) -> Fault:
        """Add a fault from JSON. A three-digit kind is short for `status` with that status.

        Raises:
            ValueError: The JSON, a field or a pattern is invalid, or there are too many faults.
        """
        parsed = parse_json(raw)
        if isinstance(parsed, dict) and re.fullmatch(r"[2-5]\d\d", str(parsed.get("kind"))):
            status = {"kind": "status", "status": int(str(parsed["kind"]))}
            raw = encode_json(parsed | status)
        _check_kind(parsed)
        spec = msgspec.json.decode(raw, type=FaultSpec)
        _check_required_fields(spec)
        # Spent faults are removed only here, so that their counters can be read until then.
        self._faults = {key: fault for key, fault in self._faults.items() if not fault.is_spent()}
        if len(self._faults) >= FAULTS_MAX:
            message = f"too many faults: remove some of the {FAULTS_MAX} active faults first"
            raise ValueError(message)
        self._count += 1
        # `re.error` is not a ValueError, and the control API reports only ValueErrors as 400.
        try:
            pattern = re.compile(spec.path) if spec.path is not None else None
        except re.error as error:
            message = f"path must be a valid regular expression: {error}"
            raise ValueError(message) from error
        fault = Fault(self._count, spec, pattern)
        self._faults[fault.fault_id] = fault
        return fault

    def find_match(self, provider: Provider, method: str, path: str) -> Fault | None:
        """Return the first fault that applies to this request. Later faults do not count it."""
        for fault in self._faults.values():
            if fault.consume_match(provider, method, path):
                return fault
        return None

    def list_views(self) -> list[dict[str, Any]]:
        """Return all faults as `GET /_control/faults` shows them."""
        return [fault.view() for fault in self._faults.values()]

    def remove(self, fault_id: int) -> bool:
        """Remove one fault and return whether it existed."""
        return self._faults.pop(fault_id, None) is not None

    def clear(self) -> None:
        """Remove all faults."""
        self._faults.clear()


def _check_kind(parsed: Any) -> None:
    kind = parsed.get("kind") if isinstance(parsed, dict) else None
    if isinstance(kind, str) and kind not in KINDS and not re.fullmatch(r"[2-5]\d\d", kind):
        near = difflib.get_close_matches(kind, KINDS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        message = f"kind must be a status such as '503', or one of {', '.join(KINDS)}{hint}"
        raise ValueError(message)


def _check_required_fields(spec: FaultSpec) -> None:
    present = {
        "status": spec.status is not None,
        "redirect": spec.location is not None,
        "body": spec.body is not None,
    }
    if not present.get(spec.kind, True):
        wanted = {"status": "status", "redirect": "location", "body": "body"}[spec.kind]
        message = f"{wanted} is required for kind {spec.kind!r}"
        raise ValueError(message)
    # Report an invalid patch when the fault is added, not when it is applied.
    spec.patch_value()
