"""``make fuzz``: feed a boundary with what nobody would send, for so long, and keep what breaks it.

With ``atheris`` installed the code's own coverage leads the way; without it known inputs are mutated at random.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from fuzz_mutate import mutated

CORPUS = Path(__file__).with_name("corpus")
NAMES = sorted(path.name for path in CORPUS.iterdir())


def known(name: str) -> list[bytes]:
    """The corpus of a target."""
    return [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]


def keep(name: str, data: bytes) -> Path:
    """Put what broke a target among its known inputs, so that tests try it from now on."""
    path = CORPUS / name / f"broke-{hashlib.sha256(data).hexdigest()[:12]}"
    path.write_bytes(data)
    return path


def by_mutation(name: str, seconds: float, seed: int) -> int:
    """Mutate until the time is up; how many inputs were tried. What breaks the target is kept and raised."""
    from fuzz_targets import TARGETS  # noqa: PLC0415 - atheris must be there before

    inputs, random, target = known(name), Random(seed), TARGETS[name]
    until_s = time.monotonic() + seconds
    tried = 0
    while time.monotonic() < until_s:
        data = mutated(inputs, random)
        try:
            target(data)
        except BaseException:
            print(f"{name} is broken by {keep(name, data)}", file=sys.stderr)
            raise
        tried += 1
        if tried % 5000 == 0 and len(inputs) < 5000:
            inputs.append(data)
    return tried


def by_coverage(name: str, seconds: float, seed: int) -> None:
    """Let atheris do it. It ends the process."""
    import atheris  # noqa: PLC0415 - not everybody has it

    with atheris.instrument_imports(include=["footloose.gateway", "footloose.node", "wsproto"]):
        import fuzz_targets  # noqa: PLC0415 - only now is its coverage seen
    found = Path(os.environ.get("FUZZ_FOUND", "")) if os.environ.get("FUZZ_FOUND") else None
    places = [str(CORPUS / name)] if found is None else [str(found), str(CORPUS / name)]
    target: Callable[[bytes], None] = atheris.instrument_func(fuzz_targets.TARGETS[name])
    arguments = [
        sys.argv[0],
        f"-max_total_time={int(seconds)}",
        f"-seed={seed or 1}",
        f"-artifact_prefix={CORPUS / name}/broke-",
        "-max_len=16384",
        "-timeout=10",
        "-verbosity=1",
        *places,
    ]
    atheris.Setup(arguments, target)
    atheris.Fuzz()


def main() -> int:
    """Fuzz the targets named, one after another."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(NAMES)}; default: all")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each target")
    parser.add_argument("--seed", type=int, default=0, help="0 for another one each time")
    parser.add_argument("--mutate", action="store_true", help="do without atheris")
    options = parser.parse_args()
    names = options.targets or NAMES
    if unknown := set(names) - set(NAMES):
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    seed = options.seed or int.from_bytes(os.urandom(4), "big")
    coverage = not options.mutate and _has_atheris()
    for name in names:
        if not coverage:
            tried = by_mutation(name, options.seconds, seed)
            print(f"{name}: {tried} inputs in {options.seconds:.0f} s, seed {seed}: nothing breaks it")
        elif len(names) == 1:
            by_coverage(name, options.seconds, seed)
        else:
            again = [sys.executable, __file__, name, f"--seconds={options.seconds}", f"--seed={seed}"]
            if subprocess.run(again, check=False).returncode:
                return 1
    return 0


def _has_atheris() -> bool:
    try:
        import atheris  # noqa: F401, PLC0415
    except ImportError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
