//! What a city calls things, and texts in both languages.

use serde::Deserialize;

/// A text in both languages.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wording {
    /// Indonesian.
    pub id: String,
    /// English.
    pub en: String,
}

/// `[vocabulary]`: the city's own terms, in Indonesian.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vocabulary {
    /// An agency: *Perangkat Daerah*, *SKPD*, *OPD*.
    pub pd: String,
    /// Its short form.
    pub pd_short: String,
    /// The agency that runs the data centre: *Dinas Komunikasi dan Informatika*.
    pub dinas: String,
    /// Its short form.
    pub dinas_short: String,
    /// The data centre: *Pusat Data*, *ruang server*.
    pub pusat_data: String,
    /// The other site: *Disaster Recovery Center*, *pusat data cadangan*.
    pub drc: String,
    /// An agency that runs its own IT: *PD Mandiri TIK*; empty where the regulation knows none.
    #[serde(default)]
    pub pd_mandiri: String,
    /// To whom the Dinas reports, as in `Wali Kota melalui Sekretaris Daerah`.
    #[serde(default)]
    pub reports_to: String,
}
