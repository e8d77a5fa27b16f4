//! Roles, what each may do, and how much of the city it sees. Pure.

use lumbung_model::{PdId, UserId};
use lumbung_wire::audit::Actor;
use lumbung_wire::messages::people::{SessionState, UserRole};

/// Something that not everybody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// See register, compliance, alarms: of the PD within the caller's scope.
    Read,
    /// See what belongs to no PD: sites, alarms of sites, the state of the controller.
    ReadCity,
    /// Change the register, give out enrolment tokens, have the vaults asked.
    WriteRegister,
    /// Hand in what a custodian signed: a proof of restore, a policy's confirmation.
    HandInProof,
    /// Hand in what is owed by date.
    Deliver,
    /// Say that somebody looks after an alert.
    LookAfter,
    /// Keep accounts.
    KeepAccounts,
    /// Read the audit log.
    ReadAudit,
    /// Ask for what a second person has to confirm.
    AskTwo,
    /// See what waits for a second person: of the PD within the caller's scope.
    ReadApprovals,
    /// Confirm what somebody else asked for, or refuse it: what exactly depends on the role again.
    Decide,
    /// Whatever one does with one's own account.
    OwnAccount,
}

/// Whether the role may do it.
#[must_use]
pub const fn may(role: UserRole, permission: Permission) -> bool {
    use Permission as P;
    use UserRole as R;
    match permission {
        P::Read | P::OwnAccount => true,
        P::ReadCity => matches!(role, R::Admin | R::Operator | R::Auditor),
        P::WriteRegister | P::AskTwo => matches!(role, R::Admin | R::Operator),
        P::HandInProof | P::Decide => matches!(role, R::Admin | R::Operator | R::Custodian),
        P::ReadApprovals => {
            matches!(role, R::Admin | R::Operator | R::Custodian | R::Auditor)
        }
        P::Deliver | P::LookAfter => matches!(role, R::Admin | R::Operator | R::Pd | R::Custodian),
        P::KeepAccounts => matches!(role, R::Admin),
        P::ReadAudit => matches!(role, R::Admin | R::Operator | R::Auditor),
    }
}

/// Whether using it changes something: what a token that only reads may not.
#[must_use]
pub const fn changes(permission: Permission) -> bool {
    use Permission as P;
    matches!(
        permission,
        P::WriteRegister
            | P::HandInProof
            | P::Deliver
            | P::LookAfter
            | P::KeepAccounts
            | P::AskTwo
            | P::Decide
            | P::OwnAccount
    )
}

/// Whether accounts of this role belong to one PD.
#[must_use]
pub const fn is_of_a_pd(role: UserRole) -> bool {
    matches!(role, UserRole::Pd | UserRole::Custodian)
}

/// Whether accounts of this role need a second factor.
#[must_use]
pub const fn needs_totp(role: UserRole) -> bool {
    matches!(role, UserRole::Admin | UserRole::Operator | UserRole::Custodian)
}

/// How much of the city somebody sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All of it.
    City,
    /// One PD, and nothing of any other.
    Pd(PdId),
}

impl Scope {
    /// The one PD, if it is not the city.
    #[must_use]
    pub const fn pd(self) -> Option<PdId> {
        match self {
            Self::City => None,
            Self::Pd(pd) => Some(pd),
        }
    }

    /// Whether what is this PD's may be seen.
    #[must_use]
    pub fn sees(self, pd: PdId) -> bool {
        self.pd().is_none_or(|own| own == pd)
    }
}

/// Who calls.
#[derive(Debug, Clone)]
pub struct Principal {
    /// As the audit log names it.
    pub actor: Actor,
    /// The account, if it has one.
    pub user: Option<UserId>,
    /// What it may do.
    pub role: UserRole,
    /// How much it sees.
    pub scope: Scope,
    /// Whether it may change anything.
    pub writes: bool,
    /// What its session is good for.
    pub state: SessionState,
}

impl Principal {
    /// Whether it may do it.
    #[must_use]
    pub fn may(&self, permission: Permission) -> bool {
        may(self.role, permission) && (self.writes || !changes(permission))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_do_what() {
        use Permission as P;
        let all = [
            (P::Read, "admin operator pd custodian auditor"),
            (P::ReadCity, "admin operator auditor"),
            (P::WriteRegister, "admin operator"),
            (P::HandInProof, "admin operator custodian"),
            (P::Deliver, "admin operator pd custodian"),
            (P::LookAfter, "admin operator pd custodian"),
            (P::KeepAccounts, "admin"),
            (P::ReadAudit, "admin operator auditor"),
            (P::AskTwo, "admin operator"),
            (P::Decide, "admin operator custodian"),
            (P::ReadApprovals, "admin operator custodian auditor"),
            (P::OwnAccount, "admin operator pd custodian auditor"),
        ];
        for (permission, expected) in all {
            let allowed: Vec<_> = UserRole::ALL
                .iter()
                .filter(|role| may(**role, permission))
                .map(|role| role.as_str())
                .collect();
            assert_eq!(allowed.join(" "), expected, "{permission:?}");
        }
    }

    #[test]
    fn a_scope_is_one_pd_or_the_city() {
        let (own, other) = (PdId::random(), PdId::random());
        assert!(Scope::City.sees(own) && Scope::City.sees(other));
        assert!(Scope::Pd(own).sees(own) && !Scope::Pd(own).sees(other));
    }
}
