"""Command line: list the snapshots of a repository in a directory, or restore one.

Exit codes: 0 all done; 1 something was refused (nothing after it was written); 2 the command line is wrong; 3 the content is
restored, but some entry could not be made complete on this machine (owner, attribute, device), or was not readable when it
was backed up; the lines on standard error say which.
"""

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from .depot import Depot
from .errors import LumbungError, UsageError
from .evidence import decode_proof, decode_receipt
from .header import Kind
from .keyfile import BundleSecrets, KeyBundle, decode_bundle, open_bundle
from .repository import Repository, Snapshot
from .restore import restore
from .snapshot import SnapshotReader


def warn(message: str) -> None:
    print(f"reference_reader: {message}", file=sys.stderr)


def _hex(length: int):
    def parse(text: str) -> bytes:
        if len(text) != 2 * length or text != text.lower():
            raise argparse.ArgumentTypeError(f"{2 * length} lower-case hexadecimal digits expected")
        return bytes.fromhex(text)

    return parse


def parser() -> argparse.ArgumentParser:
    arguments = argparse.ArgumentParser(prog="python -m reference_reader", description="Reads a Lumbung repository.")
    arguments.add_argument("depot", type=Path, help="the repository's directory")
    arguments.add_argument("--key", type=Path, help="key bundle")
    arguments.add_argument("--passphrase-env", metavar="NAME", help="environment variable that holds the passphrase")
    arguments.add_argument("--repository", type=_hex(32), help="repository id, if it is known from elsewhere")
    arguments.add_argument("--agent", type=_hex(16), help="with latest: of this agent")
    arguments.add_argument("--dataset", type=_hex(16), help="with latest: of this dataset")
    arguments.add_argument("--snapshot", metavar="latest|ID", default="latest")
    arguments.add_argument("--accept-unlisted", action="store_true", help="restore a snapshot that is belum disahkan")
    arguments.add_argument("--target", type=Path, help="new or empty directory to restore into")
    arguments.add_argument("--list-snapshots", action="store_true")
    return arguments


def load_bundle(path: Path) -> KeyBundle:
    try:
        return decode_bundle(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read as a key file: {error}") from error


def open_secrets(bundle: KeyBundle, variable: str | None) -> BundleSecrets:
    if variable is None or variable not in os.environ:
        raise UsageError("--passphrase-env must name an environment variable that holds the passphrase")
    return open_bundle(bundle, os.fsencode(os.environ[variable]))


def _time(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return str(seconds)


def _evidence(repository: Repository, kind: Kind, decode) -> dict[bytes, int]:
    """How many valid receipts, or proofs, there are for each manifest."""
    counts: dict[bytes, int] = {}
    for object_id in repository.depot.list(kind):
        try:
            decoded = decode(repository.depot.get(kind, object_id), object_id, repository.id, repository.chain.newest)
        except LumbungError as error:
            warn(f"left aside: {error}")
            continue
        counts[decoded.manifest] = counts.get(decoded.manifest, 0) + 1
    return counts


def _line(snapshot: Snapshot, receipts: dict[bytes, int], proofs: dict[bytes, int]) -> str:
    manifest = snapshot.manifest
    state = "partial" if manifest.partial else "complete"
    return "\t".join([
        manifest.id.hex(), _time(manifest.finished), manifest.agent.hex(), manifest.dataset.hex(),
        f"{manifest.epoch}.{manifest.sequence}", state, "listed" if snapshot.listed else "belum-disahkan",
        f"files={manifest.statistics['files']}", f"bytes={manifest.statistics['content_bytes']}",
        f"receipts={receipts.get(manifest.id, 0)}", f"proofs={proofs.get(manifest.id, 0)}",
    ])


def list_snapshots(repository: Repository) -> None:
    receipts = _evidence(repository, Kind.RECEIPT, decode_receipt)
    proofs = _evidence(repository, Kind.PROOF, decode_proof)
    for snapshot in repository.snapshots():
        print(_line(snapshot, receipts, proofs))


def restore_snapshot(options: argparse.Namespace, repository: Repository, bundle: KeyBundle) -> int:
    secrets = open_secrets(bundle, options.passphrase_env)
    if options.snapshot == "latest":
        manifest = repository.latest(options.agent, options.dataset)
    else:
        try:
            manifest = repository.by_id(_hex(32)(options.snapshot), options.accept_unlisted)
        except (argparse.ArgumentTypeError, ValueError) as error:
            raise UsageError(f"--snapshot: {error}") from error
    reader = SnapshotReader(repository, manifest, bundle.recovery_public, secrets.recovery_private)
    outcome = restore(reader, options.target, warn)
    print(f"restored snapshot {manifest.id.hex()} of {reader.root.host}: {outcome.entries} entries, "
          f"{outcome.content_bytes} content bytes, {outcome.unreadable} unreadable at backup, "
          f"{outcome.incomplete} incomplete")
    return 3 if outcome.unreadable or outcome.incomplete else 0


def run(options: argparse.Namespace) -> int:
    bundle = load_bundle(options.key) if options.key else None
    root_public = bundle.root_public if bundle else None
    repository = Repository.open(Depot(options.depot), warn, options.repository, root_public)
    if options.list_snapshots:
        list_snapshots(repository)
        return 0
    if bundle is None or options.target is None:
        raise UsageError("a restore needs --key and --target")
    return restore_snapshot(options, repository, bundle)


def main() -> int:
    options = parser().parse_args()
    try:
        return run(options)
    except UsageError as error:
        warn(str(error))
        return 2
    except (LumbungError, OSError) as error:
        warn(str(error))
        return 1


if __name__ == "__main__":
    sys.exit(main())
