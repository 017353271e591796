"""The tables of the speed report."""

from __future__ import annotations

from compare.bench.aims import aims
from compare.bench.records import BenchRecord, Case, Measured, Profile
from reports.tables import pipe_table, ratio_cells
from reports.text import code, count, escaped, fixed, milliseconds, number

MEBIBYTE = 2**20
NONE = "–"
SIDES = {"numpy": "NumPy", "torch": "PyTorch"}


def _steps(record: BenchRecord) -> list[Case]:
    return [case for case in record.cases if case.kind == "step"]


def _time(measured: Measured | None) -> str:
    step = None if measured is None else measured.step
    return NONE if step is None else milliseconds(step.median_s)


def _ratio(measured: Measured | None) -> str:
    if measured is None or measured.over_numpy is None:
        return NONE
    value, interval = ratio_cells(measured.over_numpy.ratio)
    return f"{value} ({interval})"


def steps(record: BenchRecord) -> str:
    """Median times of a step, and PyTorch's over NumPy's."""
    rows = []
    for case in _steps(record):
        default, best = case.of("torch"), case.of(case.best_eager)
        setting = (best.title.partition(", ")[2] or "default") if best is not None else NONE
        rows.append(
            (
                escaped(case.title),
                _time(case.of("numpy")),
                _time(default),
                _ratio(default),
                f"{_time(best)} ({setting})",
                _ratio(best),
                _time(case.of("torch-compile")),
            )
        )
    columns = ("case", "NumPy", "PyTorch", "ratio", "best setting", "ratio", "compiled")
    return pipe_table(columns, rows, "lrrrrrr")


def phases(record: BenchRecord) -> str:
    """Forward, backward and update apart."""
    rows = []
    for case in _steps(record):
        for name in ("numpy", "torch", case.best_eager):
            measured = case.of(name)
            if measured is None or not measured.phases or (name == "torch" == case.best_eager):
                continue
            rows.append(
                (
                    escaped(case.title),
                    escaped(measured.title),
                    *(milliseconds(measured.phases[p].median_s) for p in PHASES),
                )
            )
    return pipe_table(("case", "side", *PHASES), rows, "llrrr")


PHASES = ("forward", "backward", "update")


def floor(record: BenchRecord) -> str:
    """The matrix products alone beside the whole step."""
    rows = []
    for case in _steps(record):
        measured, numpy = case.of("floor"), case.of("numpy")
        if measured is None or numpy is None or not (measured.step and numpy.step):
            continue
        share = measured.step.median_s / numpy.step.median_s
        rows.append((escaped(case.title), _time(numpy), _time(measured), f"{100 * share:.0f}%"))
    return pipe_table(("case", "NumPy's step", "products alone", "share"), rows, "lrrr")


def peers(record: BenchRecord) -> str:
    """Other people's code at the same step."""
    rows = [
        _peer(case, measured)
        for case in _steps(record)
        for measured in case.contenders
        if measured.group == "peer" and measured.status == "measured"
    ]
    columns = ("case", "code", "version", "NumPy", "its time", "ratio", "difference")
    return pipe_table(columns, rows, "lllrrrr")


def convolutions(record: BenchRecord) -> str:
    """A convolution alone, forwards and backwards."""
    rows = [
        _peer(case, measured)
        for case in record.cases
        if case.kind == "convolution"
        for measured in case.contenders
        if measured.status == "measured" and measured.name != "numpy"
    ]
    columns = ("case", "code", "version", "NumPy", "its time", "ratio", "difference")
    return pipe_table(columns, rows, "lllrrrr")


def _peer(case: Case, measured: Measured) -> tuple[str, ...]:
    found = measured.agreement
    return (
        escaped(case.title),
        escaped(measured.title),
        escaped(measured.version or NONE),
        _time(case.of("numpy")),
        _time(measured),
        _ratio(measured),
        NONE if found is None else number(found.vector_error, 2),
    )


