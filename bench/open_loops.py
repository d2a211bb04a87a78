"""How many planted lapses are found, and how many findings are so: `bench/open_loops.py [PATIENTS] [SEED]`.

Simulates a hospital, reads its FHIR, asks for open loops; the judge reads the files itself. Simulated.
"""

import importlib.util
import sys
import tempfile
from pathlib import Path

from residency import HospitalSpec

HERE = Path(__file__).parents[1] / "tests" / "reasoning" / "invented_hospital.py"


def main(n_patients: int = 1000, seed: int = 7) -> None:
    """Print a table."""
    found = importlib.util.spec_from_file_location("invented_hospital", HERE)
    assert found is not None
    assert found.loader is not None
    invented_hospital = importlib.util.module_from_spec(found)
    sys.modules["invented_hospital"] = invented_hospital
    found.loader.exec_module(invented_hospital)
    with tempfile.TemporaryDirectory() as folder:
        spec = HospitalSpec(n_patients=n_patients, seed=seed, genomes=False)
        hospital = invented_hospital.made(Path(folder), spec)
        tally = invented_hospital.measure(hospital, invented_hospital.Charts(hospital), 3, seed)
    print("| lapse | planted, patient alive when due | found | findings | of these so |")
    print("|---|---|---|---|---|")
    for name, kind in invented_hospital.ALIKE.items():
        numbers = (tally.planted[name], tally.found[name], tally.said[kind], tally.true[kind])
        print(f"| {name} | {' | '.join(map(str, numbers))} |")
    print(f"recall {tally.recall:.3f}, precision {tally.precision:.3f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
