//! How many bytes a repository and each of its dedup domains keep: counted once, then carried along.
//! Pure.

use std::collections::HashMap;

use lumbung_model::DomainId;

/// Bytes kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Ledger {
    packs: u64,
    bytes: u64,
    domains: HashMap<DomainId, u64>,
}

impl Ledger {
    pub(crate) fn add(&mut self, domain: &DomainId, bytes: u64) {
        self.bytes += bytes;
        *self.domains.entry(*domain).or_default() += bytes;
    }

    pub(crate) fn add_pack(&mut self, domain: &DomainId, bytes: u64) {
        self.packs += 1;
        self.add(domain, bytes);
    }

    /// Takes over what the index counted for one domain.
    pub(crate) fn load(&mut self, domain: &DomainId, packs: u64, bytes: u64) {
        self.packs += packs;
        self.add(domain, bytes);
    }

    pub(crate) fn subtract(&mut self, domain: &DomainId, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
        if let Some(kept) = self.domains.get_mut(domain) {
            *kept = kept.saturating_sub(bytes);
        }
    }

    pub(crate) fn subtract_pack(&mut self, domain: &DomainId, bytes: u64) {
        self.packs = self.packs.saturating_sub(1);
        self.subtract(domain, bytes);
    }

    pub(crate) const fn packs(&self) -> u64 {
        self.packs
    }

    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn domain_bytes(&self, domain: &DomainId) -> u64 {
        self.domains.get(domain).copied().unwrap_or(0)
    }
}
