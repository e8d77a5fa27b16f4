//! What can go wrong between a client and a server, told apart by what to do about it.

use lumbung_model::TlsPin;
use lumbung_pack::{Kind, Missing};
use rustls::{AlertDescription, CertificateError};

use crate::problem::Problem;
use crate::tls::TrustFailure;

/// Why a request was not answered as wished. `server` is the address as configured.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers there, or the line broke.
    #[error(
        "{server} cannot be reached; check that it runs and that the network lets this machine through"
    )]
    Unreachable {
        /// The server.
        server: String,
        /// What the system said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It stopped answering in the middle.
    #[error(
        "{server} did not answer for {seconds} s; try again, and look at its log if it repeats"
    )]
    Stalled {
        /// The server.
        server: String,
        /// How long was waited.
        seconds: u64,
    },
    /// It refused, and said why.
    #[error("{server} refused: {problem}")]
    Refused {
        /// The server.
        server: String,
        /// Why.
        problem: Box<Problem>,
    },
    /// It does not accept our certificate.
    #[error(
        "{server} does not accept this machine's certificate ({reason}); renew it, or enrol again"
    )]
    Identity {
        /// The server.
        server: String,
        /// What TLS says.
        reason: String,
    },
    /// It has another key than the pinned one.
    #[error(
        "{server} shows the TLS key {seen}, pinned {}; if the site was given a new key, add it with a new roster (or update the register), otherwise somebody stands in between: do not go on",
        if pinned.len() == 1 { format!("is {}", pinned[0]) } else { format!("are {pinned:?}") }
    )]
    Pin {
        /// The server.
        server: String,
        /// What was expected.
        pinned: Vec<TlsPin>,
        /// What it shows.
        seen: TlsPin,
    },
    /// Its certificate is not one of the city's CA.
    #[error("{server} is not to be trusted: {reason}")]
    Untrusted {
        /// The server.
        server: String,
        /// Why, and what to do.
        reason: String,
    },
    /// An object is not what its id says: the server's copy is damaged, or the server lies.
    #[error("{server} sent a damaged {} {id}; read it from another site, and have this one scrubbed", kind.name())]
    Damaged {
        /// The server.
        server: String,
        /// The kind of the object.
        kind: Kind,
        /// Its id, hex.
        id: String,
    },
    /// An answer that no server of this version gives.
    #[error(
        "{server} answered in a way that this program does not understand: {reason}; compare the versions of both"
    )]
    Protocol {
        /// The server.
        server: String,
        /// What was wrong.
        reason: String,
    },
    /// The client could not be set up.
    #[error("{url:?} is not an https address; write it like https://vault.example.go.id:8443")]
    Address {
        /// As configured.
        url: String,
    },
}

impl ClientError {
    /// Whether the same request may succeed later, or at another site, without anybody's doing.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Stalled { .. } => true,
            Self::Refused { problem, .. } => {
                matches!(problem.status, 408 | 429 | 500 | 502 | 503 | 504 | 507)
            }
            Self::Identity { .. }
            | Self::Pin { .. }
            | Self::Untrusted { .. }
            | Self::Damaged { .. }
            | Self::Protocol { .. }
            | Self::Address { .. } => false,
        }
    }

    /// Whether the server says that it does not have it.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.problem().is_some_and(|problem| problem.status == 404)
    }

    /// The server's refusal, if it was one.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Refused { problem, .. } => Some(problem),
            _ => None,
        }
    }

    /// What a refused commit lacks.
    #[must_use]
    pub fn missing(&self) -> Option<&Missing> {
        self.problem().and_then(|problem| problem.missing.as_deref())
    }

    /// Reads out of a transport error what TLS said, if it was TLS.
    pub(super) fn from_transport(server: &str, error: reqwest::Error) -> Self {
        let server = server.to_owned();
        match tls_error(&error) {
            Some(rustls::Error::InvalidCertificate(refusal)) => untrusted(server, refusal),
            Some(rustls::Error::AlertReceived(alert)) if is_about_us(*alert) => {
                Self::Identity { server, reason: alert_reason(*alert) }
            }
            _ => Self::Unreachable { server, source: Box::new(error.without_url()) },
        }
    }
}

/// The TLS error among the causes. An I/O error hides its content from `source`.
fn tls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        cause = match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(inside) => Some(inside),
            None => error.source(),
        };
    }
    None
}

fn untrusted(server: String, refusal: &CertificateError) -> ClientError {
    if let CertificateError::Other(other) = refusal
        && let Some(failure) = other.0.downcast_ref::<TrustFailure>()
    {
        return match failure {
            TrustFailure::Pin { expected, seen } => {
                ClientError::Pin { server, pinned: expected.clone(), seen: *seen }
            }
            TrustFailure::OtherAuthority(_) | TrustFailure::NotController => {
                ClientError::Untrusted {
                    server,
                    reason: format!(
                        "{failure}; compare address and fingerprint with what the controller printed"
                    ),
                }
            }
        };
    }
    let reason = match refusal {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired by this machine's clock; check the clock, else renew it there".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "its certificate is for another name; check the address".to_owned()
        }
        CertificateError::UnknownIssuer => {
            "its certificate is not one of the trusted CA; check the address, or enrol again if the CA was changed"
                .to_owned()
        }
        other => format!("its certificate is not valid ({other})"),
    };
    ClientError::Untrusted { server, reason }
}

fn is_about_us(alert: AlertDescription) -> bool {
    use AlertDescription as A;
    matches!(
        alert,
        A::BadCertificate
            | A::UnsupportedCertificate
            | A::CertificateRevoked
            | A::CertificateExpired
            | A::CertificateUnknown
            | A::UnknownCA
            | A::AccessDenied
            | A::CertificateRequired
            | A::DecryptError
    )
}

fn alert_reason(alert: AlertDescription) -> String {
    use AlertDescription as A;
    match alert {
        A::CertificateExpired => "it has expired".to_owned(),
        A::CertificateRevoked => "it has been revoked".to_owned(),
        A::UnknownCA => "it is not one of the CA that the server trusts".to_owned(),
        A::CertificateRequired => "none was shown".to_owned(),
        other => format!("{other:?}"),
    }
}
