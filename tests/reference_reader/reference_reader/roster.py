"""Section 5: rosters, and the chain from number 1 to the newest.

`RosterChain.follow` accepts a successor only if it names its predecessor and is signed as the section says. Agents keep
their domain through the whole chain.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from .codec import Reader
from .errors import FormatError, SignatureError
from .header import ZERO_ID, Kind, check_signature, read_header
from .limits import ROSTER_MAX_AGENTS, ROSTER_MAX_RECIPIENTS, ROSTER_MAX_ROOT_KEYS, ROSTER_MAX_SITES


@dataclass(frozen=True)
class RootKey:
    key: bytes
    role: int
    label: str


@dataclass(frozen=True)
class Recipient:
    key: bytes
    label: str


@dataclass(frozen=True)
class Agent:
    agent: bytes
    key: bytes
    domain: bytes
    withdrawn: bool
    label: str


@dataclass(frozen=True)
class Site:
    site: bytes
    receipt_key: bytes
    tls_pin: bytes
    label: str


@dataclass(frozen=True)
class Roster:
    id: bytes
    header_repository: bytes
    number: int
    previous: bytes
    created: int
    chunk_sizes: tuple[int, int, int]
    root_keys: tuple[RootKey, ...]
    registrar: bytes | None
    recipients: tuple[Recipient, ...]
    agents: tuple[Agent, ...]
    sites: tuple[Site, ...]
    signer: bytes

    def is_root_key(self, key: bytes) -> bool:
        return any(root.key == key for root in self.root_keys)

    def agent(self, agent_id: bytes) -> Agent | None:
        return next((entry for entry in self.agents if entry.agent == agent_id), None)

    def site(self, site_id: bytes) -> Site | None:
        return next((entry for entry in self.sites if entry.site == site_id), None)

    def recipient_keys(self) -> set[bytes]:
        return {recipient.key for recipient in self.recipients}


def _choice(reader: Reader, value: int, allowed: tuple[int, ...], name: str) -> int:
    if value not in allowed:
        raise reader.error(f"{name} {value} is not known")
    return value


def _distinct(reader: Reader, keys: Iterable[bytes], name: str) -> None:
    keys = list(keys)
    if len(set(keys)) != len(keys):
        raise reader.error(f"two {name} are equal")


def _read_root_keys(reader: Reader) -> tuple[RootKey, ...]:
    count = reader.count(reader.u8(), 1, ROSTER_MAX_ROOT_KEYS, "root keys")
    keys = tuple(
        RootKey(reader.take(32), _choice(reader, reader.u8(), (0, 1), "role"), reader.string()) for _ in range(count)
    )
    _distinct(reader, (entry.key for entry in keys), "root keys")
    return keys


def _read_recipients(reader: Reader) -> tuple[Recipient, ...]:
    recipients = []
    for _ in range(reader.count(reader.u16(), 1, ROSTER_MAX_RECIPIENTS, "recipients")):
        _choice(reader, reader.u8(), (1,), "recipient algorithm")
        recipients.append(Recipient(reader.take(32), reader.string()))
    _distinct(reader, (entry.key for entry in recipients), "recipients")
    return tuple(recipients)


def _read_agents(reader: Reader) -> tuple[Agent, ...]:
    agents = []
    for _ in range(reader.count(reader.u16(), 0, ROSTER_MAX_AGENTS, "agents")):
        agent, key, domain = reader.take(16), reader.take(32), reader.take(16)
        withdrawn = _choice(reader, reader.u8(), (0, 1), "agent status") == 1
        agents.append(Agent(agent, key, domain, withdrawn, reader.string()))
    _distinct(reader, (entry.agent for entry in agents), "agent ids")
    _distinct(reader, (entry.key for entry in agents), "agent keys")
    return tuple(agents)


def _read_sites(reader: Reader) -> tuple[Site, ...]:
    count = reader.count(reader.u16(), 0, ROSTER_MAX_SITES, "sites")
    sites = tuple(Site(reader.take(16), reader.take(32), reader.take(32), reader.string()) for _ in range(count))
    _distinct(reader, (entry.site for entry in sites), "site ids")
    return sites


def decode_roster(data: bytes, roster_id: bytes) -> Roster:
    """Decodes a roster and verifies its signature; whether its signer is entitled is the chain's business."""
    what = f"roster {roster_id.hex()}"
    body, signature = check_signature(data, what)
    reader = Reader(body, what)
    repository = read_header(reader, Kind.ROSTER)
    number, previous, created = reader.u32(), reader.take(32), reader.i64()
    _choice(reader, reader.u8(), (1,), "chunker")
    least, average, most = reader.u32(), reader.u32(), reader.u32()
    if average == 0 or average & (average - 1):
        raise reader.error("the average chunk size is not a power of two")
    root_keys = _read_root_keys(reader)
    registrar = reader.take(32) if _choice(reader, reader.u8(), (0, 1), "registrar mark") else None
    recipients, agents, sites = _read_recipients(reader), _read_agents(reader), _read_sites(reader)
    reader.finish()
    return Roster(roster_id, repository, number, previous, created, (least, average, most), root_keys, registrar,
                  recipients, agents, sites, signature.signer)


