"""Feed rrzoo with damaged files, and say what went wrong.

    cd tests && python -m fuzzing --cases 10000 --seed 1 [--only gallery --only image]

Each case takes what the seed, its target and its number say, so that `--first N --cases 1` is one of them again. Exit
status 1: something ended in an error that is not rrzoo's, in several lines, or took over 2 seconds.
"""

import argparse
import collections
import os
import sys
import tempfile
import time
import zlib
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parents[1])]

import numpy as np  # noqa: E402

from fuzzing.targets import TARGETS, Target, failure  # noqa: E402

LIMIT = 2.0  # seconds of processor time


def fuzz(target: Target, folder: Path, cases: int, seed: int, first: int = 0) -> list[str]:
    """Run some cases of a target in an empty folder; return what went wrong."""
    case, wrong = target.prepare(folder), []
    for number in range(first, first + cases):
        random = np.random.default_rng([seed, zlib.crc32(target.name.encode()), number])
        start = time.process_time()
        problem = failure(case, random)
        if (seconds := time.process_time() - start) > LIMIT:
            problem = f"{seconds:.1f} s; {problem}"
        if problem:
            wrong.append(f"{target.name} {number}: {problem}")
    return wrong


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=2_000, help="in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first case of each target")
    parser.add_argument("--only", action="append", choices=[target.name for target in TARGETS])
    options = parser.parse_args()
    chosen = [target for target in TARGETS if not options.only or target.name in options.only]
    os.environ |= {"OMP_NUM_THREADS": "1"}
    everything = []
    for target in chosen:
        with tempfile.TemporaryDirectory() as folder:
            start = time.monotonic()
            cases = -(-options.cases // len(chosen))
            wrong = fuzz(target, Path(folder), cases, options.seed, options.first)
            everything += wrong
            print(f"{target.name}: {cases} cases, {len(wrong)} wrong, {time.monotonic() - start:.0f} s")
            kinds = collections.Counter(one.split(": ", 1)[1].split(":")[0] for one in wrong)
            for kind, count in kinds.most_common(8):
                example = next(one for one in wrong if kind in one)
                print(f"  {count} x {kind}: {example[:300]}", flush=True)
    sys.exit(bool(everything))


if __name__ == "__main__":
    main()
