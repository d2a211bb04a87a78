"""In: settings as TOML or a mapping. Out: frozen, checked specs, and their digests."""

import dataclasses
import hashlib
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, dataclass_transform

import cattrs
import msgspec
from cattrs.errors import BaseValidationError, ForbiddenExtraKeysError
from cattrs.gen import make_dict_structure_fn

from residency.contract.errors import SpecError

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def spec(cls: type[T]) -> type[T]:
    """Make a class a spec: frozen, keyword-only, closed to unknown keys.

    Example:
        >>> @spec
        ... class Dial:
        ...     size: int = 1
        >>> read(Dial, {"size": 2}).size
        2
    """
    return dataclasses.dataclass(frozen=True, kw_only=True)(cls)


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True, detailed_validation=True)
    for scalar in (int, float, str, bool):
        converter.register_structure_hook(scalar, _strict)
    converter.register_structure_hook(Path, lambda value, _: Path(_strict(value, str)))
    converter.register_structure_hook_factory(
        dataclasses.is_dataclass,
        lambda cls: make_dict_structure_fn(cls, converter, _cattrs_forbid_extra_keys=True),
    )
    return converter


def _strict(value: Any, kind: type[T]) -> T:
    """Take a value of the very type: no text that looks like a number, no number that passes for a flag."""
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)  # type: ignore[return-value]
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise TypeError(f"must be {kind.__name__}, is {type(value).__name__}")
    return value


def _faults(error: BaseException, path: str = "") -> Iterator[str]:
    """Say each fault once, with the dotted path of its key."""
    if isinstance(error, ForbiddenExtraKeysError):
        yield from (f"{path}{key}: unknown key" for key in sorted(error.extra_fields))
    elif isinstance(error, BaseValidationError):
        for inner in error.exceptions:
            note = next(
                (n for n in getattr(inner, "__notes__", ()) if hasattr(n, "name") or hasattr(n, "index")),
                None,
            )
            step = getattr(note, "name", getattr(note, "index", ""))
            yield from _faults(inner, f"{path}{step}." if step != "" else path)
    elif isinstance(error, KeyError):
        yield f"{path.rstrip('.')}: missing"
    else:
        yield f"{path.rstrip('.') or 'settings'}: {error}"


def read(cls: type[T], mapping: Mapping[str, Any], where: str = "") -> T:
    """Make a spec of a mapping.

    Args:
        cls: a class made by `spec`.
        mapping: keys and values, as TOML gives them.
        where: what to name in an error.

    Raises:
        SpecError: names every wrong key at once.
    """
    try:
        return _CONVERTER.structure(dict(mapping), cls)
    except (BaseValidationError, ValueError, TypeError) as error:
        faults = "; ".join(_faults(error))
        raise SpecError(f"wrong settings: {faults}", where=where) from None


def load(cls: type[T], path: Path) -> T:
    """Read a spec from a TOML file.

    Raises:
        SpecError: the file is absent, is no TOML, or names every wrong key at once.
    """
    return read(cls, load_toml(path), where=str(path))


def load_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        SpecError: the file is absent or is no TOML.
    """
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError("cannot read a settings file", where=str(path), mend=type(error).__name__) from None
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"not TOML: {error}", where=str(path)) from None


def plain(value: object) -> dict[str, Any]:
    """Give a spec as JSON-able mappings, lists, text and numbers."""
    fields = dataclasses.asdict(value)  # type: ignore[call-overload]
    result: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(fields, enc_hook=str))
    return result


def digest(value: object) -> str:
    """Give the SHA-256 of a spec (or of anything JSON-able), the same whatever the order of its keys."""
    body = plain(value) if dataclasses.is_dataclass(value) else value
    return hashlib.sha256(msgspec.json.encode(body, order="deterministic", enc_hook=str)).hexdigest()


_CONVERTER = _converter()
