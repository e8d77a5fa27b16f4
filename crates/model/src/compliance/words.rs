//! Reasons in words, in Indonesian and in English, and as a code for programs.
//!
//! Invariant: codes never change; words may. Ids and times stand in the words as they are, so that a
//! caller that knows names and zones can show its own instead.

use std::fmt;

use super::{Reason, SiteKind};

impl SiteKind {
    /// As the table's readers call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Primary => "Pusat Data",
            Self::Drc => "DRC",
            Self::Other => "lain",
        }
    }
}

impl Reason {
    /// A stable word for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoAgent => "no-agent",
            Self::Never => "never",
            Self::OnlyPartial => "only-partial",
            Self::Unauthorized(_) => "unauthorized",
            Self::NoSite(_) => "no-site",
            Self::NoReceipt(_) => "no-receipt",
            Self::InventoryMissing(_) => "inventory-missing",
            Self::InventoryStale(..) => "inventory-stale",
            Self::InventoryAhead(..) => "inventory-ahead",
            Self::InventoryBroken(..) => "inventory-broken",
            Self::Hidden(..) => "hidden",
            Self::AwaitingInventory(_) => "awaiting-inventory",
            Self::Damaged(..) => "damaged",
            Self::LateSince(_) => "late",
            Self::ClockAhead(..) => "clock-ahead",
            Self::NotVerified => "not-verified",
            Self::VerificationExpired(_) => "verification-expired",
            Self::NotApart => "not-apart",
            Self::ApartExpired(_) => "apart-expired",
            Self::NotProven => "not-proven",
            Self::ProofFailed(..) => "proof-failed",
            Self::ProofExpired(_) => "proof-expired",
        }
    }

    /// In Indonesian; `site` gives a site's name.
    pub fn indonesian(&self, site: impl Fn(&crate::SiteId) -> String) -> String {
        match self {
            Self::NoAgent => "belum mencadangkan: tidak ada agen terdaftar".into(),
            Self::Never => "belum pernah ada cadangan yang diterima".into(),
            Self::OnlyPartial => "baru cadangan sebagian (parsial)".into(),
            Self::Unauthorized(m) => {
                format!("belum disahkan: agen cadangan {} tidak ada di roster", m.short())
            }
            Self::NoSite(kind) => format!("tidak ada lokasi {} di register", kind.name()),
            Self::NoReceipt(kind) => format!("tidak ada tanda terima dari {}", kind.name()),
            Self::InventoryMissing(s) => format!("{} belum menerbitkan inventaris", site(s)),
            Self::InventoryStale(s, at) => format!("inventaris {} terlalu lama ({at})", site(s)),
            Self::InventoryAhead(s, at) => {
                format!("inventaris {} bertanggal di masa depan ({at}): periksa jamnya", site(s))
            }
            Self::InventoryBroken(s, n) => {
                format!("rantai inventaris {} terputus pada nomor {n}", site(s))
            }
            Self::Hidden(s, m) => format!(
                "cadangan {} diterima {} tetapi hilang dari inventarisnya",
                m.short(),
                site(s)
            ),
            Self::AwaitingInventory(s) => {
                format!("diterima; menunggu inventaris berikutnya dari {}", site(s))
            }
            Self::Damaged(s, m, at) => {
                format!("cadangan {} rusak di {} menurut pemeriksaan {at}", m.short(), site(s))
            }
            Self::LateSince(at) => format!("terlambat sejak {at}"),
            Self::ClockAhead(m, at) => {
                format!("cadangan {} bertanggal di masa depan ({at}): periksa jam", m.short())
            }
            Self::NotVerified => "belum diverifikasi (scrub)".into(),
            Self::VerificationExpired(at) => {
                format!("verifikasi terakhir untuk cadangan {at}, terlalu lama")
            }
            Self::NotApart => "tidak ada cadangan yang disimpan terpisah dari Pusat Data".into(),
            Self::ApartExpired(at) => {
                format!("cadangan terpisah yang terbaru dari {at}, terlalu lama")
            }
            Self::NotProven => "belum pernah terbukti pulih".into(),
            Self::ProofFailed(at, n) => format!("uji pemulihan {at} gagal pada {n} entri"),
            Self::ProofExpired(at) => format!("bukti pemulihan terakhir {at}, sudah kedaluwarsa"),
        }
    }

    /// In English; `site` gives a site's name.
    pub fn english(&self, site: impl Fn(&crate::SiteId) -> String) -> String {
        match self {
            Self::NoAgent => "not backing up: no agent is enrolled".into(),
            Self::Never => "no snapshot ever arrived".into(),
            Self::OnlyPartial => "only partial snapshots so far".into(),
            Self::Unauthorized(m) => {
                format!("not authorized: no roster lists the agent of snapshot {}", m.short())
            }
            Self::NoSite(kind) => format!("no {} site is registered", kind.name()),
            Self::NoReceipt(kind) => format!("no receipt from a {} site", kind.name()),
            Self::InventoryMissing(s) => format!("{} has published no inventory", site(s)),
            Self::InventoryStale(s, at) => {
                format!("the inventory of {} is too old ({at})", site(s))
            }
            Self::InventoryAhead(s, at) => format!(
                "the inventory of {} is dated in the future ({at}): check its clock",
                site(s)
            ),
            Self::InventoryBroken(s, n) => {
                format!("the inventories of {} do not chain up at number {n}", site(s))
            }
            Self::Hidden(s, m) => {
                format!("{} receipted snapshot {} and does not list it", site(s), m.short())
            }
            Self::AwaitingInventory(s) => {
                format!("receipted; waiting for the next inventory of {}", site(s))
            }
            Self::Damaged(s, m, at) => {
                format!("snapshot {} is damaged at {} (scrub of {at})", m.short(), site(s))
            }
            Self::LateSince(at) => format!("late since {at}"),
            Self::ClockAhead(m, at) => {
                format!("snapshot {} is dated in the future ({at}): check the clock", m.short())
            }
            Self::NotVerified => "not verified by a scrub yet".into(),
            Self::VerificationExpired(at) => {
                format!("the last verified snapshot is of {at}, too old")
            }
            Self::NotApart => "no backup is kept apart from the Pusat Data".into(),
            Self::ApartExpired(at) => {
                format!("the newest backup kept apart is of {at}, too old")
            }
            Self::NotProven => "never proven restorable".into(),
            Self::ProofFailed(at, n) => format!("the restore test of {at} failed for {n} entries"),
            Self::ProofExpired(at) => format!("the last proof of restore is of {at}, expired"),
        }
    }
}

impl fmt::Display for Reason {
    /// In English, sites by the first digits of their ids.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.english(crate::SiteId::short))
    }
}