def _only_adds_agents(old: Roster, new: Roster) -> bool:
    """Whether `new` is `old` but for number, predecessor, time, signer and agents that were added."""
    kept = tuple(agent for agent in new.agents if agent in old.agents)
    known = {agent.agent for agent in old.agents}
    if kept != old.agents or any(agent.agent in known for agent in new.agents if agent not in old.agents):
        return False
    return replace(new, id=old.id, header_repository=old.header_repository, number=old.number, previous=old.previous,
                   created=old.created, agents=old.agents, signer=old.signer) == old


class RosterChain:
    """Rosters 1, 2, 3 … of one repository, each checked against the one before."""

    def __init__(self, first: Roster):
        if first.number != 1 or first.previous != ZERO_ID or first.header_repository != ZERO_ID:
            raise FormatError(f"roster {first.id.hex()}: is not the first of a chain")
        if not first.is_root_key(first.signer):
            raise SignatureError(f"roster {first.id.hex()}: is not signed by one of its own root keys")
        self.rosters = [first]
        self._domains = {agent.agent: agent.domain for agent in first.agents}

    @property
    def repository(self) -> bytes:
        return self.rosters[0].id

    @property
    def newest(self) -> Roster:
        return self.rosters[-1]

    def by_number(self, number: int) -> Roster | None:
        return self.rosters[number - 1] if 1 <= number <= len(self.rosters) else None

    def push(self, roster: Roster) -> None:
        last, what = self.newest, f"roster {roster.id.hex()}"
        if roster.header_repository != self.repository:
            raise FormatError(f"{what}: belongs to another repository")
        if roster.number != last.number + 1 or roster.previous != last.id:
            raise FormatError(f"{what}: does not follow roster number {last.number}")
        if not last.is_root_key(roster.signer):
            if last.registrar is None or roster.signer != last.registrar:
                raise SignatureError(f"{what}: its signer is neither a root key nor the registrar of number {last.number}")
            if not _only_adds_agents(last, roster):
                raise SignatureError(f"{what}: the registrar changed more than adding agents")
        for agent in roster.agents:
            if self._domains.setdefault(agent.agent, agent.domain) != agent.domain:
                raise FormatError(f"{what}: agent {agent.agent.hex()} changed its domain")
        self.rosters.append(roster)

    def follow(self, rosters: Iterable[Roster], warn) -> None:
        """Takes every successor; refuses to choose where two rosters of one number are both valid."""
        by_previous: dict[bytes, list[Roster]] = {}
        for roster in rosters:
            by_previous.setdefault(roster.previous, []).append(roster)
        while True:
            valid = []
            for candidate in by_previous.get(self.newest.id, []):
                probe = RosterChain(self.rosters[0])
                probe.rosters, probe._domains = list(self.rosters), dict(self._domains)
                try:
                    probe.push(candidate)
                    valid.append(candidate)
                except (FormatError, SignatureError) as error:
                    warn(f"left aside: {error}")
            if not valid:
                return
            if len(valid) > 1:
                ids = ", ".join(roster.id.hex() for roster in valid)
                raise FormatError(f"two rosters have number {valid[0].number}: {ids}; ask the key custodian which is right")
            self.push(valid[0])

    def lists(self, agent: bytes, key: bytes, domain: bytes) -> bool:
        """Whether the newest roster lists this agent with this key and domain, in either status."""
        entry = self.newest.agent(agent)
        return entry is not None and entry.key == key and entry.domain == domain

    def ever_listed(self, agent: bytes, key: bytes, domain: bytes) -> bool:
        """Whether any roster of the chain lists this agent with this key and domain."""
        entries = (roster.agent(agent) for roster in self.rosters)
        return any(entry is not None and entry.key == key and entry.domain == domain for entry in entries)

    def knows_agent(self, agent: bytes) -> bool:
        return agent in self._domains
