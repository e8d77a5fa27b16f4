//! Who may call what.
//!
//! Invariants: pure; every route states its access; what is not in the table is refused. Operators are
//! people of the Dinas; agents and sites see nothing of the register but their own answer.

use lumbung_wire::{Peer, Problem, Role};

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody, without a certificate.
    Anyone,
    /// Agents, about themselves.
    Agent,
    /// Whoever has a certificate that it may renew: agents, sites, operators.
    Holder,
    /// Operators.
    Operator,
}

impl Access {
    /// Whether the peer may call it.
    ///
    /// # Errors
    /// The refusal: 401 without a certificate, 403 with another one.
    pub fn check(self, peer: &Peer) -> Result<(), Problem> {
        if self == Self::Anyone {
            return Ok(());
        }
        let role = match peer {
            Peer::Anonymous => {
                return Err(Problem::certificate_needed(
                    "enrol first (agents, sites), or use the operator's certificate",
                ));
            }
            Peer::RootKey(_) => None,
            Peer::Certified(identity) => Some(identity.role),
        };
        let allowed: &[Role] = match self {
            Self::Anyone => &[],
            Self::Agent => &[Role::Agent],
            Self::Holder => &[Role::Agent, Role::Site, Role::Operator],
            Self::Operator => &[Role::Operator],
        };
        match role {
            Some(role) if allowed.contains(&role) => Ok(()),
            _ => Err(Problem::forbidden(format!(
                "this is not for {}: use the certificate that it is for",
                peer.role_name()
            ))),
        }
    }

    /// For the documentation of the API.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Anyone => "No certificate needed.",
            Self::Agent => "Client certificate of an agent; it speaks for itself only.",
            Self::Holder => "Client certificate of an agent, a site or an operator.",
            Self::Operator => "Client certificate of an operator.",
        }
    }
}
