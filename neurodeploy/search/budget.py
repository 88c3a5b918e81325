"""The budget of a search, what it may lose and what it is to save: the text of ``--budget``, and its check."""

from __future__ import annotations

from dataclasses import dataclass

from neurodeploy.errors import DeployError, known
from neurodeploy.search.trials import Trial
from neurodeploy.targets.target import EnergyProfile, Target

LIMITS = {"accuracy": (0.0, 100.0), "agreement": (0.0, 1.0), "agreement_all": (0.0, 1.0)}
"""What can be asked for, and the least and largest number that it takes."""

OBJECTIVES = ("memory", "energy")
SLACK = 1e-9
"""By how much a loss may pass its limit, so that a float's last bit decides nothing."""


@dataclass(frozen=True, slots=True)
class Budget:
    """The budget of a search: the loss against the float reference that is allowed, and what is made small.

    accuracy: points of accuracy that may be lost at most, or None.
    agreement: share of the output's spikes in common with the reference at least, or None.
    agreement_all: the same share of all populations' spikes.
    minimise: ``memory``, bytes of weights, or ``energy``, J per sample by a published profile of the target.
    profile: name of that profile; the target's first if None.
    """

    accuracy: float | None = None
    agreement: float | None = None
    agreement_all: float | None = None
    minimise: str = "memory"
    profile: str | None = None

    def __str__(self) -> str:
        stated = {key: getattr(self, key) for key in LIMITS}
        numbers = [f"{key}={value:.12g}" for key, value in stated.items() if value is not None]
        return ",".join([*numbers, f"minimise={self.minimise}", *([f"profile={self.profile}"] if self.profile else [])])

    @property
    def measure(self) -> str:
        """What a trial is judged by first: the first limit that is stated."""
        return next(key for key in LIMITS if getattr(self, key) is not None)

    @property
    def allowed(self) -> tuple[float, ...]:
        """Largest losses, in the order of ``LIMITS``: points of accuracy, and shares of spikes not in common."""
        shares = (self.agreement, self.agreement_all)
        points = () if self.accuracy is None else (self.accuracy,)
        return (*points, *(1.0 - share for share in shares if share is not None))

    def losses(self, trial: Trial) -> tuple[float, ...]:
        """Return what a trial loses, in the units and order of ``allowed``."""
        points = () if self.accuracy is None else (_given(trial.lost_points),)
        outputs = () if self.agreement is None else (1.0 - _given(trial.agreement),)
        return (*points, *outputs, *(() if self.agreement_all is None else (1.0 - trial.agreement_all,)))

    def cost(self, trial: Trial) -> float:
        """Return what is to be small: bytes, or J per sample."""
        return _given(trial.energy) if self.minimise == "energy" else trial.weight_bytes

    def keeps(self, trial: Trial) -> bool:
        """Tell whether a trial loses no more than is allowed."""
        return all(loss <= most + SLACK for loss, most in zip(self.losses(trial), self.allowed, strict=True))


def parse_budget(text: str) -> Budget:
    """Return the budget that ``accuracy=0.5,minimise=memory`` and the like describe.

    Raises:
        DeployError: it names all that is wrong: unknown keys, numbers out of range, nothing to keep.
    """
    keys = (*LIMITS, "minimise", "profile")
    found: dict[str, str] = {}
    faults = []
    for item in text.split(","):
        key, equals, value = (part.strip() for part in item.partition("="))
        if key not in keys or not equals or not value:
            faults.append(f"{item.strip()!r} is not KEY=VALUE with a known key")
        elif key in found:
            faults.append(f"{key} is given twice")
        else:
            found[key] = value
    numbers = {}
    for key in LIMITS.keys() & found.keys():
        number = _number(found[key])
        low, high = LIMITS[key]
        if number is None or not low <= number <= high:
            faults.append(f"{key} is {found[key]!r}, but it must be a number from {low:g} to {high:g}")
        else:
            numbers[key] = number
    objective = found.get("minimise", "memory")
    if objective not in OBJECTIVES:
        faults.append(f"minimise is {objective!r}, but it must be {' or '.join(OBJECTIVES)}")
    if "profile" in found and objective != "energy":
        faults.append("a profile is named, but energy is not minimised")
    if not LIMITS.keys() & found.keys():
        faults.append(f"it does not say what to keep, such as {' or '.join(LIMITS)}")
    if faults:
        raise DeployError(
            f"the budget {text!r} cannot be read: {'; '.join(faults)}",
            where="--budget",
            fix=f"Use the keys {known(keys)}, for instance accuracy=0.5,minimise=memory or agreement=0.98.",
        )
    return Budget(minimise=objective, profile=found.get("profile"), **numbers)


def choose_profile(budget: Budget, target: Target) -> EnergyProfile | None:
    """Return the profile by which energy is told, or None where the target has none and none is needed.

    Raises:
        DeployError: energy is to be small and no energy of this target has been published, or not by that name.
    """
    own = {profile.name: profile for profile in target.energy.profiles}
    first = next(iter(own.values()), None)
    if budget.minimise != "energy":
        return first
    if first is None:
        raise DeployError(
            f"no energy per event of {target.title} is published, so it cannot be minimised",
            where="--budget",
            fix="Say minimise=memory, or choose a --target with profiles of its own, such as loihi1.",
        )
    if budget.profile is not None and budget.profile not in own:
        raise DeployError(
            f"{target.title} has no energy profile {budget.profile!r}",
            where="--budget",
            fix=f"Choose one of its profiles, {known(own)}.",
        )
    return own.get(budget.profile or "", first)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _given(value: float | None) -> float:
    """Return a measure that the search made sure is there."""
    if value is None:
        raise ValueError("a trial lacks what its budget asks for")
    return value
