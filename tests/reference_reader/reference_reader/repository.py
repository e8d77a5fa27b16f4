"""Section 16, steps 1 and 2: from a directory to its roster chain, its manifests, and the snapshot that was asked for.

Which repository this is never comes from the directory alone: it is the id that was given, or the roster number 1 that lists
the key bundle's root key.
"""

from collections.abc import Callable
from dataclasses import dataclass

from .depot import Depot
from .errors import DepotError, FormatError, LumbungError, SignatureError, UsageError
from .header import Kind
from .manifest import Manifest, decode_manifest
from .roster import Roster, RosterChain, decode_roster
from .wrap import WrappedSession, decode_wrap

Warn = Callable[[str], None]


@dataclass(frozen=True)
class Snapshot:
    """A manifest, and whether it counts: signed by an agent that the newest roster lists."""

    manifest: Manifest
    listed: bool


class Repository:
    def __init__(self, depot: Depot, chain: RosterChain, warn: Warn):
        self.depot = depot
        self.chain = chain
        self.warn = warn
        self._wraps: dict[bytes, dict[bytes, list[WrappedSession]]] = {}

    @property
    def id(self) -> bytes:
        return self.chain.repository

    @classmethod
    def open(cls, depot: Depot, warn: Warn, repository: bytes | None, root_public: bytes | None) -> "Repository":
        rosters = list(_readable_rosters(depot, warn))
        firsts = [roster for roster in rosters if _is_first(roster, repository, root_public)]
        if len(firsts) != 1:
            raise UsageError(
                f"{len(firsts)} rosters of {depot.root} can be the first of this repository; name it with --repository"
            )
        chain = RosterChain(firsts[0])
        chain.follow(rosters, warn)
        highest = max((roster.number for roster in rosters if roster.header_repository == chain.repository), default=1)
        if highest > chain.newest.number:
            warn(f"rosters up to number {highest} are here, but the chain ends at {chain.newest.number}")
        return cls(depot, chain, warn)

    def wraps(self, recipient: bytes) -> dict[bytes, list[WrappedSession]]:
        """Sessions that the owner sealed again to this key (section 23), the newest roster's signers first."""
        if recipient not in self._wraps:
            found = []
            for wrap_id in self.depot.list(Kind.WRAP):
                try:
                    wrap = decode_wrap(self.depot.get(Kind.WRAP, wrap_id), wrap_id, self.id)
                except LumbungError as error:
                    self.warn(f"left aside: {error}")
                    continue
                listed = [place for place, roster in enumerate(self.chain.rosters) if roster.is_root_key(wrap.signer)]
                if wrap.recipient == recipient and listed:
                    found.append((listed[-1], wrap.made, wrap_id, wrap))
            by_session: dict[bytes, list[WrappedSession]] = {}
            for *_, wrap in sorted(found, key=lambda item: item[:3], reverse=True):
                for wrapped in wrap.sessions:
                    by_session.setdefault(wrapped.session, []).append(wrapped)
            self._wraps[recipient] = by_session
        return self._wraps[recipient]

    def snapshots(self) -> list[Snapshot]:
        """Every manifest that verifies, oldest first; what does not is reported and left aside."""
        found = []
        for manifest_id in self.depot.list(Kind.MANIFEST):
            try:
                manifest = decode_manifest(self.depot.get(Kind.MANIFEST, manifest_id), manifest_id, self.id)
            except LumbungError as error:
                self.warn(f"left aside: {error}")
                continue
            found.append(Snapshot(manifest, self.chain.lists(manifest.agent, manifest.signer, manifest.domain)))
        return sorted(found, key=lambda item: (item.manifest.finished, item.manifest.id))

    def by_id(self, manifest_id: bytes, accept_unlisted: bool) -> Manifest:
        manifest = decode_manifest(self.depot.get(Kind.MANIFEST, manifest_id), manifest_id, self.id)
        if manifest.partial:
            raise UsageError(f"snapshot {manifest_id.hex()} is partial: it has no catalogue to restore")
        if not self.chain.lists(manifest.agent, manifest.signer, manifest.domain):
            message = f"snapshot {manifest_id.hex()} is belum disahkan: the newest roster does not list its agent"
            if not accept_unlisted:
                raise SignatureError(f"{message}; --accept-unlisted restores it nevertheless")
            self.warn(message)
        return manifest

    def latest(self, agent: bytes | None, dataset: bytes | None) -> Manifest:
        """The newest whole, listed snapshot of the one dataset that is left after filtering.

        An agent's chain tells the order of its snapshots; between agents (a server that was rebuilt) the time does.
        """
        series: dict[bytes, dict[bytes, list[Manifest]]] = {}
        for snapshot in self.snapshots():
            manifest = snapshot.manifest
            wanted = agent in (None, manifest.agent) and dataset in (None, manifest.dataset)
            if wanted and snapshot.listed and not manifest.partial:
                series.setdefault(manifest.dataset, {}).setdefault(manifest.agent, []).append(manifest)
        if not series:
            raise UsageError("no snapshot that counts is here")
        if len(series) > 1:
            names = ", ".join(found.hex() for found in sorted(series))
            raise UsageError(f"snapshots of several datasets are here; choose one with --dataset: {names}")
        (agents,) = series.values()
        return max((_head(manifests) for manifests in agents.values()), key=lambda head: (head.finished, head.id))


def _head(manifests: list[Manifest]) -> Manifest:
    """The last of one agent's chain for one dataset."""
    newest = max((manifest.epoch, manifest.sequence) for manifest in manifests)
    heads = [manifest for manifest in manifests if (manifest.epoch, manifest.sequence) == newest]
    if len(heads) > 1:
        ids = ", ".join(manifest.id.hex() for manifest in heads)
        raise FormatError(f"the chain of snapshots is forked; choose one by its id: {ids}")
    return heads[0]


def _readable_rosters(depot: Depot, warn: Warn):
    for roster_id in depot.list(Kind.ROSTER):
        try:
            yield decode_roster(depot.get(Kind.ROSTER, roster_id), roster_id)
        except (DepotError, FormatError, SignatureError) as error:
            warn(f"left aside: {error}")


def _is_first(roster: Roster, repository: bytes | None, root_public: bytes | None) -> bool:
    if roster.number != 1:
        return False
    if repository is not None:
        return roster.id == repository
    return root_public is None or roster.is_root_key(root_public)
