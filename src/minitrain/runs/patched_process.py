"""The other end of `patched`: trains one run with the training code of this copy of the library.

What is asked comes as JSON on standard input; each step goes out as a line of JSON.
"""

import json
import sys
from pathlib import Path

from minitrain.common.errors import UserError
from minitrain.runs.store import Store
from minitrain.training.config import parse
from minitrain.training.loop import Training


def main() -> int:
    """Train what standard input asks for; the exit status."""
    asked = json.load(sys.stdin)
    told = 0

    def tell(training: Training) -> None:
        nonlocal told
        records = [record.plain() for record in training.records[told:]]
        told = len(training.records)
        print(json.dumps({"step": training.step, "records": records}), flush=True)

    store = Store(Path(asked["root"]), device=asked["device"], engine="pytorch")
    try:
        store.get(parse(asked["config"], "config"), tell)
    except UserError as error:
        print(error)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
