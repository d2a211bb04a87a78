"""In: a verified bundle. Out: one archive of it, the same bytes each time."""

import tarfile
from pathlib import Path

from residency.contract.digests import digest_file
from residency.contract.errors import LineageError
from residency.release.standing import stand


def export(bundle: Path, out: Path) -> str:
    """Write a bundle as one tar file: names sorted, no times, no owners.

    Args:
        bundle: the folder; it is verified first.
        out: the archive to write.

    Returns:
        Digest of the archive.

    Raises:
        SignatureError: the bundle was altered.
        LineageError: `out` is there already.
    """
    stand(bundle)
    if out.exists():
        raise LineageError("the archive is there already", where=str(out), mend="choose another name")
    temporary = out.with_name(f".{out.name}.making")
    with tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(bundle.rglob("*")):
            if path.is_file():
                entry = tarfile.TarInfo(f"bundle/{path.relative_to(bundle).as_posix()}")
                entry.size, entry.mode = path.stat().st_size, 0o644
                with path.open("rb") as handle:
                    archive.addfile(entry, handle)
    temporary.rename(out)
    return digest_file(out)
