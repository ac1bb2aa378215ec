"""Training configurations: YAML into frozen dataclasses; unknown keys and wrong types are refused by name."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

from ..checks import WorldStereoError

Settings = TypeVar("Settings")


@dataclass(frozen=True)
class LoopConfig:
    """How to train, the same for every stage.

    Attributes:
        steps: training steps in all; warmup and cosine are laid over them.
        batch: samples per process and loss.
        accumulate: losses summed up before the optimiser moves.
        minutes: stop cleanly, with a checkpoint, after this much time of this run; none: run to the end.
        warmup: steps over which the learning rate rises from 0.
        final_learning_rate: where the cosine ends, as a share of the learning rate.
        max_gradient_norm: gradients of one group are scaled down to this length; none: never.
        precision: what layers compute in; weights in training stay float32.
        ema: decay of the running mean of the weights that samples and exports use; 0 turns it off.
        gradient_checkpointing: recompute activations instead of keeping them: less memory, more time.
        workers: processes that prepare data; 0: the training process itself.
        log_every, sample_every, save_every: steps between log lines, sample grids and checkpoints.
        keep: checkpoints kept; older ones go once a newer one is complete.
    """

    steps: int
    batch: int = 8
    accumulate: int = 1
    minutes: float | None = None
    warmup: int = 100
    final_learning_rate: float = 0.02
    max_gradient_norm: float | None = 1.0
    precision: Literal["no", "bf16", "fp16"] = "no"
    ema: float = 0.999
    gradient_checkpointing: bool = False
    workers: int = 0
    log_every: int = 20
    sample_every: int = 500
    save_every: int = 500
    keep: int = 2

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "accumulate", "log_every", "sample_every", "save_every", "keep"):
            check_number(name, getattr(self, name), at_least=1)
        check_number("warmup", self.warmup, at_least=0)
        check_number("workers", self.workers, at_least=0)
        check_number("final_learning_rate", self.final_learning_rate, at_least=0, at_most=1)
        check_number("ema", self.ema, at_least=0, at_most=0.99999)
        if self.minutes is not None:
            check_number("minutes", self.minutes, at_least=0)
        if self.max_gradient_norm is not None:
            check_number("max_gradient_norm", self.max_gradient_norm, at_least=1e-6)


@dataclass(frozen=True)
class TrainConfig:
    """One run: which stage, its own settings, and how to train.

    Attributes:
        stage: a name in ``stages.STAGES``.
        settings: the stage's own frozen dataclass, from the file's section ``settings``.
        loop: from the file's section ``loop``.
        seed: of the initial weights, the order of the data and every random number in training.
        licence: of the weights, for their card.
    """

    stage: str
    settings: Any
    loop: LoopConfig
    seed: int = 0
    licence: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as in the file, every default written out."""
        return {
            "stage": self.stage,
            "seed": self.seed,
            "licence": self.licence,
            "loop": dataclasses.asdict(self.loop),
            "settings": dataclasses.asdict(self.settings),
        }


def check_number(name: str, value: float, *, at_least: float, at_most: float = float("inf")) -> None:
    """Raise WorldStereoError if a setting is outside its range."""
    if not at_least <= value <= at_most:
        upper = "" if at_most == float("inf") else f" and at most {at_most:g}"
        raise WorldStereoError(f"{name}: got {value}, expected at least {at_least:g}{upper}. Change it.")


