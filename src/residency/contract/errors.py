"""In: what went wrong, where, and how to mend it. Out: one message without a patient's value.

The tree::

    ResidencyError
    ├── SpecError          a settings file or a setting is wrong
    ├── InputError         a file or row from outside is not what it should be
    │   └── SchemaError    a table lacks a column or has another type
    ├── IdentityError      identifiers collide, or a key is missing or misplaced
    ├── LineageError       a folder is incomplete, altered, or holds something else
    │   └── StaleError     … namely the result of other inputs or settings
    ├── PluginError        no such plugin, or its extra is missing
    ├── TrainingError      training cannot go on
    ├── QuestionError      a question cannot be read, or not asked of this release
    ├── GateError          a release asked for a step that it has not earned
    ├── SignatureError     a signature or a chain of signatures does not hold
    ├── AccessError        who is asking is not known
    │   ├── ForbiddenError who is asking may not
    │   └── QuotaError     who is asking has had their share
    └── NotFoundError      there is no such thing
"""

from typing import ClassVar


class ResidencyError(Exception):
    """Say what is wrong, where, and how to mend it.

    A message may name a file, a column, a row number or a count.
    It never carries a value taken from a patient's record.
    """

    status: ClassVar[int] = 500  # what the HTTP face answers

    def __init__(self, what: str, *, where: str = "", mend: str = "") -> None:
        self.what, self.where, self.mend = what, where, mend
        super().__init__("\n  ".join(part for part in (what, where, mend) if part))


class SpecError(ResidencyError):
    """A settings file or a setting is wrong."""

    status = 400


class InputError(ResidencyError):
    """A file or row from outside is not what it should be."""

    status = 422


class SchemaError(InputError):
    """A table lacks a column, or a column has another type."""


class IdentityError(ResidencyError):
    """Two patients share an identifier, or a key is missing or misplaced."""

    status = 409


class LineageError(ResidencyError):
    """A folder is incomplete, was altered, or holds the result of something else."""

    status = 409


class StaleError(LineageError):
    """A folder holds, or was begun as, the result of other inputs or settings."""


class PluginError(ResidencyError):
    """No part, or more than one, has that name, or what it needs is not installed."""

    status = 400


class TrainingError(ResidencyError):
    """Training cannot go on."""


class QuestionError(ResidencyError):
    """A question cannot be read, or is not one that this release answers."""

    status = 422


class GateError(ResidencyError):
    """A release asked for a step that it has not earned."""

    status = 409


class SignatureError(ResidencyError):
    """A signature, or a chain of them, does not hold."""

    status = 409


class AccessError(ResidencyError):
    """Who is asking is not known."""

    status = 401


class ForbiddenError(AccessError):
    """Who is asking is known, and may not."""

    status = 403


class QuotaError(AccessError):
    """Who is asking has had their share for now."""

    status = 429


class NotFoundError(ResidencyError):
    """There is no such thing."""

    status = 404
