"""Every exception that curate raises on purpose.

The tree is flat and named by what the reader has to do next. A message names the file or the
field, says what was found there, and ends with the remedy.

    CurateError
    ├── ConfigError        the configuration is wrong: nothing was started
    ├── NumericsError      arrays of a wrong shape, dtype or domain reached the numerics
    ├── ShardError         a shard cannot be read at all (it fails alone)
    ├── SampleError        a sample cannot be used; carries a rejection status of the schema
    ├── ModelError         the model cannot be loaded or does not fit the request
    ├── ReferenceFileError a saved Reference cannot be used
    ├── TargetError        the target set that scores compare with cannot be used
    ├── DownloadError      img2dataset failed, or left shards out
    ├── RunDirError        the run directory belongs to something else or lacks a stage
    ├── OutputError        an output could not be written whole
    ├── ResourceError      the machine or cluster is too small for the request
    ├── WorkerError        a worker process failed in a way that nobody foresaw
    ├── AccountingError    read != kept + dropped + rejected: a bug or damaged outputs
    └── VerificationError  outputs do not match their markers
"""

from __future__ import annotations


class CurateError(Exception):
    """Base class: everything curate raises on purpose."""

    exit_code = 1


class ConfigError(CurateError):
    """The configuration is wrong. Raised before any work is started."""

    exit_code = 2


class NumericsError(CurateError, ValueError):
    """An array has the wrong shape, dtype or domain."""


class ShardError(CurateError):
    """A shard cannot be read at all. It fails alone; the other shards go on."""

    exit_code = 3


class SampleError(CurateError):
    """One sample cannot be used.

    Attributes:
        status: the rejection reason, one of `curate.schema.REJECTIONS`.
        detail: what was found, for the `error` column.
    """

    def __init__(self, status: str, detail: str) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.detail = detail

    def __reduce__(self) -> tuple[type[SampleError], tuple[str, str]]:
        return type(self), (self.status, self.detail)


class ModelError(CurateError):
    """The model cannot be loaded, or it does not offer what was asked."""

    exit_code = 2


class ReferenceFileError(CurateError):
    """A saved Reference is missing, damaged, or was fitted with another model."""

    exit_code = 2


class TargetError(CurateError):
    """The target set that VAS and NormSim compare with is missing, damaged or does not fit."""

    exit_code = 2


class DownloadError(CurateError):
    """img2dataset ended with an error, or left shards out. What is finished stays."""


class RunDirError(CurateError):
    """The run directory belongs to another configuration, or an earlier stage is missing."""

    exit_code = 2


class OutputError(CurateError):
    """An output could not be written whole; nothing was committed."""


class ResourceError(CurateError):
    """The machine or the cluster is too small for the request."""

    exit_code = 2


class WorkerError(CurateError):
    """A worker process failed in a way that nobody foresaw. What is committed stays."""


class AccountingError(CurateError):
    """The counts of a shard do not add up."""

    exit_code = 4


class VerificationError(CurateError):
    """Outputs do not match their markers or their inputs."""

    exit_code = 4
