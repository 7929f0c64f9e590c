"""The configuration: one YAML file, frozen and validated before any work starts.

Every key has a default except `input` and `output.run_dir`. An unknown key, a value out of range
or a combination that cannot work raises `ConfigError`, which names the field, the value that was
found and what is allowed.
"""

from curate.config.download import DownloadConfig
from curate.config.paper import LabelledConfig, PaperConfig, VisualGenomeConfig
from curate.config.reading import apply_overrides, digest, load_config, parse_config, to_yaml
from curate.config.root import Config
from curate.config.rules import Criteria, Rules, rule_columns
from curate.config.sections import (
    BaselinesConfig,
    ComputeConfig,
    EmbeddingKeys,
    InputConfig,
    LimitsConfig,
    ModelConfig,
    OutputConfig,
    Places,
    ReferenceConfig,
    TargetKeys,
)
from curate.config.sweep import SweepConfig

__all__ = [
    "BaselinesConfig",
    "ComputeConfig",
    "Config",
    "Criteria",
    "DownloadConfig",
    "EmbeddingKeys",
    "InputConfig",
    "LabelledConfig",
    "LimitsConfig",
    "ModelConfig",
    "OutputConfig",
    "PaperConfig",
    "Places",
    "ReferenceConfig",
    "Rules",
    "SweepConfig",
    "TargetKeys",
    "VisualGenomeConfig",
    "apply_overrides",
    "digest",
    "load_config",
    "parse_config",
    "rule_columns",
    "to_yaml",
]
