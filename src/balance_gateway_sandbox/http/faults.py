"""Scripted faults: what may be asked for, and which request meets which fault."""

import re
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import msgspec

from balance_gateway_sandbox.state.company import Provider
from balance_gateway_sandbox.state.identifiers import derive_number
from balance_gateway_sandbox.wire_format import encode_json, parse_json

FAULTS_MAX: Final = 1_000
TOKEN_PATHS: Final = frozenset({"/asset/v0/auth/token", "/layer-auth/oauth2/token"})
"""Spared by a fault that names no path: whether a token is fetched first is the caller's affair."""

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
Count = Annotated[int, msgspec.Meta(ge=0)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=600)]
Status = Annotated[int, msgspec.Meta(ge=200, le=599)]


class FaultSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One fault as `POST /_control/faults` takes it.

    Attributes:
        kind: What goes wrong.
        provider: Whose requests it meets.
        method: Only this method, when given.
        path: Only paths (with the provider's prefix) in which this pattern is found; without it
            all but the token endpoints.
        times: How often it strikes; None until it is removed.
        skip: How many matching requests pass first.
        probability: The share of matching requests it strikes, drawn from `seed`.
        delay_s: Real seconds before the request is handled; for late_landing, until it lands.
        delay_after_s: Real seconds after the effect and before the answer.
        status: For status and redirect; for late_landing, the answer instead of a drop.
        retry_after_s: Adds `Retry-After`.
        headers: Added to the answer; None as a value removes a header.
        body: For body: the raw text sent; for status: text instead of the provider's own shape.
        content_type: For body.
        location: For redirect.
        bytes: For huge_json, endless_body and endless_headers: how much at most.
        interval_s: For slow_body: between two bytes.
        fields: For distortions of fields: only these, instead of all that fit.
        value: For wrong_account and wrong_currency: what is told instead.
        patch: For patch: a JSON merge patch (RFC 7396) for the answer.
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
        """The merge patch, with exact numbers."""
        return parse_json(bytes(self.patch))


@dataclass(slots=True)
class Fault:
    """A fault that is set: what was asked for and how often it has matched and struck."""

    fault_id: int
    spec: FaultSpec
    path: re.Pattern[str] | None
    match_count: int = 0
    applied_count: int = 0

    def consume_match(self, provider: Provider, method: str, path: str) -> bool:
        """Whether this request meets the fault; counts it if it matches."""
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
            chance = derive_number(spec.seed, self.match_count) % 1_000_000
            if chance >= spec.probability * 1_000_000:
                return False
        self.applied_count += 1
        return True

    def is_spent(self) -> bool:
        """Whether it has struck as often as it was to."""
        return self.spec.times is not None and self.applied_count >= self.spec.times

    def view(self) -> dict[str, Any]:
        """The fault as `GET /_control/faults` tells it."""
        return {
            "id": self.fault_id,
            "seen": self.match_count,
            "struck": self.applied_count,
            "spent": self.is_spent(),
            **parse_json(encode_json(self.spec)),
        }


class FaultRegistry:
    """The faults that are set, at most `FAULTS_MAX`, in the order they were set."""

    def __init__(self) -> None:
        self._faults: dict[int, Fault] = {}
        self._count = 0

    def add(self, raw: bytes) -> Fault:
        """Set a fault from JSON; a kind of three digits is short for that status.

        Raises:
            ValueError: an unknown field or kind, a wrong value, a bad pattern, or too many faults.
        """
        given = parse_json(raw)
        if isinstance(given, dict) and re.fullmatch(r"[2-5]\d\d", str(given.get("kind"))):
            status = {"kind": "status", "status": int(str(given["kind"]))}
            raw = encode_json(given | status)
        spec = msgspec.json.decode(raw, type=FaultSpec)
        _check_required_fields(spec)
        self._faults = {key: one for key, one in self._faults.items() if not one.is_spent()}
        if len(self._faults) >= FAULTS_MAX:
            message = f"at most {FAULTS_MAX} faults"
            raise ValueError(message)
        self._count += 1
        # `re.error` is no ValueError, and the caller answers only those.
        try:
            pattern = re.compile(spec.path) if spec.path is not None else None
        except re.error as error:
            message = f"path: {error}"
            raise ValueError(message) from error
        fault = Fault(self._count, spec, pattern)
        self._faults[fault.fault_id] = fault
        return fault

    def find_match(self, provider: Provider, method: str, path: str) -> Fault | None:
        """The first fault that strikes this request; later ones do not count it."""
        for fault in self._faults.values():
            if fault.consume_match(provider, method, path):
                return fault
        return None

    def list_views(self) -> list[dict[str, Any]]:
        """All faults that are set."""
        return [fault.view() for fault in self._faults.values()]

    def remove(self, fault_id: int) -> bool:
        """Remove one fault; whether there was one."""
        return self._faults.pop(fault_id, None) is not None

    def clear(self) -> None:
        """Remove all faults."""
        self._faults.clear()


def _check_required_fields(spec: FaultSpec) -> None:
    needs = {
        "status": spec.status is not None,
        "redirect": spec.location is not None,
        "body": spec.body is not None,
    }
    if not needs.get(spec.kind, True):
        wanted = {"status": "status", "redirect": "location", "body": "body"}[spec.kind]
        message = f"kind {spec.kind} needs {wanted}"
        raise ValueError(message)
    spec.patch_value()