def read_config(path: str | Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Read a training configuration.

    Args:
        path: YAML with the keys stage, seed, loop, settings.
        overrides: ``key=value`` with dots between sections (``loop.steps=100``); values are YAML.

    Raises: WorldStereoError naming the file, the key, what was got and what was expected.
    """
    import yaml

    from .stages import stage_class

    path = Path(path)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WorldStereoError(f"CONFIG: {path} does not exist. Check the path.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise WorldStereoError(f"CONFIG: {path} is not YAML: {error}") from error
    if not isinstance(values, dict):
        raise WorldStereoError(
            f"CONFIG: {path} holds {_kind(values)}, expected the keys stage, loop and settings."
        )
    for override in overrides:
        _override(values, override)
    try:
        settings_type = stage_class(values.get("stage")).Settings
        return _read_train_config(values, settings_type)
    except WorldStereoError as error:
        raise WorldStereoError(f"{path.name}: {error}") from error


def _read_train_config(values: dict[str, Any], settings_type: type) -> TrainConfig:
    _check_keys(values, [field.name for field in dataclasses.fields(TrainConfig)], "")
    seed = _read(int, values.get("seed", 0), "seed")
    check_number("seed", seed, at_least=0)
    return TrainConfig(
        stage=values["stage"],
        settings=read_settings(settings_type, values.get("settings", {}), "settings"),
        loop=read_settings(LoopConfig, values.get("loop", {}), "loop"),
        seed=seed,
        licence=_read(str | None, values.get("licence"), "licence"),
    )


def read_settings(kind: type[Settings], values: Any, where: str) -> Settings:
    """Make a frozen dataclass of plain values.

    Fields may be int, float, bool, str, Literal, ``X | None``, ``tuple[X, ...]`` and further dataclasses.

    Args:
        where: the section's name as the user sees it; every error names keys as ``where.key``.

    Raises: WorldStereoError for an unknown or missing key, a wrong type or a value the dataclass refuses.
    """
    values = {} if values is None else values
    if not isinstance(values, Mapping):
        raise WorldStereoError(f"{where}: got {_kind(values)}, expected a section of keys and values.")
    fields = {field.name: field for field in dataclasses.fields(typing.cast(Any, kind))}
    _check_keys(values, list(fields), where)
    hints = typing.get_type_hints(kind)
    given = {}
    for name, field in fields.items():
        key = f"{where}.{name}" if where else name
        if name in values:
            given[name] = _read(hints[name], values[name], key)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise WorldStereoError(f"{key} is missing: expected {_name(hints[name])}. Add it.")
    try:
        return kind(**given)
    except WorldStereoError as error:
        raise WorldStereoError(f"{where}.{error}" if where else str(error)) from error


def _read(kind: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(kind)
    if dataclasses.is_dataclass(kind):
        return read_settings(typing.cast(type, kind), value, where)
    if origin in (Union, types.UnionType):
        choices = [choice for choice in typing.get_args(kind) if choice is not type(None)]
        if value is None and len(choices) < len(typing.get_args(kind)):
            return None
        if len(choices) == 1:
            return _read(choices[0], value, where)
    elif origin is Literal:
        if value in typing.get_args(kind) and not isinstance(value, bool):
            return value
        # YAML reads a bare no as false; "no" is also accelerate's word for full precision.
        if value is False and "no" in typing.get_args(kind):
            return "no"
    elif origin is tuple:
        item = typing.get_args(kind)[0]
        if isinstance(value, (list, tuple)):
            return tuple(_read(item, entry, f"{where}[{index}]") for index, entry in enumerate(value))
    elif kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    elif isinstance(kind, type) and type(value) is kind:
        return value
    raise WorldStereoError(f"{where}: got {_kind(value)}, expected {_name(kind)}. Correct it.")


def _check_keys(values: Mapping[Any, Any], known: list[str], where: str) -> None:
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            hint = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(known)}."
            raise WorldStereoError(f"{where + '.' if where else ''}{key}: no such setting. {hint}")


def _override(values: dict[str, Any], text: str) -> None:
    import yaml

    key, equals, value = text.partition("=")
    *sections, name = key.strip().split(".")
    if not equals or not name:
        raise WorldStereoError(f"--set {text}: expected key=value, such as loop.steps=100.")
    for section in sections:
        inner = values.setdefault(section, {})
        if not isinstance(inner, dict):
            raise WorldStereoError(f"--set {text}: {section} holds {_kind(inner)} and no keys.")
        values = inner
    try:
        values[name] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise WorldStereoError(f"--set {text}: the value is not YAML: {error}") from error


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    names = {dict: "a section", list: "a list", str: "the text", int: "the number", float: "the number"}
    name = names.get(type(value), f"the {type(value).__name__}")
    return name if isinstance(value, (dict, list)) else f"{name} {value!r}"


def _name(kind: Any) -> str:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return "one of " + ", ".join(str(choice) for choice in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join("nothing" if choice is type(None) else _name(choice) for choice in arguments)
    if origin is tuple:
        return f"a list, each entry {_name(arguments[0])}"
    plain = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    return plain.get(kind, "a section of keys and values")
