//! Rules and duties as data: what is looked at, of whom, with which threshold, by which article, in which words.

use lumbung_wire::messages::register::{DatasetKind, Urgency};
use serde::Deserialize;

use super::Wording;

macro_rules! word {
    ($(#[$doc:meta])* $name:ident { $($(#[$item_doc:meta])* $item:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
        pub enum $name { $($(#[$item_doc])* #[serde(rename = $text)] $item),+ }

        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [Self] = &[$(Self::$item),+];

            /// As it stands in a profile.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$item => $text),+ }
            }
        }
    };
}

word! {
    /// What a rule looks at.
    Look {
        /// A dataset has a copy at the Pusat Data that is younger than its RPO.
        BackedUp = "backed_up",
        /// A dataset has a copy at the DRC that is younger than its RPO.
        AtDrc = "at_drc",
        /// A site has read a dataset's copy and found it whole.
        Verified = "verified",
        /// A restore of a dataset was compared.
        Proven = "proven",
        /// A dataset has a copy on a portable medium or another server, apart from the data-centre room.
        ApartMedium = "apart_medium",
        /// A dataset says who answers for it, its distribution, retention, place, period and media.
        Described = "described",
        /// A server stands in the Pusat Data.
        InPusatData = "in_pusat_data",
        /// A service has its SLA.
        HasSla = "has_sla",
        /// A service has a standby that takes over.
        HasStandby = "has_standby",
        /// A PD names whom to call first.
        HasContact = "has_contact",
        /// The source code of an application is deposited or backed up.
        SourceKept = "source_kept",
        /// There is a DRC.
        DrcExists = "drc_exists",
        /// The DRC is at another place than the Pusat Data.
        DrcElsewhere = "drc_elsewhere",
        /// The DRC is in another building than the Pusat Data.
        DrcOtherBuilding = "drc_other_building",
        /// The DRC lies within the city's own jurisdiction.
        DrcInJurisdiction = "drc_in_jurisdiction",
        /// The DRC is as far from the Pusat Data as the threshold says, kilometres.
        DrcDistance = "drc_distance",
        /// It is written down that the DRC's place is free of disaster and security risks.
        DrcAssessed = "drc_assessed",
    }
}

word! {
    /// What a rule is about.
    Subject {
        /// Datasets.
        Dataset = "dataset",
        /// Servers.
        Server = "server",
        /// Services.
        Service = "service",
        /// Applications.
        Application = "application",
        /// PD.
        Pd = "pd",
        /// The city's sites.
        City = "city",
    }
}

impl Look {
    /// What it is about.
    #[must_use]
    pub const fn subject(self) -> Subject {
        match self {
            Self::BackedUp
            | Self::AtDrc
            | Self::Verified
            | Self::Proven
            | Self::ApartMedium
            | Self::Described => Subject::Dataset,
            Self::InPusatData => Subject::Server,
            Self::HasSla | Self::HasStandby => Subject::Service,
            Self::HasContact => Subject::Pd,
            Self::SourceKept => Subject::Application,
            Self::DrcExists
            | Self::DrcElsewhere
            | Self::DrcOtherBuilding
            | Self::DrcInJurisdiction
            | Self::DrcDistance
            | Self::DrcAssessed => Subject::City,
        }
    }

    /// Whether it has a threshold in days.
    #[must_use]
    pub const fn takes_days(self) -> bool {
        matches!(self, Self::ApartMedium | Self::Verified | Self::Proven)
    }
}

word! {
    /// How strongly the article puts it.
    Force {
        /// *wajib*
        Must = "must",
        /// *harus*, or a duty that the article gives without that word.
        Shall = "shall",
        /// *dapat*: what is not so is no breach.
        May = "may",
        /// No article: a proposal (*usulan*).
        Proposal = "proposal",
    }
}

word! {
    /// Where data or a server is.
    Hosting {
        /// In the Pusat Data.
        PusatData = "pusat_data",
        /// Anywhere else.
        Elsewhere = "elsewhere",
    }
}

word! {
    /// Which PD.
    PdFilter {
        /// Those that run their own IT.
        Mandiri = "mandiri",
        /// Those that do not.
        NotMandiri = "not_mandiri",
        /// The one that runs the Pusat Data.
        Dinas = "dinas",
    }
}

/// Which of its subjects a rule applies to; what is not said does not narrow it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Where {
    /// Datasets and servers that are there.
    pub hosted: Option<Hosting>,
    /// Of these PD.
    pub pd: Option<PdFilter>,
    /// Datasets of these classes.
    pub urgency: Vec<Urgency>,
    /// Datasets of these kinds.
    pub kind: Vec<DatasetKind>,
    /// Services that the city cannot do without, or the others.
    pub critical: Option<bool>,
}

/// `[[rule]]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name: it never changes, so that verdicts of years can be compared.
    pub id: String,
    /// Rows of `docs/obligations.md` that it serves, as in `O1`.
    pub obligations: Vec<String>,
    /// The article, as it is cited; empty for a proposal.
    #[serde(default)]
    pub article: String,
    /// How strongly it is put.
    pub force: Force,
    /// What it looks at.
    pub look: Look,
    /// Whom it applies to.
    #[serde(default, rename = "where")]
    pub applies: Where,
    /// Threshold, days; none: that of `[evidence]`.
    #[serde(default)]
    pub within_days: Option<u32>,
    /// Threshold, kilometres.
    #[serde(default)]
    pub min_km: Option<f64>,
    /// The legal instrument that sets the threshold; empty: it is a proposal.
    #[serde(default)]
    pub instrument: String,
    /// What is asked for.
    pub asks: Wording,
}

word! {
    /// Who owes what falls due.
    DutyOf {
        /// Each PD.
        Pd = "pd",
        /// Each PD that runs its own IT.
        PdMandiri = "pd_mandiri",
        /// The Dinas.
        Dinas = "dinas",
        /// Each application's PD, for that application.
        Application = "application",
        /// Each service's PD, for that service.
        Service = "service",
    }
}

/// `[[duty]]`: a document, a report, a review or a drill that is owed by date.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Duty {
    /// Its name: it never changes.
    pub id: String,
    /// Rows of `docs/obligations.md` that it serves.
    pub obligations: Vec<String>,
    /// The article, as it is cited; empty for a proposal.
    #[serde(default)]
    pub article: String,
    /// How strongly it is put.
    pub force: Force,
    /// Who owes it.
    pub of: DutyOf,
    /// How often, months; none: once.
    #[serde(default)]
    pub every_months: Option<u32>,
    /// Months after the beginning of its period (or after its subject was entered, for what is owed once) at which it is
    /// due; none: at the period's end (a month after the entry).
    #[serde(default)]
    pub due_months: Option<u32>,
    /// The legal instrument that sets the interval; empty: it is a proposal unless the article says it.
    #[serde(default)]
    pub instrument: String,
    /// Whether the article itself says how often.
    #[serde(default)]
    pub interval_by_article: bool,
    /// What is owed.
    pub asks: Wording,
}
