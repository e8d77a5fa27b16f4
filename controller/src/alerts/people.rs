//! Who can be told: the register's contact persons, whoever is on call, and the recipients of the configuration.
//!
//! Invariants: only whoever has an address of a channel that is set up; a PD's contact person is told of its own PD only,
//! unless it is the Dinas's. Pure: the database is read elsewhere.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use lumbung_model::{PdId, SiteId, Timestamp};
use lumbung_wire::messages::alerts::{ChannelKind, OnCall};
use lumbung_wire::messages::register::{ContactPerson, Pd, Site};

use super::address::{Address, Recipient, RecipientKey};
use super::route::Audience;
use super::settings::Named;

/// Everybody who can be told.
#[derive(Debug, Clone, Default)]
pub struct People {
    all: BTreeMap<RecipientKey, Recipient>,
    /// By PD and tier: those for all services before those for one.
    contacts: HashMap<(PdId, u8), Vec<RecipientKey>>,
    on_call: Vec<(u8, Timestamp, Timestamp, RecipientKey)>,
    dinas: BTreeSet<PdId>,
    codes: HashMap<PdId, String>,
    sites: HashMap<SiteId, String>,
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
        for person in for_all.into_iter().chain(for_one) {
            people.add_contact(person, channels);
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

    fn add_contact(&mut self, person: ContactPerson, channels: &BTreeSet<ChannelKind>) {
        let key = RecipientKey::Contact(person.id);
        let place = (person.pd, person.tier);
        // Whoever answers for one service is asked where nobody answers for all of them.
        if person.service.is_some() && self.is_general(&place) {
            return;
        }
        let addresses = addresses(channels, &person.email, &person.telegram, "");
        if self.add(key.clone(), person.name, Some(person.pd), addresses) {
            self.contacts.entry(place).or_default().push(key);
        }
    }

    fn is_general(&self, place: &(PdId, u8)) -> bool {
        self.contacts.contains_key(place)
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

    /// Who is meant at `now`, of what is about that PD.
    #[must_use]
    pub fn resolve(
        &self,
        audiences: &[Audience],
        pd: Option<PdId>,
        now: Timestamp,
    ) -> BTreeSet<RecipientKey> {
        audiences.iter().flat_map(|audience| self.of(audience, pd, now)).collect()
    }

    fn of(&self, audience: &Audience, pd: Option<PdId>, now: Timestamp) -> Vec<RecipientKey> {
        match audience {
            Audience::Pd(tier) => pd.map_or_else(Vec::new, |pd| self.contacts_of(pd, *tier)),
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