def memory(record: BenchRecord) -> str:
    """Peak memory of both sides, each in its own process."""
    rows = []
    for case in _steps(record):
        numpy, torch = case.of("numpy"), case.of("torch")
        if numpy is None or torch is None or not (numpy.memory and torch.memory):
            continue
        used = [m.memory.used_bytes for m in (numpy, torch) if m.memory]
        whole = [m.memory.process_bytes for m in (numpy, torch) if m.memory]
        rows.append(
            (
                escaped(case.title),
                *(fixed(value / MEBIBYTE, 1) for value in used),
                fixed(used[0] / max(1, used[1]), 2),
                *(fixed(value / MEBIBYTE, 0) for value in whole),
            )
        )
    columns = ("case", "NumPy", "PyTorch", "ratio", "NumPy's process", "PyTorch's process")
    return pipe_table(columns, rows, "lrrrrr")


def growth(record: BenchRecord) -> str:
    """Exponents with their intervals."""
    rows = [
        (
            escaped(found.what),
            escaped(found.title),
            f"{count(found.sizes[0])} to {count(found.sizes[-1])}",
            escaped(fit.title),
            f"{fit.exponent:.2f}",
            f"{fit.low:.2f} to {fit.high:.2f}",
            f"{fit.last:.2f}",
        )
        for found in record.growth
        for fit in found.fits
    ]
    columns = ("size", "network", "from", "side", "exponent", "95% interval", "at the end")
    return pipe_table(columns, rows, "llrlrrr")


def harness(record: BenchRecord) -> str:
    """Lock step over the two plain trainings."""
    rows = []
    for cost in record.harness:
        value, interval = ratio_cells(cost.over_plain.ratio)
        rows.append(
            (
                escaped(f"{cost.experiment}, {cost.optimizer}"),
                count(cost.steps),
                count(cost.certified_steps),
                count(cost.threads),
                fixed(sum(cost.lockstep_s), 1),
                fixed(sum(cost.plain_s["numpy"]), 1),
                fixed(sum(cost.plain_s["torch"]), 1),
                value,
                interval,
            )
        )
    columns = (
        *("training", "steps", "certified", "threads", "lock step (s)", "NumPy alone (s)"),
        *("PyTorch alone (s)", "ratio", "95% interval"),
    )
    return pipe_table(columns, rows, "lrrrrrrrr")


def start(record: BenchRecord) -> str:
    """Commands from nothing to their end."""
    rows = [
        (code(found.command), fixed(found.median_s, 2), fixed(min(found.seconds), 2),
         fixed(max(found.seconds), 2), str(len(found.seconds)))
        for found in record.start
    ]  # fmt: skip
    return pipe_table(("command", "median (s)", "least", "most", "times"), rows, "lrrrr")


def layers(profile: Profile) -> str:
    """Every layer alone, both sides."""
    rows = []
    sums = dict.fromkeys(SIDES, 0.0)
    for layer in profile.layers:
        cells = []
        for name in SIDES:
            forward, backward = layer.forward_s.get(name), layer.backward_s.get(name)
            cells += [NONE if s is None else milliseconds(s) for s in (forward, backward)]
            sums[name] += (forward or 0.0) + (backward or 0.0)
        rows.append((code(layer.name), code(layer.kind), *cells))
    rows.append(("all", "", "", milliseconds(sums["numpy"]), "", milliseconds(sums["torch"])))
    heads = [f"{side}, {way}" for side in SIDES.values() for way in ("forward", "backward")]
    return pipe_table(("layer", "class", *heads), rows, "llrrrr")


def aimed(record: BenchRecord) -> str:
    """The aims."""
    rows = [
        (
            escaped(aim.what),
            aim.bound,
            f"{aim.found:.2f}",
            NONE if aim.interval is None else f"{aim.interval[0]:.2f} to {aim.interval[1]:.2f}",
            "reached" if aim.reached else "**missed**",
        )
        for aim in aims(record)
    ]
    return pipe_table(("what", "aim", "found", "95% interval", ""), rows, "lrrrl")
