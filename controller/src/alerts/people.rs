//! Who can be told: the register's contact persons, whoever is on call, and the recipients of the configuration.
//!
//! Invariants: only whoever has an address of a channel that is set up; a PD's contact person is told of its own PD only,
//! unless it is the Dinas's; who answers for a service comes before who answers for its PD. Pure: the database is read elsewhere.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use lumbung_model::{PdId, ServiceId, SiteId, Timestamp};
use lumbung_wire::messages::alerts::{ChannelKind, OnCall};
use lumbung_wire::messages::register::{ContactPerson, Pd, Site};

use super::address::{Address, Recipient, RecipientKey};
use super::route::Audience;
use super::settings::Named;

/// Everybody who can be told.
#[derive(Debug, Clone, Default)]
pub struct People {
    all: BTreeMap<RecipientKey, Recipient>,
    /// By PD and tier: those for all services; where there are none, those for one.
    contacts: HashMap<(PdId, u8), Vec<RecipientKey>>,
    /// By service and tier.
    of_services: HashMap<(ServiceId, u8), Vec<RecipientKey>>,
    on_call: Vec<(u8, Timestamp, Timestamp, RecipientKey)>,
    dinas: BTreeSet<PdId>,
    codes: HashMap<PdId, String>,
    sites: HashMap<SiteId, String>,
}

/// What an alert is about, as far as it decides who is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct About {
    /// Whose data.
    pub pd: Option<PdId>,
    /// Which service of the PD.
    pub service: Option<ServiceId>,
    /// Whether the first step reached nobody who looks after it: the PD's people are told beside the service's then.
    pub escalated: bool,
}

/// What the register and the roster say.
#[derive(Debug, Default)]
pub struct Sources {
    /// The PD.
    pub pds: Vec<Pd>,
    /// The sites.
    pub sites: Vec<Site>,
    /// Contact persons that are not retired.
    pub contacts: Vec<ContactPerson>,
    /// Whoever is on call now or soon.
    pub on_call: Vec<OnCall>,
}

/// The addresses of somebody, mail first: it holds more, and is there when a telephone is not.
fn addresses(
    channels: &BTreeSet<ChannelKind>,
    email: &str,
    telegram: &str,
    webhook: &str,
) -> Vec<Address> {
    [(ChannelKind::Mail, email), (ChannelKind::Telegram, telegram), (ChannelKind::Webhook, webhook)]
        .into_iter()
        .filter(|(channel, to)| !to.is_empty() && channels.contains(channel))
        .map(|(channel, to)| Address { channel, to: to.to_owned() })
        .collect()
}

impl People {
    /// Those who can be told by these channels.
    #[must_use]
    pub fn new(sources: Sources, named: &[Named], channels: &BTreeSet<ChannelKind>) -> Self {
        let mut people = Self::default();
        for pd in sources.pds {
            if pd.runs_pusat_data {
                people.dinas.insert(pd.id);
            }
            people.codes.insert(pd.id, pd.code);
        }
        people.sites = sources.sites.into_iter().map(|site| (site.id, site.name)).collect();
        let (for_all, for_one): (Vec<_>, Vec<_>) =
            sources.contacts.into_iter().partition(|person| person.service.is_none());
        for person in for_all {
            let place = (person.pd, person.tier);
            if let Some(key) = people.add_contact(person, channels) {
                people.contacts.entry(place).or_default().push(key);
            }
        }
        let general: BTreeSet<(PdId, u8)> = people.contacts.keys().copied().collect();
        for person in for_one {
            let (place, service) = ((person.pd, person.tier), person.service);
            let Some(key) = people.add_contact(person, channels) else { continue };
            if let Some(service) = service {
                people.of_services.entry((service, place.1)).or_default().push(key.clone());
            }
            // Whoever answers for one service is asked about the others where nobody answers for all of them.
            if !general.contains(&place) {
                people.contacts.entry(place).or_default().push(key);
            }
        }
        for one in sources.on_call {
            let key = RecipientKey::OnCall(one.id);
            let addresses = addresses(channels, &one.email, &one.telegram, "");
            if people.add(key.clone(), one.name, None, addresses) {
                people.on_call.push((one.tier, one.from, one.until, key));
            }
        }
        for one in named {
            let addresses = addresses(channels, &one.mail, &one.telegram, &one.webhook);
            people.add(RecipientKey::Named(one.name.clone()), one.name.clone(), None, addresses);
        }
        people
    }

    /// Their key, if they have an address.
    fn add_contact(
        &mut self,
        person: ContactPerson,
        channels: &BTreeSet<ChannelKind>,
    ) -> Option<RecipientKey> {
        let key = RecipientKey::Contact(person.id);
        let addresses = addresses(channels, &person.email, &person.telegram, "");
        self.add(key.clone(), person.name, Some(person.pd), addresses).then_some(key)
    }

    /// Whether there is an address.
    fn add(
        &mut self,
        key: RecipientKey,
        name: String,
        pd: Option<PdId>,
        addresses: Vec<Address>,
    ) -> bool {
        let reachable = !addresses.is_empty();
        if reachable {
            self.all.insert(key.clone(), Recipient { key, name, pd, addresses });
        }
        reachable
    }

    /// Who is meant at `now`.
    #[must_use]
    pub fn resolve(
        &self,
        audiences: &[Audience],
        about: About,
        now: Timestamp,
    ) -> BTreeSet<RecipientKey> {
        audiences.iter().flat_map(|audience| self.of(audience, about, now)).collect()
    }

    fn of(&self, audience: &Audience, about: About, now: Timestamp) -> Vec<RecipientKey> {
        match audience {
            Audience::Pd(tier) => self.answering(about, *tier),
            Audience::OnCall(tier) => {
                let found = self.on_call(*tier, now);
                if found.is_empty() { self.dinas() } else { found }
            }
            Audience::Dinas => self.dinas(),
            Audience::Named(name) => {
                let key = RecipientKey::Named(name.clone());
                self.all.contains_key(&key).then_some(key).into_iter().collect()
            }
        }
    }

    /// Whoever answers for the service, if anybody does; else, and once nobody has looked after it, whoever answers for the PD.
    fn answering(&self, about: About, tier: u8) -> Vec<RecipientKey> {
        let of_service = about.service.and_then(|service| self.of_services.get(&(service, tier)));
        let mut found = of_service.cloned().unwrap_or_default();
        if found.is_empty() || about.escalated {
            found.extend(about.pd.into_iter().flat_map(|pd| self.contacts_of(pd, tier)));
        }
        found
    }

    fn contacts_of(&self, pd: PdId, tier: u8) -> Vec<RecipientKey> {
        self.contacts.get(&(pd, tier)).cloned().unwrap_or_default()
    }

    /// Contact persons of the first tier that has any.
    fn dinas(&self) -> Vec<RecipientKey> {
        let of_tier = |tier| self.dinas.iter().flat_map(move |pd| self.contacts_of(*pd, tier));
        let tiers = (1..=3).map(|tier| of_tier(tier).collect::<Vec<_>>());
        tiers.into_iter().find(|found| !found.is_empty()).unwrap_or_default()
    }

    /// Whoever is on call in that tier at `now`.
    #[must_use]
    pub fn on_call(&self, tier: u8, now: Timestamp) -> Vec<RecipientKey> {
        let lasts = |one: &&(u8, Timestamp, Timestamp, RecipientKey)| {
            one.0 == tier && (one.1..one.2).contains(&now)
        };
        self.on_call.iter().filter(lasts).map(|one| one.3.clone()).collect()
    }

    /// Somebody.
    #[must_use]
    pub fn get(&self, key: &RecipientKey) -> Option<&Recipient> {
        self.all.get(key)
    }

    /// Whether two names have one first address: whoever reads there knows what the other was told.
    #[must_use]
    pub fn share(&self, one: &RecipientKey, other: &RecipientKey) -> bool {
        let first = |key| self.get(key).and_then(|found| found.addresses.first());
        first(one).zip(first(other)).is_some_and(|(one, other)| one.is_same(other))
    }

    /// Whether every address of somebody is among those of the others.
    #[must_use]
    pub fn covered(&self, key: &RecipientKey, others: &[&RecipientKey]) -> bool {
        let of = |key| self.get(key).map_or(&[][..], |found| &found.addresses);
        let among = |one: &Address| others.iter().any(|key| of(key).iter().any(|o| o.is_same(one)));
        of(key).iter().all(among)
    }

    /// One of them for each first address, of what is about that PD, with those for whom it stands: its own contact person, then
    /// whoever has more addresses to go on with. Whoever has gone meanwhile stays among them.
    #[must_use]
    pub fn apart(
        &self,
        keys: &BTreeSet<RecipientKey>,
        pd: Option<PdId>,
    ) -> Vec<(RecipientKey, Vec<RecipientKey>)> {
        let rank = |key: &&RecipientKey| {
            let found = self.get(key);
            let foreign = pd.is_none() || found.is_none_or(|one| one.pd != pd);
            (foreign, Reverse(found.map_or(0, |one| one.addresses.len())))
        };
        let mut ranked: Vec<&RecipientKey> = keys.iter().collect();
        ranked.sort_by_key(rank);
        let mut apart: Vec<(RecipientKey, Vec<RecipientKey>)> = Vec::new();
        for key in ranked {
            match apart.iter_mut().find(|(other, _)| self.share(other, key)) {
                Some((_, beside)) => beside.push(key.clone()),
                None => apart.push((key.clone(), Vec::new())),
            }
        }
        apart
    }

    /// The PD's code.
    #[must_use]
    pub fn pd_code(&self, pd: &PdId) -> Option<&str> {
        self.codes.get(pd).map(String::as_str)
    }

    /// The site's name.
    #[must_use]
    pub fn site_name(&self, site: &SiteId) -> Option<&str> {
        self.sites.get(site).map(String::as_str)
    }
}

/// From when to when nobody of a tier is on call, between two times.
#[must_use]
pub fn gaps(
    roster: &[OnCall],
    tier: u8,
    from: Timestamp,
    until: Timestamp,
) -> Vec<(Timestamp, Timestamp)> {
    let mut turns: Vec<_> = roster.iter().filter(|one| one.tier == tier).collect();
    turns.sort_by_key(|one| one.from);
    let (mut gaps, mut covered) = (Vec::new(), from);
    for turn in turns {
        if turn.from >= until {
            break;
        }
        if turn.from > covered {
            gaps.push((covered, turn.from));
        }
        covered = covered.max(turn.until);
    }
    if covered < until {
        gaps.push((covered, until));
    }
    gaps
}
